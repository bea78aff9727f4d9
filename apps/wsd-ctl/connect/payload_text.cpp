#include "wsd-ctl/connect/payload_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>

namespace wsd::ctl {

namespace {

using wsserver::Bytes;

constexpr std::size_t bytes_of_row = 16;

std::string row_of_dump(std::size_t offset, Bytes bytes) {
    auto row = fmt::format("{:08x} ", offset);
    std::string ascii;
    for (std::size_t i = 0; i < bytes_of_row; ++i) {
        if (i % 8 == 0) row += ' ';
        row += i < bytes.size() ? fmt::format("{:02x} ", bytes[i]) : "   ";
    }
    for (const auto byte : bytes) ascii += byte >= 0x20 && byte < 0x7f ? static_cast<char>(byte) : '.';
    return row + fmt::format(" |{}|\n", ascii);
}

}  // namespace

std::string hexadecimal(Bytes bytes) {
    std::string text;
    for (const auto byte : bytes) fmt::format_to(std::back_inserter(text), "{:02x}", byte);
    return text;
}

std::string hex_dump(Bytes bytes) {
    std::string text;
    for (std::size_t at = 0; at < bytes.size(); at += bytes_of_row) {
        text += row_of_dump(at, bytes.subspan(at, std::min(bytes_of_row, bytes.size() - at)));
    }
    return text;
}

std::string base64(Bytes bytes) {
    constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        const std::size_t count = std::min<std::size_t>(3, bytes.size() - at);
        std::uint32_t group = 0;  // 24 bits
        for (std::size_t i = 0; i < 3; ++i) group = group << 8 | (i < count ? bytes[at + i] : 0U);
        for (std::size_t i = 0; i < 4; ++i) {
            text += i <= count ? letters[group >> (18 - 6 * i) & 63] : '=';
        }
    }
    return text;
}

}  // namespace wsd::ctl
