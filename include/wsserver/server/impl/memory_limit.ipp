#pragma once

#include "wsserver/server/detail/memory_limit.hpp"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>

namespace wsserver {

namespace {

constexpr std::uint64_t unknown_memory = std::numeric_limits<std::uint64_t>::max();

/// The number in a file of a cgroup. Version 2 writes `max` for no limit, version 1 a number near 2^63.
std::uint64_t number_in(const std::filesystem::path& file) {
    std::ifstream in{file};
    std::uint64_t number = 0;
    return in >> number ? number : unknown_memory;
}

std::uint64_t memory_of_machine(const std::filesystem::path& root) {
    std::ifstream in{root / "proc/meminfo"};
    std::string name;
    std::uint64_t kibibytes = 0;
    // "MemTotal:       16315028 kB" is the first line.
    return in >> name >> kibibytes && name == "MemTotal:" ? kibibytes * 1024 : unknown_memory;
}

/// The smallest limit of the group `path` and those above it, up to `mount`.
std::uint64_t limit_of_group(const std::filesystem::path& mount, std::filesystem::path path, const char* file) {
    std::uint64_t least = number_in(mount / file);
    for (; path.has_relative_path(); path = path.parent_path()) {
        least = std::min(least, number_in(mount / path.relative_path() / file));
    }
    return least;
}

/// A line of /proc/self/cgroup is `0::PATH` in version 2, and `NUMBER:CONTROLLERS:PATH` in version 1.
std::uint64_t limit_of_cgroups(const std::filesystem::path& root) {
    std::uint64_t least = unknown_memory;
    std::ifstream in{root / "proc/self/cgroup"};
    for (std::string line; std::getline(in, line);) {
        const auto first = line.find(':');
        const auto second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
        const std::string path = line.substr(second + 1);
        if (controllers == ",,") {
            least = std::min(least, limit_of_group(root / "sys/fs/cgroup", path, "memory.max"));
        } else if (controllers.find(",memory,") != std::string::npos) {
            least = std::min(least, limit_of_group(root / "sys/fs/cgroup/memory", path, "memory.limit_in_bytes"));
        }
    }
    return least;
}

}  // namespace

std::size_t default_memory_limit(const std::filesystem::path& root) {
    const std::uint64_t memory = std::min(memory_of_machine(root), limit_of_cgroups(root));
    return memory == unknown_memory ? 0 : static_cast<std::size_t>(memory / 2);
}

}  // namespace wsserver
