#include "wsd-ctl/bench/session.hpp"

#include <fmt/format.h>

#include <utility>

#include "wsd-ctl/bench/readable.hpp"

namespace wsd::ctl::bench {

namespace {

constexpr std::array<int, 2> ending{SIGINT, SIGTERM};
volatile sig_atomic_t caught_signal = 0;

/// The progress line is updated once a second, which is every tenth tick, and when a stage begins.
constexpr unsigned ticks_per_line = 10;

std::string seconds(std::chrono::milliseconds time) {
    return fmt::format("{:.0f} s", std::chrono::duration<double>(time).count());
}

}  // namespace

EndingSignals::EndingSignals() {
    caught_signal = 0;
    struct sigaction action {};
    action.sa_handler = [](int signal) { caught_signal = signal; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    for (std::size_t i = 0; i < ending.size(); ++i) ::sigaction(ending[i], &action, &before_[i]);
}

EndingSignals::~EndingSignals() {
    for (std::size_t i = 0; i < ending.size(); ++i) ::sigaction(ending[i], &before_[i], nullptr);
}

int EndingSignals::caught() const noexcept { return caught_signal; }

std::optional<ProcessUse> Session::server_use() const {
    if (!before_) return std::nullopt;
    const auto use = use_of_process(*options_.server_pid);
    return use ? std::optional{*use} : std::nullopt;
}

void Session::on_measurement_begins() {
    server_at_begin_ = server_use();
    own_ = own_time();
}

void Session::on_measurement_ends() {
    const OwnTime now = own_time();
    own_ = {now.cpu - own_.cpu, now.waited - own_.waited};
    server_at_end_ = server_use();
}

void Session::on_tick(Stage stage, std::chrono::milliseconds since, const Outcome& so_far) {
    if (!terminal_.err_is_terminal || options_.quiet) return;
    const bool begins = std::exchange(shown_stage_, stage) != stage;
    if (++ticks_ % ticks_per_line != 0 && !begins) return;
    switch (stage) {
        case Stage::opening:
            return show(fmt::format("opening: {} of {} connections", readable_number(so_far.opened),
                                    readable_number(options_.connections)));
        case Stage::warm_up:
            return show(fmt::format("warming up: {} of {}", seconds(since), seconds(options_.warm_up)));
        case Stage::measuring: {
            const auto rate = static_cast<double>(so_far.tally.messages) / std::chrono::duration<double>(since).count();
            return show(fmt::format("measuring: {} of {}, {} a second", seconds(since), seconds(options_.duration),
                                    readable_number(static_cast<std::uint64_t>(rate))));
        }
        case Stage::draining:
            return show("waiting for the last answers");
        case Stage::closing:
            return show("closing");
    }
}

void Session::show(std::string_view text) {
    terminal_.err << '\r' << text << "\x1b[K" << std::flush;
    shown_ = true;
}

void Session::clear_progress() {
    if (shown_) terminal_.err << "\r\x1b[K" << std::flush;
    shown_ = false;
}

Report Session::report(const Outcome& outcome) const {
    Report report{options_, outcome, own_};
    if (before_ && server_at_begin_ && server_at_end_) {
        report.server = Report::Server{server_at_end_->cpu - server_at_begin_->cpu, *before_, *server_at_end_};
    }
    return report;
}

}  // namespace wsd::ctl::bench
