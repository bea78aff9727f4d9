// Printing that survives a full disk.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <utility>

namespace wsd {

/// As fmt::print(), but does not throw if the file cannot be written: check std::ferror() instead.
template <class... T>
void print_to(std::FILE* file, fmt::format_string<T...> format, T&&... values) {
    const std::string text = fmt::format(format, std::forward<T>(values)...);
    std::fwrite(text.data(), 1, text.size(), file);
}

}  // namespace wsd
