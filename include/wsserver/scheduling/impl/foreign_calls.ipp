#pragma once

#include "wsserver/scheduling/foreign_calls.hpp"

#include <algorithm>
#include <condition_variable>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "wsserver/scheduling/detail/signals_blocked.hpp"

namespace wsserver {

/// The threads share it, because they may outlive a ForeignCalls.
struct ForeignCalls::Shared {
    using Clock = std::chrono::steady_clock;

    struct Call {
        Kind kind;
        std::string name;
        std::function<void()> run;
        bool running = false;
        Clock::time_point begin{};
    };
    using Calls = std::list<Call>;

    mutable std::mutex mutex{};
    mutable std::condition_variable returned{};
    Calls calls{};  ///< those that have not returned; guarded by `mutex`

    bool is_full(Kind kind) const {
        return std::count_if(calls.begin(), calls.end(), [kind](const Call& call) {
                   return call.kind == kind && call.running;
               }) >= static_cast<std::ptrdiff_t>(most);
    }
    static void begin(Call& call) {
        call.running = true;
        call.begin = Clock::now();
    }
    Calls::iterator after(Calls::iterator returned_call);
    void run(Calls::iterator call);
};

/// Forgets a call that has returned, and begins the next one of its kind that waits.
ForeignCalls::Shared::Calls::iterator ForeignCalls::Shared::after(Calls::iterator returned_call) {
    const std::lock_guard lock{mutex};
    const Kind kind = returned_call->kind;
    calls.erase(returned_call);
    returned.notify_all();
    const auto next = std::find_if(calls.begin(), calls.end(),
                                   [kind](const Call& call) { return call.kind == kind && !call.running; });
    if (next != calls.end()) begin(*next);
    return next;
}

void ForeignCalls::Shared::run(Calls::iterator call) {
    while (call != calls.end()) {
        call->run();
        call->run = {};  // what it has captured is released before the call counts as returned
        call = after(call);
    }
}

ForeignCalls::ForeignCalls() : shared_(std::make_shared<Shared>()) {}

ForeignCalls& ForeignCalls::of_process() {
    static ForeignCalls& calls = *new ForeignCalls;
    return calls;
}

ForeignCalls::Start ForeignCalls::start(Kind kind, std::string name, std::function<void()> call) {
    return put(kind, std::move(name), std::move(call), false);
}

ForeignCalls::Start ForeignCalls::start_or_queue(Kind kind, std::string name, std::function<void()> call) {
    return put(kind, std::move(name), std::move(call), true);
}

ForeignCalls::Start ForeignCalls::put(Kind kind, std::string name, std::function<void()> call, bool may_wait) {
    Shared::Calls one;
    one.push_back({kind, std::move(name), std::move(call)});
    const auto position = one.begin();
    {
        const std::lock_guard lock{shared_->mutex};
        const bool waits = shared_->is_full(kind);
        if (waits && !may_wait) return Start::busy;
        if (!waits) Shared::begin(*position);
        shared_->calls.splice(shared_->calls.end(), one);
        if (waits) return Start::started;
    }
    const auto take_back = [&] {
        const std::lock_guard lock{shared_->mutex};
        one.splice(one.end(), shared_->calls, position);
        shared_->returned.notify_all();
    };
    try {
        const detail::SignalsBlocked signals;
        std::thread{[shared = shared_, position] { shared->run(position); }}.detach();
    } catch (const std::system_error&) {
        take_back();
        return Start::no_thread;
    } catch (...) {
        take_back();
        throw;
    }
    return Start::started;
}

std::vector<ForeignCalls::State> ForeignCalls::states() const {
    const auto now = Shared::Clock::now();
    const std::lock_guard lock{shared_->mutex};
    std::vector<State> states;
    for (const auto& call : shared_->calls) {
        const auto since = call.running ? now - call.begin : Shared::Clock::duration{};
        states.push_back({call.kind, call.name, std::chrono::duration_cast<std::chrono::milliseconds>(since)});
    }
    return states;
}

bool ForeignCalls::wait_for_all(Kind kind, std::chrono::milliseconds most_time) const {
    std::unique_lock lock{shared_->mutex};
    return shared_->returned.wait_for(lock, most_time, [&] {
        return std::none_of(shared_->calls.begin(), shared_->calls.end(),
                            [kind](const auto& call) { return call.kind == kind; });
    });
}

}  // namespace wsserver
