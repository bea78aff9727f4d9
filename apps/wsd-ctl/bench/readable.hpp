// Numbers and latencies as people read them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace wsd::ctl::bench {

/// `1,234,567`
std::string readable_number(std::uint64_t number);
/// `850 ns`, `71.2 us`, `1.20 ms`, `2.35 s`: three digits.
std::string readable_latency(std::chrono::nanoseconds time);

}  // namespace wsd::ctl::bench
