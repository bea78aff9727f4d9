// Sizes and times as they are written in a configuration: `16MiB`, `25s`.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "wsserver/base/result.hpp"

namespace wsd {

/// Reads a number of bytes: `512`, `512B`, `64KiB`, `16MiB`, `2GiB` (powers of 1024; `K`, `M`, `G` mean the same),
/// `64KB`, `16MB`, `2GB` (powers of 1000). Upper and lower case are equal; blanks before the unit
/// are allowed. An error says what is expected.
wsserver::Result<std::uint64_t, std::string> parse_size(std::string_view text);

/// `16MiB`: in the largest unit that divides it, so that parse_size() returns the same number.
std::string print_size(std::uint64_t bytes);

/// Reads a time: `500ms`, `25s`, `10m` (or `10min`), `2h`, `7d`, several of them (`1m30s`), or `0`.
/// A number without a unit is an error, since it could mean seconds or milliseconds.
wsserver::Result<std::chrono::milliseconds, std::string> parse_time(std::string_view text);

/// `25s`: in the largest unit that divides it, so that parse_time() returns the same time.
std::string print_time(std::chrono::milliseconds time);

}  // namespace wsd
