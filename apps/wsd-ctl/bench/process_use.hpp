// CPU time and memory of a process, from procfs.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "wsserver/base/result.hpp"

namespace wsd::ctl::bench {

struct ProcessUse {
    std::chrono::nanoseconds cpu{};      ///< of all its running threads
    std::uint64_t rss = 0;               ///< resident memory, bytes
    std::optional<std::uint64_t> pss{};  ///< the same with shared memory divided among its users; if permitted
};

/// CPU time in nanoseconds if the kernel has schedstat, otherwise in ticks (mostly 10 ms). `proc`: the path of procfs.
/// An error says why there is nothing to read.
wsserver::Result<ProcessUse, std::string> use_of_process(int pid, const std::string& proc = "/proc");

/// Times of the calling thread so far.
struct OwnTime {
    std::chrono::nanoseconds cpu{};
    std::chrono::nanoseconds waited{};  ///< ready to run while all its cores were busy
};
OwnTime own_time();

}  // namespace wsd::ctl::bench
