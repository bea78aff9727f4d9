#pragma once

#include "wsserver/server/detail/reactor_queries.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace wsserver {

void ReactorQueries::begin() {
    const std::lock_guard lock(mutex_);
    running_.assign(reactors_.size(), true);
    probes_.assign(reactors_.size(), {});
}

void ReactorQueries::stopped(std::uint16_t reactor) {
    const std::lock_guard lock(mutex_);
    if (reactor < running_.size()) running_[reactor] = false;
    changed_.notify_all();
}

void ReactorQueries::end() {
    const std::lock_guard lock(mutex_);
    running_.clear();
    changed_.notify_all();
}

bool ReactorQueries::may_answer(std::uint16_t reactor) const {
    return reactor < running_.size() && running_[reactor] && !stalled_.contains(reactor);
}

std::vector<std::uint16_t> ReactorQueries::stalled() const {
    const std::lock_guard lock(mutex_);
    return {stalled_.begin(), stalled_.end()};
}

bool ReactorQueries::is_stalled(std::uint16_t reactor) const noexcept {
    const std::lock_guard lock(mutex_);
    return stalled_.contains(reactor);
}

void ReactorQueries::probe() {
    const auto count = static_cast<std::uint16_t>(reactors_.size());
    for (std::uint16_t i = 0; i < count; ++i) {
        if (is_overdue(i)) set_stalled(i);
        if (!must_be_probed(i)) continue;
        if (!within_memory([&] { reactors_[i].post([this, i] { answer_probe(i); }); })) forget_probe(i);
    }
}

/// A reactor may run tasks although it does not serve its streams. Then it still owes its sign of life.
void ReactorQueries::answer_probe(std::uint16_t reactor) {
    reactors_[reactor].serves() ? set_answering(reactor) : unsend_probe(reactor);
}

bool ReactorQueries::is_overdue(std::uint16_t reactor) {
    const std::lock_guard lock(mutex_);
    if (reactor >= running_.size() || !running_[reactor] || probes_[reactor].calls == 0) return false;
    return ++probes_[reactor].calls > 2;
}

bool ReactorQueries::must_be_probed(std::uint16_t reactor) {
    const std::lock_guard lock(mutex_);
    if (reactor >= running_.size() || !running_[reactor]) return false;
    Probe& probe = probes_[reactor];
    probe.calls = std::max(probe.calls, 1U);
    return !std::exchange(probe.is_sent, true);
}

/// There was no memory for it.
void ReactorQueries::forget_probe(std::uint16_t reactor) {
    const std::lock_guard lock(mutex_);
    if (reactor < probes_.size()) probes_[reactor] = {};
}

void ReactorQueries::unsend_probe(std::uint16_t reactor) {
    const std::lock_guard lock(mutex_);
    if (reactor < probes_.size()) probes_[reactor].is_sent = false;
}

void ReactorQueries::set_stalled(std::uint16_t reactor) {
    {
        const std::lock_guard lock(mutex_);
        if (!note_stall(reactor)) return;
    }
    report_stall(reactor);
}

bool ReactorQueries::note_stall(std::uint16_t reactor) {
    if (!stalled_.insert(reactor).second) return false;
    changed_.notify_all();  // no caller waits for it any longer
    return true;
}

void ReactorQueries::report_stall(std::uint16_t reactor) {
    stalls_.fetch_add(1, std::memory_order_relaxed);
    const char* const why = reactors_[reactor].serves() ? "an inline handler blocks it"
                                                        : "the kernel has not ended its requests of io_uring";
    callbacks_.log(LogLevel::warning, "reactor " + std::to_string(reactor) + " does not answer: " + why);
}

void ReactorQueries::set_answering(std::uint16_t reactor) {
    {
        const std::lock_guard lock(mutex_);
        if (reactor < probes_.size()) probes_[reactor] = {};
        if (stalled_.erase(reactor) == 0) return;
    }
    callbacks_.log(LogLevel::info, "reactor " + std::to_string(reactor) + " answers again");
}

}  // namespace wsserver
