// How urgent a task is.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <cstdint>

namespace wsserver {

/// Highest first.
enum class Priority : std::uint8_t {
    control,     ///< work that keeps the server alive
    command,     ///< a command of an operator
    message,     ///< a message for a handler
    background,  ///< work that can wait
};
/// The number of enumerators of Priority.
inline constexpr std::size_t priority_count = 4;

}  // namespace wsserver
