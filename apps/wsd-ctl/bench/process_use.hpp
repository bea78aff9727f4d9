// What a process has used, as the kernel's books have it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "wsserver/base/result.hpp"

namespace wsd::ctl::bench {

struct ProcessUse {
    std::chrono::nanoseconds cpu{};      ///< of all its threads that live
    std::uint64_t rss = 0;               ///< bytes of memory that are present
    std::optional<std::uint64_t> pss{};  ///< the same, what it shares with others divided among them; if we may know
};

/// CPU time by the nanosecond where the kernel keeps schedstat, else by its ticks (mostly 10 ms). An error says why
/// there is nothing to read. `proc`: where procfs is.
wsserver::Result<ProcessUse, std::string> use_of_process(int pid, const std::string& proc = "/proc");

/// Of this thread so far.
struct OwnTime {
    std::chrono::nanoseconds cpu{};
    std::chrono::nanoseconds waited{};  ///< ready to run, and all cores it may use were taken
};
OwnTime own_time();

}  // namespace wsd::ctl::bench
