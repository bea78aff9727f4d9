#pragma once

#include "wsserver/control/observer.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <exception>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>
#include <variant>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/shell_words.hpp"
#include "wsserver/base/within_memory.hpp"
#include "wsserver/control/command.hpp"
#include "wsserver/control/detail/control_lines.hpp"
#include "wsserver/control/detail/spool_watch.hpp"
#include "wsserver/control/detail/user_names.hpp"
#include "wsserver/scheduling/detail/signals_blocked.hpp"

namespace wsserver {

namespace {

using Clock = std::chrono::steady_clock;

/// Commands between two looks at stdin and at the request to stop.
constexpr std::size_t commands_a_turn = 64;
/// Files that sweep() looks at in one turn.
constexpr std::size_t sweeps_a_turn = 1'000;

/// After a turn that ran out of memory, in milliseconds.
constexpr int out_of_memory_pause = 100;

/// Leaves signals to the threads that wait for them. A write to a closed pipe then fails instead.
void block_signals() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

Answer not_repeated(const Command& command) {
    return Answer::failed(
        CommandErrc::crashed,
        fmt::format("wsd ended while it executed `{0}`. A new wsd does not repeat `{0}`: give it again "
                    "if it is still wanted",
                    command.name));
}

Answer forbidden(const Command& command) {
    return Answer::failed(CommandErrc::forbidden,
                          fmt::format("the spool's group may not give `{}`: give it as root or as the user of wsd, or "
                                      "allow it (spool.group_may)",
                                      command.name));
}

}  // namespace

struct Observer::Impl {
    ControlTarget& target;
    ObserverOptions options;
    std::unique_ptr<Spool> spool{};
    SpoolWatch watch{};
    ControlLines lines;
    mutable UserNames users{};
    Descriptor wake{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};

    Clock::time_point next_look{};  ///< into new/, and at the folders
    Clock::time_point next_sweep{};
    Clock::time_point not_before{};  ///< the spool is in trouble: execute no commands until then
    bool watched = false;            ///< watch_spool() was called for this spool
    bool more = false;               ///< the spool may have commands for which no event will arrive
    std::string last_trouble{};      ///< logged already

    std::mutex mutex{};
    std::optional<SpoolOptions> wanted{};  ///< guarded by `mutex`

    std::atomic<bool> ending{false};              ///< take no further command
    std::stop_source stopping = options.give_up;  ///< do not wait for the one that is being executed either
    std::mutex running_mutex{};
    std::condition_variable ended{};
    bool running = false;  ///< guarded by `running_mutex`
    std::mutex joining{};  ///< guards `thread`
    std::thread thread{};

    Impl(ControlTarget& t, ObserverOptions o)
        : target(t), options(std::move(o)), lines(options.control_in, options.control_out) {}

    void log(LogLevel level, std::string_view text) const noexcept {
        if (!options.log) return;
        try {
            options.log(level, text);
        } catch (...) {
            // There is no other place to report this.
        }
    }
    bool in_trouble(Clock::time_point now) const { return now < not_before; }

    void run();
    void serve();
    void take_turn();
    void wait();
    void wake_up() const;
    void join();
    int timeout() const;
    void watch_spool();
    void look(Clock::time_point now);
    void execute_commands(Clock::time_point now);
    Answer execute(const SpoolCommand& command) const;
    bool may_give(const SpoolCommand& command, const Command& known) const;
    void be_in_trouble(std::string text, Clock::time_point now);
    void be_out_of_trouble();
    void take_options();
    void log_result(std::string_view from, const Command* command, const Answer& answer) const;

    template <class Run>
    Answer execute(std::string_view from, const Command* command, Run run) const;
};

/// Runs a command and logs its result. Payloads are never logged. `command` is null if there is no such command.
template <class Run>
Answer Observer::Impl::execute(std::string_view from, const Command* command, Run run) const {
    Answer answer;
    try {
        answer = run();
    } catch (const std::exception& error) {
        answer = Answer::failed(CommandErrc::failed, error.what());
    } catch (...) {
        answer = Answer::failed(CommandErrc::failed, "an unknown exception");
    }
    // Without memory the line is missing, but not the answer.
    (void)within_memory([&] { log_result(from, command, answer); });
    return answer;
}

void Observer::Impl::log_result(std::string_view from, const Command* command, const Answer& answer) const {
    const auto name = command == nullptr ? "?" : command->name;
    if (answer.error) {
        const auto reason = answer.logged ? std::string{} : ": " + escape_control(answer.text);
        return log(LogLevel::warning, fmt::format("{}: {}: {}{}", from, name, to_string(*answer.error), reason));
    }
    // A monitor may ask every second.
    const bool only_reports = command != nullptr && command->only_reports;
    log(only_reports ? LogLevel::debug : LogLevel::info, fmt::format("{}: {}: ok", from, name));
}

void Observer::Impl::run() {
    block_signals();
    ::pthread_setname_np(::pthread_self(), "observer");
    serve();
    const std::lock_guard lock{running_mutex};
    running = false;
    ended.notify_all();
}

void Observer::Impl::serve() {
    while (!ending) {
        if (within_memory([this] { take_turn(); })) continue;
        // The next turns look for what this one has missed.
        next_look = {};
        ::poll(nullptr, 0, out_of_memory_pause);
    }
}

void Observer::Impl::take_turn() {
    if (spool && !watched) watch_spool();
    wait();
    take_options();
    const auto now = Clock::now();
    if (now >= next_look) look(now);
    if (spool && !in_trouble(now)) execute_commands(now);
    if (spool && now >= next_sweep && spool->sweep(sweeps_a_turn)) next_sweep = now + options.sweep_interval;
}

/// Waits for input, for the next task of the timetable, or for stop(); executes command lines.
void Observer::Impl::wait() {
    std::array<pollfd, 4> polled{{{wake.get(), POLLIN, 0},
                                  {watch.descriptor(), POLLIN, 0},
                                  {lines.wants_to_read(), POLLIN, 0},
                                  {lines.wants_to_write(), POLLOUT, 0}}};
    if (::poll(polled.data(), polled.size(), timeout()) <= 0) return;
    if (polled[0].revents != 0) {
        std::uint64_t count;
        if (::read(wake.get(), &count, sizeof count) < 0) return;
    }
    if (polled[1].revents != 0) {
        watch.read({[this](std::string_view name) {
                        if (spool) spool->notice(name);
                    },
                    [this] {
                        if (spool) spool->rescan();
                    },
                    [this] { next_look = {}; }});
    }
    const auto execute_one = [this](std::string_view line) {
        return execute("control line", command_at(line),
                       [&] { return execute_line(target, line, {}, stopping.get_token()); });
    };
    if (polled[2].revents != 0) lines.on_readable(execute_one);
    if (polled[3].revents != 0) lines.on_writable(execute_one);
}

int Observer::Impl::timeout() const {
    if (options.spool.path.empty()) return -1;
    const auto now = Clock::now();
    auto next = next_look;
    if (spool) next = std::min(next, next_sweep);
    if (spool && more) next = std::min(next, std::max(now, not_before));
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - now).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

void Observer::Impl::watch_spool() {
    const bool watching = options.use_inotify && watch.start(spool->path(), spool->new_folder());
    if (!watching && options.use_inotify) {
        log(LogLevel::warning, fmt::format("spool {}: inotify is not available ({}; see "
                                           "fs.inotify.max_user_instances): checking every {} ms instead",
                                           spool->path(), std::strerror(errno), options.poll_interval.count()));
    }
    watched = true;
    next_look = {};  // for what came before
}

/// Finds what events did not report: new files, and folders that were removed or replaced.
void Observer::Impl::look(Clock::time_point now) {
    next_look = now + (watch.descriptor() >= 0 ? options.safety_interval : options.poll_interval);
    if (options.spool.path.empty()) return;
    if (spool && spool->in_place()) {
        spool->rescan();
        more = true;
        return;
    }
    spool.reset();  // releases its lock, too: the new spool may be the same folder
    watch = {};
    auto opened = Spool::open(options.spool);
    if (!opened) return be_in_trouble(opened.error(), now);
    spool = std::move(*opened);
    watched = false;
    last_trouble.clear();
    more = true;
    log(LogLevel::warning, fmt::format("spool {}: was removed or replaced; opened again", spool->path()));
}

void Observer::Impl::execute_commands(Clock::time_point now) {
    more = true;
    for (std::size_t i = 0; i < commands_a_turn && !ending; ++i) {
        auto next = spool->next();
        if (const auto* blocked = std::get_if<SpoolBlocked>(&next)) return be_in_trouble(blocked->why, now);
        be_out_of_trouble();
        if (std::holds_alternative<SpoolIdle>(next)) {
            more = false;
            if (spool->has_unsettled()) next_look = std::min(next_look, now + options.poll_interval);
            return;
        }
        if (const auto* rejected = std::get_if<SpoolRejection>(&next)) {
            log(LogLevel::warning, fmt::format("command file {}: {}: {}", rejected->name,
                                               to_string(*rejected->why.error), escape_control(rejected->why.text)));
        }
        if (auto* command = std::get_if<SpoolCommand>(&next)) {
            auto answer = execute(*command);
            if (answer.error == CommandErrc::stopping) return;  // not answered, so the next daemon executes it again
            spool->finish(std::move(*command), std::move(answer));
        }
    }
}

bool Observer::Impl::may_give(const SpoolCommand& command, const Command& known) const {
    const auto& allowed = options.spool.group_may;
    return !command.of_group || std::find(allowed.begin(), allowed.end(), known.name) != allowed.end();
}

Answer Observer::Impl::execute(const SpoolCommand& command) const {
    const CommandRule rule = [&](const Command& known) -> std::optional<Answer> {
        if (!may_give(command, known)) return forbidden(known);
        if (command.again && !known.repeatable) return not_repeated(known);
        return std::nullopt;
    };
    return execute(fmt::format("command file {} of user {}{}", command.name, users.describe(command.owner),
                               command.again ? ", again" : ""),
                   command_at(command.content),
                   [&] { return execute_command_file(target, command.content, stopping.get_token(), rule); });
}

void Observer::Impl::be_out_of_trouble() {
    if (!last_trouble.empty()) log(LogLevel::warning, fmt::format("spool {}: works again", spool->path()));
    last_trouble.clear();
    not_before = {};
}

void Observer::Impl::be_in_trouble(std::string text, Clock::time_point now) {
    not_before = now + options.retry_interval;
    if (!spool) next_look = not_before;
    if (text == last_trouble) return;
    log(LogLevel::warning, fmt::format("{}; commands wait, connections are not affected", text));
    last_trouble = std::move(text);
}

void Observer::Impl::take_options() {
    std::optional<SpoolOptions> now_wanted;
    {
        const std::lock_guard lock{mutex};
        now_wanted = std::exchange(wanted, std::nullopt);
    }
    if (!now_wanted) return;
    now_wanted->path = options.spool.path;
    now_wanted->before_call = options.spool.before_call;
    now_wanted->clock = options.spool.clock;
    options.spool = std::move(*now_wanted);
    if (spool) spool->reconfigure(options.spool);
}

Observer::Observer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Observer::~Observer() {
    give_up();
    impl_->join();
}

Result<std::unique_ptr<Observer>, std::string> Observer::create(ControlTarget& target, ObserverOptions options) {
    auto impl = std::make_unique<Impl>(target, std::move(options));
    if (!impl->wake) return Unexpected{fmt::format("observer: no eventfd: {}", std::strerror(errno))};
    if (!impl->options.spool.path.empty()) {
        auto spool = Spool::open(impl->options.spool);
        if (!spool) return Unexpected{spool.error()};
        impl->spool = std::move(*spool);
    }
    return std::unique_ptr<Observer>{new Observer{std::move(impl)}};
}

void Observer::Impl::wake_up() const {
    const std::uint64_t one = 1;
    static_cast<void>(!::write(wake.get(), &one, sizeof one));
}

void Observer::Impl::join() {
    const std::lock_guard lock{joining};
    if (thread.joinable()) thread.join();
}

void Observer::start() {
    const std::lock_guard lock{impl_->joining};
    impl_->running = true;
    const detail::SignalsBlocked signals;
    impl_->thread = std::thread{[impl = impl_.get()] { impl->run(); }};
}

bool Observer::stop(std::chrono::milliseconds grace) {
    impl_->ending = true;
    impl_->wake_up();
    const auto has_ended = [this] { return !impl_->running; };
    {
        std::unique_lock lock{impl_->running_mutex};
        impl_->ended.wait_for(lock, grace, [&] { return has_ended() || impl_->stopping.stop_requested(); });
    }
    give_up();
    {
        std::unique_lock lock{impl_->running_mutex};
        if (!impl_->ended.wait_for(lock, impl_->options.stop_patience, has_ended)) return false;
    }
    impl_->join();
    return true;
}

void Observer::give_up() {
    impl_->ending = true;
    impl_->wake_up();
    impl_->stopping.request_stop();
    const std::lock_guard lock{impl_->running_mutex};
    impl_->ended.notify_all();
}

void Observer::reconfigure(const SpoolOptions& spool) {
    {
        const std::lock_guard lock{impl_->mutex};
        impl_->wanted = spool;
    }
    impl_->wake_up();
}

}  // namespace wsserver
