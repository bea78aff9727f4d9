// Runs a fuzz target without a fuzzer.
//
// usage: NAME_fuzz_test [FILE | FOLDER | --rounds N | --round N]...
//
// Runs the inputs in files and folders, such as a corpus or what a fuzzer found, and N pseudo-random ones, which are
// the same in each run; with --round only the Nth of them.
#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using ByteVector = std::vector<std::uint8_t>;

std::string current_input;  // its name, for the message of a failure

/// Bytes of one of several distributions. With a uniform distribution alone, few inputs would look like frames or text.
ByteVector random_bytes(std::mt19937& random) {
    const auto below = [&](std::uint32_t n) { return random() % n; };
    static constexpr std::uint8_t edges[] = {0x00, 0x01, 0x02, 0x03, 0x7d, 0x7e, 0x7f, 0x80, 0x81, 0x82, 0x88, 0x89,
                                             0x8a, 0xbf, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf8, 0xfd, 0xfe, 0xff};
    ByteVector bytes(below(8) ? below(200) : below(4000));
    const auto distribution = below(4);
    for (auto& byte : bytes) {
        switch (distribution) {
            case 0:
                byte = static_cast<std::uint8_t>(below(256));
                break;
            case 1:
                byte = edges[below(std::size(edges))];
                break;
            case 2:
                byte = below(12) ? static_cast<std::uint8_t>(below(16)) : static_cast<std::uint8_t>(below(256));
                break;
            default:
                byte = below(10) ? static_cast<std::uint8_t>(' ' + below(95)) : edges[below(std::size(edges))];
        }
    }
    return bytes;
}

/// Runs the content of a file. False if it cannot be read.
bool run_file(const std::filesystem::path& path) {
    std::ifstream file{path, std::ios::binary};
    const std::string content{std::istreambuf_iterator<char>{file}, {}};
    if (!file) {
        std::fprintf(stderr, "cannot read %s\n", path.c_str());
        return false;
    }
    // A copy without spare bytes, so that a sanitizer reports each read beyond it.
    const ByteVector bytes{content.begin(), content.end()};
    current_input = path;
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    return true;
}

/// Runs a file, or all files in a folder, in order of name.
bool run_path(const std::filesystem::path& path) {
    if (!std::filesystem::is_directory(path)) return run_file(path);
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator{path}) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    std::printf("%zu inputs from %s\n", files.size(), path.c_str());
    return std::all_of(files.begin(), files.end(), run_file);
}

/// Runs the pseudo-random inputs `first` to `last`, counted from 1.
void run_random(long first, long last) {
    std::mt19937 random{20260101};
    for (long round = 1; round <= last; ++round) {
        const auto bytes = random_bytes(random);
        if (round < first) continue;
        current_input = "--round " + std::to_string(round);
        LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    }
    std::printf("%ld pseudo-random inputs\n", last - first + 1);
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGABRT, [](int) {
        std::fprintf(stderr, "the input: %s\n", current_input.c_str());
        std::_Exit(1);
    });
    for (int i = 1; i < argc; ++i) {
        const std::string_view word{argv[i]};
        const long number = i + 1 < argc ? std::atol(argv[i + 1]) : 0;
        if (word == "--rounds" && number > 0) {
            run_random(1, number);
            ++i;
        } else if (word == "--round" && number > 0) {
            run_random(number, number);
            ++i;
        } else if (!run_path(argv[i])) {
            return 2;
        }
    }
}
