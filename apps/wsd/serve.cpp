#include "wsd/serve.hpp"

#include "wsserver/base/cpp20.hpp"

#include <sys/resource.h>
#include <sysexits.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string_view>
#include <thread>
#include <utility>

#include "common/print.hpp"
#include "wsd/daemon.hpp"
#include "wsd/log.hpp"
#include "wsd/notify.hpp"
#include "wsd/pid_file.hpp"
#include "wsserver/base/shell_words.hpp"
#include "wsserver/base/within_memory.hpp"
#include "wsserver/handler/shared_object.hpp"
#include "wsserver/scheduling/foreign_calls.hpp"

namespace wsd {

namespace {

namespace asio = boost::asio;

/// A variable of the environment; empty if it is not set.
std::string variable(const Environment& environment, const std::string& name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::string{} : found->second;
}

bool logs_to_journal(const Environment& environment) {
    return stderr_is_journal(variable(environment, "JOURNAL_STREAM"));
}

int fail(const ConfigRequest& request, const std::vector<std::string>& lines, int exit_code) {
    const auto prefix = logs_to_journal(request.environment) ? journal_prefix(LogLevel::error) : "";
    for (const auto& line : lines) print_to(stderr, "{}wsd: {}\n", prefix, wsserver::escape_control(line));
    return exit_code;
}

/// Each connection needs a descriptor, and the soft limit is low only for programs that use select().
void raise_descriptor_limit(Log& log) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) log.warning("the descriptor limit cannot be raised");
}

/// The URL of the page for a browser; empty if a browser cannot reach the listener. A listener on all addresses is
/// reached through the loopback address.
std::string page_url(std::string_view url) {
    if (!url.starts_with("ws://")) return {};
    std::string place{url.substr(5)};
    for (const std::string_view all : {"0.0.0.0:", "[::]:"}) {
        if (place.starts_with(all)) place.replace(0, all.size() - 1, "127.0.0.1");
    }
    return "http://" + place + "/";
}

/// `wsd-ctl`, or its path if it is not in PATH (as in a build folder).
std::string control_program(const Environment& environment) {
    namespace fs = std::filesystem;
    std::error_code ignored;
    const auto path = variable(environment, "PATH");
    std::string_view rest = path;
    while (!rest.empty()) {
        const auto folder = rest.substr(0, rest.find(':'));
        rest.remove_prefix(std::min(folder.size() + 1, rest.size()));
        if (fs::exists(fs::path{folder} / "wsd-ctl", ignored)) return "wsd-ctl";
    }
    const auto here = fs::read_symlink("/proc/self/exe", ignored).parent_path();
    for (const auto& near : {here / "wsd-ctl", here.parent_path() / "wsd-ctl" / "wsd-ctl"}) {
        if (fs::is_regular_file(near, ignored)) return near.string();
    }
    return "wsd-ctl";
}

/// The command line that sends `text` to all connections of this wsd; empty without a spool.
std::string broadcast_command(const Config& config, const Environment& environment, std::string_view text) {
    if (config.spool.dir.empty()) return {};
    std::vector<std::string> words{control_program(environment)};
    if (config.source("spool.dir") != "default") words.insert(words.end(), {"--spool", config.spool.dir});
    words.insert(words.end(), {"broadcast", std::string{text}});
    return wsserver::join_words(words);
}

void print_demo(const std::vector<std::string>& urls, const Config& config, const Environment& environment) {
    for (const auto& url : urls) {
        const auto page = page_url(url);
        if (!page.empty()) print_to(stdout, "\n  open {}   in two browser windows, and chat\n", page);
    }
    const auto command = broadcast_command(config, environment, "hello from the shell");
    if (!command.empty()) print_to(stdout, "  then, in another terminal:   {}\n\n", command);
}

void print_listening(const std::vector<std::string>& urls) {
    for (const auto& url : urls) print_to(stdout, "listening on {}\n", url);
}

/// Reloads on a thread of its own, since handlers that are loaded may hang, and TERM must be obeyed meanwhile. Looks at
/// the files of handlers every second, if that is configured.
class Reloader {
   public:
    /// Throws std::system_error if there is no thread for it.
    explicit Reloader(Daemon& daemon)
        : daemon_(daemon), thread_([this](std::stop_token stop) { run(std::move(stop)); }) {}
    Reloader(const Reloader&) = delete;
    Reloader& operator=(const Reloader&) = delete;

    /// Begins a reload when the one that is under way has ended. Several of them become one.
    void reload() {
        const std::lock_guard lock{mutex_};
        wanted_ = true;
        wake_.notify_one();
    }

   private:
    void run(std::stop_token stop) {
        const wsserver::HandlersEndLater later;  // TERM must not wait for handlers that do not end
        std::unique_lock lock{mutex_};
        for (;;) {
            if (daemon_.watches_handlers()) {
                wake_.wait_for(lock, stop, std::chrono::seconds{1}, [this] { return wanted_; });
            } else {
                wake_.wait(lock, stop, [this] { return wanted_; });
            }
            if (stop.stop_requested()) return;
            const bool is_wanted = wanted_;
            wanted_ = false;
            lock.unlock();
            (void)wsserver::within_memory([this, is_wanted] {  // the result is in the log
                is_wanted ? static_cast<void>(daemon_.reload()) : daemon_.watch_handlers();
            });
            lock.lock();
        }
    }

    Daemon& daemon_;
    std::mutex mutex_;
    std::condition_variable_any wake_;
    bool wanted_ = false;
    std::jthread thread_;
};

/// Handles signals one at a time, on the thread that constructs this and runs the context. All other threads block
/// them: otherwise the kernel could deliver USR1 and TERM to two threads, which would handle them in any order.
class Signals {
   public:
    /// Threads that are started from now on inherit the blocked signals.
    explicit Signals(asio::io_context& context) : signals_(context) {
        for (const int number : obeyed) signals_.add(number);
        mask(SIG_BLOCK);
    }

    /// Unblocks the signals, and the one of end_within(). Those that were sent before are handled now.
    void obey(Daemon& daemon, Reloader& reloader) {
        wait(daemon, reloader);
        mask(SIG_UNBLOCK);
        sigset_t alarm;
        sigemptyset(&alarm);
        sigaddset(&alarm, SIGALRM);
        ::pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
    }

    /// A further TERM or INT ends the process. For the time after the context has run.
    void leave_to_kernel() {
        signals_.remove(SIGTERM);
        signals_.remove(SIGINT);
    }

   private:
    static constexpr std::array obeyed{SIGHUP, SIGTERM, SIGINT, SIGUSR1};

    void wait(Daemon& daemon, Reloader& reloader) {
        signals_.async_wait([this, &daemon, &reloader](const boost::system::error_code& error, int number) {
            if (error) return;
            mask(SIG_BLOCK);  // a thread that is started meanwhile inherits it
            react(daemon, reloader, number);
            mask(SIG_UNBLOCK);
            wait(daemon, reloader);
        });
    }

    static void mask(int how) {
        sigset_t set;
        sigemptyset(&set);
        for (const int number : obeyed) sigaddset(&set, number);
        ::pthread_sigmask(how, &set, nullptr);
    }

    static void react(Daemon& daemon, Reloader& reloader, int number) {
        switch (number) {
            case SIGHUP:
                return reloader.reload();
            case SIGUSR1:
                return daemon.reopen_log();
            default:
                return daemon.stop_on(number == SIGTERM ? "SIGTERM" : "SIGINT");
        }
    }

    asio::signal_set signals_;
};

/// How the daemon's life ended.
struct DaemonEnd {
    int exit_code = 0;
    bool complete = true;  ///< false: one of its threads still uses it
};

/// Starts the daemon and waits for its end.
DaemonEnd start_and_wait(Daemon& daemon, const Config& config, const ConfigRequest& request) {
    const auto urls = daemon.start();
    if (!urls) {
        if (daemon.is_stopping()) return {};
        return {fail(request, urls.error(), 1)};
    }
    print_listening(*urls);
    if (config.demo) print_demo(*urls, config, request.environment);
    std::fflush(stdout);
    return {0, daemon.wait()};
}

/// Runs the daemon on another thread, and handles signals on this one, from the start on. Throws what it throws.
DaemonEnd run(asio::io_context& context, Signals& signals, Daemon& daemon, const Config& config,
              const ConfigRequest& request) {
    DaemonEnd end;
    std::exception_ptr error;
    Reloader reloader{daemon};
    std::thread life{[&] {
        try {
            end = start_and_wait(daemon, config, request);
        } catch (...) {
            error = std::current_exception();
        }
        context.stop();
    }};
    signals.obey(daemon, reloader);
    context.run();
    signals.leave_to_kernel();
    life.join();
    if (error) std::rethrow_exception(error);
    return end;
}

/// Lets go of the daemon and waits for its handlers. False if one of them does not end.
bool destroy(std::optional<Daemon>& daemon, Log& log) {
    constexpr std::chrono::milliseconds least{500};
    const auto patience = std::max(daemon->rest_of_grace(), least);
    {
        const wsserver::HandlersEndLater later;  // so that they end at the same time
        daemon.reset();
    }
    static_cast<void>(wsserver::wait_for_handler_ends(patience));
    const auto calls = wsserver::ForeignCalls::of_process().states();
    for (const auto& call : calls) {
        log.error("wsd ends, and a handler has not returned", {{"call", std::string_view{call.name}}});
    }
    return calls.empty();
}

int serve_or_throw(const ConfigRequest& request) {
    asio::io_context context{1};
    Signals signals{context};  // first, so that signals during the start are handled after it
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);  // a file at its limit (ulimit -f) is like a full disk
    std::signal(SIGCHLD, SIG_DFL);  // it may be ignored by inheritance, and then no process can be waited for

    auto config = load_config(request);
    if (!config) return fail(request, config.error(), EX_CONFIG);
    auto opened = Log::open(config->log, logs_to_journal(request.environment));
    if (!opened) return fail(request, {opened.error()}, 1);
    const std::shared_ptr<Log> log{*std::move(opened)};
    for (const auto& warning : config->warnings) log->warning(warning);
    raise_descriptor_limit(*log);

    std::optional<PidFile> pid_file;
    if (!config->pid_file.empty()) {
        auto taken = PidFile::take(config->pid_file);
        if (!taken) return fail(request, {taken.error()}, 1);
        pid_file.emplace(*std::move(taken));
        if (!pid_file->missing().empty()) log->warning(pid_file->missing());
    }
    std::optional<Daemon> daemon;
    daemon.emplace(
        *config, log, pid_file ? &*pid_file : nullptr, Notifier{variable(request.environment, "NOTIFY_SOCKET")},
        [&request] { return load_config(request); },
        config->demo ? broadcast_command(*config, request.environment, "hello") : std::string{});
    const auto end = run(context, signals, *daemon, *config, request);
    const bool complete = end.complete && destroy(daemon, *log);
    log->close();
    if (!complete) {
        pid_file.reset();
        std::_Exit(end.exit_code);  // a thread still uses the daemon, or code that exit() would unload
    }
    return end.exit_code;
}

}  // namespace

int serve(const ConfigRequest& request) {
    try {
        return serve_or_throw(request);
    } catch (const std::exception& error) {
        return fail(
            request,
            {fmt::format("it cannot start: {}; raise the limits of open files (ulimit -n), threads (ulimit -u) and "
                         "locked memory (ulimit -l)",
                         error.what())},
            EX_OSERR);
    }
}

}  // namespace wsd
