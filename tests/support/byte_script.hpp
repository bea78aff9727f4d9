// Byte scripts: bytes as hexadecimal text with comments.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "wsserver/base/bytes.hpp"

namespace wsserver::test {

using ByteVector = std::vector<std::uint8_t>;

/// Converts a script to bytes. A script has pairs of hexadecimal digits, and characters in single quotes. `*N` after a
/// byte repeats it, so that it appears N times. `#` begins a comment that ends with the line.
///
///     byte_script("81 05      # FIN, text, 5 bytes\n"
///                 "'Hello'")
inline ByteVector byte_script(std::string_view script) {
    const auto digit = [](char c) {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        if (c >= 'A' && c <= 'F') return c - 'A' + 10;
        throw std::invalid_argument{std::string{"not a byte script at: "} + c};
    };
    ByteVector result;
    std::size_t i = 0;
    while (i < script.size()) {
        const char c = script[i];
        if (c == ' ' || c == '\n') {
            ++i;
        } else if (c == '#') {
            i = script.find('\n', i);
            if (i == script.npos) break;
        } else if (c == '\'') {
            const auto end = script.find('\'', i + 1);
            if (end == script.npos) throw std::invalid_argument{"a quote is not closed"};
            result.insert(result.end(), script.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                          script.begin() + static_cast<std::ptrdiff_t>(end));
            i = end + 1;
        } else if (c == '*') {
            std::size_t count = 0;
            for (++i; i < script.size() && script[i] >= '0' && script[i] <= '9'; ++i) {
                count = count * 10 + static_cast<std::size_t>(script[i] - '0');
            }
            if (result.empty() || count == 0) throw std::invalid_argument{"nothing to repeat"};
            const std::uint8_t repeated = result.back();
            result.insert(result.end(), count - 1, repeated);
        } else {
            if (i + 1 == script.size()) throw std::invalid_argument{"half a byte"};
            result.push_back(static_cast<std::uint8_t>(digit(c) << 4 | digit(script[i + 1])));
            i += 2;
        }
    }
    return result;
}

/// The reverse, for the messages of failed tests: `81 05 48 65`.
inline std::string hex(Bytes bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string result;
    for (const std::uint8_t byte : bytes) {
        if (!result.empty()) result += ' ';
        result += digits[byte >> 4];
        result += digits[byte & 0xF];
    }
    return result;
}

/// The concatenation of all arguments.
template <class... More>
ByteVector joined(ByteVector first, const More&... more) {
    (first.insert(first.end(), more.begin(), more.end()), ...);
    return first;
}

}  // namespace wsserver::test
