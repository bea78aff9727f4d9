// The names of tasks, and the clock of the workers.
#pragma once

#include "wsserver/scheduling/task.hpp"

#include <time.h>
#include <mutex>
#include <set>

namespace wsserver {

namespace {

/// Returns the stored copy of `name`. The copies are never destroyed, because a detached thread may still use the name
/// of its task when the process ends.
const std::string& stored_name(std::string_view name) {
    static std::mutex& mutex = *new std::mutex;
    static auto& names = *new std::set<std::string, std::less<>>;
    const std::lock_guard lock(mutex);
    const auto found = names.find(name);
    return found != names.end() ? *found : *names.emplace(name).first;
}

const std::string& no_name() {
    static const std::string& name = stored_name({});
    return name;
}

}  // namespace

TaskName::TaskName() noexcept : text_(&no_name()) {}

TaskName::TaskName(std::string_view name) : text_(&stored_name(name)) {}

Worker::Clock::time_point Worker::coarse_now() noexcept {
    // Takes an eighth of the time of the exact clock and has the same epoch: steady_clock is CLOCK_MONOTONIC.
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    using namespace std::chrono;
    return Clock::time_point{duration_cast<Clock::duration>(seconds{now.tv_sec} + nanoseconds{now.tv_nsec})};
}

}  // namespace wsserver
