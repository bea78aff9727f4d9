#pragma once

#include "wsserver/server/detail/reactor_watch.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

namespace wsserver {

namespace {

/// The interval at which clients of stalled reactors are accepted.
constexpr std::chrono::milliseconds take_over_interval{20};

/// The most clients that are accepted in an interval and not yet given to a reactor. Others wait in the kernel.
constexpr std::size_t most_clients_waiting = 256;

}  // namespace

std::string ReactorWatch::start() {
    if (options_.reactor_deadline.count() <= 0) return {};
    try {
        thread_.start(probe_interval(), [this] { return watch(); });
    } catch (const std::system_error& error) {
        return std::string{"the io threads are not watched: "} + error.what() +
               "; raise the limit of threads (ulimit -u)";
    }
    return {};
}

void ReactorWatch::stop() {
    thread_.stop();
    if (substitute_) substitute_->stop();
    const std::lock_guard lock(mutex_);
    clients_.clear();
}

const Substitute* ReactorWatch::substitute() const {
    const std::lock_guard lock(mutex_);
    return substitute_.get();
}

/// Half of the deadline: a reactor has stalled if it does not answer a probe for two intervals. So it has time to
/// answer even if this process was stopped for a while.
std::chrono::milliseconds ReactorWatch::probe_interval() const {
    return std::max(options_.reactor_deadline / 2, std::chrono::milliseconds{1});
}

/// Returns the time until the next call. Without memory or threads it throws, and is called again after an interval.
std::chrono::milliseconds ReactorWatch::watch() {
    const auto interval = probe_interval();
    if (Clock::now() >= next_probe_) {
        queries_.probe();
        next_probe_ = Clock::now() + interval;
    }
    return take_over() ? std::min(interval, take_over_interval) : interval;
}

/// Returns false if no reactor has stalled.
bool ReactorWatch::take_over() {
    const auto stalled = queries_.stalled();
    if (stalled.empty() && !has_clients()) return false;
    std::vector<std::uint16_t> answering;
    const auto count = static_cast<std::uint16_t>(reactors_.size());
    for (std::uint16_t i = 0; i < count; ++i) {
        if (std::ranges::find(stalled, i) == stalled.end()) answering.push_back(i);
    }
    if (answering.empty()) make_substitute();  // first: if it fails, the clients wait in the kernel
    if (!accept_for(stalled)) return true;
    answering.empty() ? give_to_substitute() : give_to_reactors(answering);
    return true;
}

bool ReactorWatch::has_clients() const {
    const std::lock_guard lock(mutex_);
    return !clients_.empty();
}

/// Returns true if clients wait to be given to a reactor.
bool ReactorWatch::accept_for(const std::vector<std::uint16_t>& stalled) {
    const std::lock_guard lock(mutex_);
    clients_.reserve(most_clients_waiting);
    const std::size_t before = clients_.size();
    for (const auto reactor : stalled) {
        listeners_.accept_for(reactor, most_clients_waiting - clients_.size(), clients_);
    }
    taken_over_.fetch_add(clients_.size() - before, std::memory_order_relaxed);
    return !clients_.empty();
}

void ReactorWatch::make_substitute() {
    if (substitute_) return;
    auto made = std::make_unique<Substitute>(static_cast<std::uint16_t>(reactors_.size()), options_, hub_, pages_);
    const std::lock_guard lock(mutex_);
    substitute_ = std::move(made);
}

void ReactorWatch::give_to_substitute() {
    while (auto client = take_client()) substitute_->accept(*std::move(client));
}

/// Each reactor takes its share when it runs, so that a client does not wait in a reactor that has just stalled, too.
void ReactorWatch::give_to_reactors(const std::vector<std::uint16_t>& answering) {
    const std::size_t share = most_clients_waiting / answering.size() + 1;
    for (const auto reactor : answering) {
        reactors_[reactor].post([this, reactor, share] {
            for (std::size_t i = 0; i < share; ++i) {
                auto client = take_client();
                if (!client) return;
                reactors_.accept(reactor, *std::move(client));
            }
        });
    }
}

std::optional<AcceptedSocket> ReactorWatch::take_client() {
    const std::lock_guard lock(mutex_);
    if (clients_.empty()) return std::nullopt;
    AcceptedSocket client = std::move(clients_.back());
    clients_.pop_back();
    return client;
}

}  // namespace wsserver
