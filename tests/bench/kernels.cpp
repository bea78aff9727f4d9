// Measures masking and UTF-8 validation alone: a table of GB/s by kernel and size, medians of five runs.
#include "wsserver/base/kernels.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <vector>

using namespace wsserver;

namespace {

constexpr std::size_t sizes[] = {16, 64, 125, 1024, 16 << 10, 1 << 20};
constexpr std::size_t bytes_per_run = 100 << 20;
constexpr std::size_t most_calls = 2'000'000;  // limits the time of small sizes, which cost more per byte

/// Times `call`, which processes `size` bytes.
template <class Call>
double gigabytes_per_second(std::size_t size, Call call) {
    const std::size_t calls = std::min(bytes_per_run / size, most_calls);
    std::array<double, 5> runs;
    for (auto& run : runs) {
        const auto begin = std::chrono::steady_clock::now();
        for (std::size_t i = 0; i < calls; ++i) call();
        const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
        run = static_cast<double>(calls * size) / took.count();
    }
    std::nth_element(runs.begin(), runs.begin() + 2, runs.end());
    return runs[2];
}

/// `size` bytes of text: whole characters, and spaces after the last one.
std::vector<std::uint8_t> text_of(std::size_t size, std::string_view character) {
    std::vector<std::uint8_t> text;
    while (text.size() + character.size() <= size) text.insert(text.end(), character.begin(), character.end());
    text.resize(size, ' ');
    return text;
}

double checking(const detail::Kernel& kernel, std::size_t size, std::string_view character) {
    const auto text = text_of(size, character);
    volatile bool valid = true;
    return gigabytes_per_second(size, [&] { valid = kernel.valid_utf8(text.data(), text.size()); });
}

double masking(const detail::Kernel& kernel, std::size_t size) {
    auto payload = text_of(size, "x");
    return gigabytes_per_second(
        size, [&] { kernel.mask(payload.data(), payload.data(), payload.size(), 0x3d21fa373d21fa37); });
}

}  // namespace

int main() {
    std::printf("| kernel | bytes | masking in place | ASCII | three bytes a character |\n|---|---:|---:|---:|---:|\n");
    for (const auto& kernel : detail::usable_kernels()) {
        for (const auto size : sizes) {
            std::printf("| %s | %zu | %.1f | %.1f | %.1f |\n", kernel.name, size, masking(kernel, size),
                        checking(kernel, size, "x"), checking(kernel, size, "\xe6\x97\xa5"));
        }
    }
}
