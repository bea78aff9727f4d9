#pragma once

#include "wsserver/scheduling/task.hpp"

#include <time.h>
#include <mutex>
#include <set>

namespace wsserver {

namespace {

/// Never destroyed: threads that were left behind may still name their task when the process ends.
const std::string& keep(std::string_view name) {
    static std::mutex& mutex = *new std::mutex;
    static auto& names = *new std::set<std::string, std::less<>>;
    const std::lock_guard lock(mutex);
    const auto found = names.find(name);
    return found != names.end() ? *found : *names.emplace(name).first;
}

const std::string& no_name() {
    static const std::string& name = keep({});
    return name;
}

}  // namespace

TaskName::TaskName() noexcept : text_(&no_name()) {}

TaskName::TaskName(std::string_view name) : text_(&keep(name)) {}

Worker::Clock::rep Worker::coarse_now() noexcept {
    // An eighth of the price of the exact clock, and on the same scale: steady_clock is CLOCK_MONOTONIC.
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    using namespace std::chrono;
    return duration_cast<Clock::duration>(seconds{now.tv_sec} + nanoseconds{now.tv_nsec}).count();
}

}  // namespace wsserver
