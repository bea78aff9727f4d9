// Numbers as people read them, and texts as JSON wants them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace wsd::ctl::bench {

/// `1,234,567`
std::string readable_number(std::uint64_t number);
/// `850 ns`, `71.2 us`, `1.20 ms`, `2.35 s`: three digits.
std::string readable_latency(std::chrono::nanoseconds time);
/// `512 B`, `1.20 KiB`, `34.0 MiB`: three digits, powers of 1024.
std::string readable_size(double bytes);
/// With its quotes. `text`: UTF-8.
std::string json_string(std::string_view text);

}  // namespace wsd::ctl::bench
