// What the kernel tells about the threads of this process.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace wsserver::test {

/// The other threads of this process.
struct OtherThreads {
    std::size_t all = 0;
    std::size_t unmasked = 0;  ///< those that the kernel may choose for a signal
};

/// Looks which other threads do not block `signal`. Threads that end meanwhile may be missing.
inline OtherThreads other_threads(int signal) {
    OtherThreads others;
    for (const auto& task : std::filesystem::directory_iterator{"/proc/self/task"}) {
        if (task.path().filename() == std::to_string(::gettid())) continue;
        std::ifstream status{task.path() / "status"};
        for (std::string line; std::getline(status, line);) {
            if (!line.starts_with("SigBlk:")) continue;
            ++others.all;
            const std::uint64_t blocked = std::stoull(line.substr(7), nullptr, 16);
            if ((blocked >> (signal - 1) & 1) == 0) ++others.unmasked;
        }
    }
    return others;
}

}  // namespace wsserver::test
