// Runs a fuzz target without a fuzzer, with pseudo-random inputs, which are the same in each run, or with the files on
// the command line, such as those that a fuzzer found.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using ByteVector = std::vector<std::uint8_t>;

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

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1 && std::string{argv[1]} != "--rounds") {
        for (int i = 1; i < argc; ++i) {
            std::ifstream file{argv[i], std::ios::binary};
            if (!file) {
                std::fprintf(stderr, "cannot read %s\n", argv[i]);
                return 2;
            }
            const std::string content{std::istreambuf_iterator<char>{file}, {}};
            const ByteVector bytes{content.begin(), content.end()};
            LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
        }
        return 0;
    }
    const long rounds = argc > 2 ? std::atol(argv[2]) : 20'000;
    std::mt19937 random{20260101};
    for (long round = 0; round < rounds; ++round) {
        const auto bytes = random_bytes(random);
        LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    }
    std::printf("%ld inputs\n", rounds);
}
