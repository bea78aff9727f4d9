// Runs a load for a window of time.
#include "load.hpp"

#include <stdexcept>

namespace wsserver::bench {

namespace {

/// If no reply arrives for this long, the server under test has failed.
constexpr auto answer_deadline = std::chrono::seconds{10};
constexpr const char* no_answer = "the server under test does not answer";

}  // namespace

Load::Window Load::run(std::chrono::milliseconds warm_up, std::chrono::milliseconds window,
                       const std::function<void()>& at_edge) {
    stopping_ = false;
    begin();
    run_until(Clock::now() + warm_up);
    const std::uint64_t before = done_;
    const auto start = Clock::now();
    at_edge();
    run_until(start + window);
    at_edge();
    const Window result{done_ - before, Clock::now() - start};
    wait_for_the_rest();
    return result;
}

void Load::run_until(Clock::time_point end) {
    auto last_change = Clock::now();
    for (auto now = last_change; now < end; now = Clock::now()) {
        const std::uint64_t before = done_;
        turn();
        if (done_ != before) last_change = now;
        if (now - last_change > answer_deadline) throw std::runtime_error{no_answer};
    }
}

void Load::wait_for_the_rest() {
    stopping_ = true;
    const auto deadline = Clock::now() + answer_deadline;
    while (under_way()) {
        if (Clock::now() > deadline) throw std::runtime_error{no_answer};
        turn();
    }
}

}  // namespace wsserver::bench
