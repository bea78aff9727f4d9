// The default of ServerOptions::memory_limit.
#pragma once

#include <cstddef>
#include <filesystem>

namespace wsserver {

/// Half of the memory that this process may use, in bytes: that of the machine, or the limit of its cgroup (version 1
/// or 2) or of one above it, if that is less. 0 if neither is known. `root` is where /proc and /sys are.
std::size_t default_memory_limit(const std::filesystem::path& root = "/");

}  // namespace wsserver
