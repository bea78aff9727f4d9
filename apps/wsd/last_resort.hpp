// The end of a process that does not end.
#pragma once

#include <chrono>

namespace wsd {

/// The exit code of a process that was ended by end_within(): that of a program that SIGTERM ends, in a shell.
constexpr int ended_by_force = 128 + 15;

/// Ends the process after this time, with ended_by_force, whatever its threads do: by a timer whose signal (SIGALRM) is
/// handled on any thread that does not block it. The last call counts. Any thread; takes no lock.
void end_within(std::chrono::milliseconds time) noexcept;

}  // namespace wsd
