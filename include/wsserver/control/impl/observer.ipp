#pragma once

#include "wsserver/control/observer.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/shell_words.hpp"
#include "wsserver/control/command.hpp"
#include "wsserver/control/detail/control_lines.hpp"
#include "wsserver/control/detail/spool_watch.hpp"

namespace wsserver {

namespace {

using Clock = std::chrono::steady_clock;

/// Commands between two looks at stdin and at the request to stop.
constexpr std::size_t commands_a_turn = 64;
/// Files that sweep() looks at in one turn.
constexpr std::size_t sweeps_a_turn = 1'000;

/// Leaves signals to the threads that wait for them. A write to a closed pipe then fails instead.
void block_signals() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

struct Observer::Impl {
    ControlTarget& target;
    ObserverOptions options;
    std::unique_ptr<Spool> spool{};
    std::optional<Spool::Unanswered> unanswered{};  ///< of a spool that was removed or replaced
    SpoolWatch watch{};
    ControlLines lines;
    Descriptor wake{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};

    Clock::time_point next_look{};  ///< into new/, and at the folders
    Clock::time_point next_sweep{};
    Clock::time_point not_before{};  ///< the spool is in trouble: execute no commands until then
    bool more = false;               ///< the spool may have commands for which no event will arrive
    std::string last_trouble{};      ///< logged already

    std::mutex mutex{};
    std::optional<SpoolOptions> wanted{};  ///< guarded by `mutex`

    std::stop_source stopping{};
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
    bool stop_requested() const { return stopping.stop_requested(); }

    void run();
    void wait();
    int timeout() const;
    void watch_spool();
    void look(Clock::time_point now);
    void execute_commands(Clock::time_point now);
    void be_in_trouble(std::string text, Clock::time_point now);
    void take_options();

    template <class Run>
    Answer execute(std::string_view from, std::string_view name, Run run) const;
};

/// Runs a command and logs its result. Payloads are never logged.
template <class Run>
Answer Observer::Impl::execute(std::string_view from, std::string_view name, Run run) const {
    Answer answer;
    try {
        answer = run();
    } catch (const std::exception& error) {
        answer = Answer::failed(CommandErrc::failed, error.what());
    } catch (...) {
        answer = Answer::failed(CommandErrc::failed, "an unknown exception");
    }
    if (answer.error) {
        log(LogLevel::warning,
            fmt::format("{}: {}: {}: {}", from, name, to_string(*answer.error), escape_control(answer.text)));
    } else {
        log(LogLevel::info, fmt::format("{}: {}: ok", from, name));
    }
    return answer;
}

void Observer::Impl::run() {
    block_signals();
    ::pthread_setname_np(::pthread_self(), "observer");
    if (spool) watch_spool();
    while (!stop_requested()) {
        wait();
        take_options();
        const auto now = Clock::now();
        if (now >= next_look) look(now);
        if (spool && now >= not_before) execute_commands(now);
        if (spool && now >= next_sweep && spool->sweep(sweeps_a_turn)) next_sweep = now + options.sweep_interval;
    }
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
        return execute("control line", name_of_command(line),
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
    spool->on_refused([this](std::string_view name, const Answer& why) {
        log(LogLevel::warning,
            fmt::format("command file {}: {}: {}", name, to_string(*why.error), escape_control(why.text)));
    });
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
    if (spool) unanswered = spool->take_unanswered();
    spool.reset();  // releases its lock, too: the new spool may be the same folder
    watch = {};
    auto opened = Spool::open(options.spool);
    if (!opened) return be_in_trouble(opened.error(), now);
    spool = std::move(*opened);
    if (unanswered) spool->answer_first(*std::exchange(unanswered, std::nullopt));
    watch_spool();
    last_trouble.clear();
    more = true;
    log(LogLevel::warning, fmt::format("spool {}: was removed or replaced; opened again", spool->path()));
}

void Observer::Impl::execute_commands(Clock::time_point now) {
    const auto execute_one = [this](const SpoolCommand& command) {
        return execute(fmt::format("command file {} of user {}", command.name, command.owner),
                       name_of_command(command.content),
                       [&] { return execute_command_file(target, command.content, stopping.get_token()); });
    };
    auto progress = Spool::Progress::more;
    for (std::size_t i = 0; i < commands_a_turn && progress == Spool::Progress::more && !stop_requested(); ++i) {
        progress = spool->run(1, execute_one);
    }
    more = progress != Spool::Progress::idle;
    if (progress == Spool::Progress::blocked) return be_in_trouble(spool->trouble(), now);
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
    now_wanted->after_step = options.spool.after_step;
    options.spool = std::move(*now_wanted);
    if (spool) spool->reconfigure(options.spool);
}

Observer::Observer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Observer::~Observer() { stop(); }

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

void Observer::start() {
    const std::lock_guard lock{impl_->joining};
    impl_->thread = std::thread{[impl = impl_.get()] { impl->run(); }};
}

void Observer::stop() {
    impl_->stopping.request_stop();
    const std::uint64_t one = 1;
    static_cast<void>(!::write(impl_->wake.get(), &one, sizeof one));
    const std::lock_guard lock{impl_->joining};
    if (impl_->thread.joinable()) impl_->thread.join();
}

void Observer::reconfigure(const SpoolOptions& spool) {
    {
        const std::lock_guard lock{impl_->mutex};
        impl_->wanted = spool;
    }
    const std::uint64_t one = 1;
    static_cast<void>(!::write(impl_->wake.get(), &one, sizeof one));
}

}  // namespace wsserver
