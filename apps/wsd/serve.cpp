#include "wsd/serve.hpp"

#include <sys/resource.h>
#include <sysexits.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>

#include "common/print.hpp"
#include "wsd/daemon.hpp"
#include "wsd/log.hpp"
#include "wsd/notify.hpp"
#include "wsd/pid_file.hpp"
#include "wsserver/base/shell_words.hpp"

namespace wsd {

namespace {

namespace asio = boost::asio;

int fail(const std::vector<std::string>& lines, int exit_code) {
    for (const auto& line : lines) print_to(stderr, "wsd: {}\n", wsserver::escape_control(line));
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
    const auto path = environment.find("PATH");
    std::string_view rest;
    if (path != environment.end()) rest = path->second;
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

void print_demo(const std::vector<std::string>& urls, const Config& config, const Environment& environment) {
    for (const auto& url : urls) {
        const auto page = page_url(url);
        if (!page.empty()) print_to(stdout, "\n  open {}   in two browser windows, and chat\n", page);
    }
    if (config.spool.dir.empty()) return;
    std::vector<std::string> words{control_program(environment)};
    if (config.source("spool.dir") != "default") words.insert(words.end(), {"--spool", config.spool.dir});
    words.insert(words.end(), {"broadcast", "hello from the shell"});
    print_to(stdout, "  then, in another terminal:   {}\n\n", wsserver::join_words(words));
}

void print_listening(const std::vector<std::string>& urls) {
    for (const auto& url : urls) print_to(stdout, "listening on {}\n", url);
}

/// Handles signals one at a time, on the thread that constructs this and runs the context. All other threads block
/// them: otherwise the kernel could deliver USR1 and TERM to two threads, which would handle them in any order.
class Signals {
   public:
    /// Threads that are started from now on inherit the blocked signals.
    explicit Signals(asio::io_context& context) : signals_(context) {
        for (const int number : obeyed) signals_.add(number);
        mask(SIG_BLOCK);
    }

    /// Unblocks the signals. Those that were sent during the start are handled now.
    void obey(Daemon& daemon) {
        wait(daemon);
        mask(SIG_UNBLOCK);
    }

   private:
    static constexpr std::array obeyed{SIGHUP, SIGTERM, SIGINT, SIGUSR1};

    void wait(Daemon& daemon) {
        signals_.async_wait([this, &daemon](const boost::system::error_code& error, int number) {
            if (error) return;
            mask(SIG_BLOCK);  // a handler that is loaded by a reload may start threads
            react(daemon, number);
            mask(SIG_UNBLOCK);
            wait(daemon);
        });
    }

    static void mask(int how) {
        sigset_t set;
        sigemptyset(&set);
        for (const int number : obeyed) sigaddset(&set, number);
        ::pthread_sigmask(how, &set, nullptr);
    }

    static void react(Daemon& daemon, int number) {
        switch (number) {
            case SIGHUP:
                static_cast<void>(daemon.reload());  // the result is in the log
                return;
            case SIGUSR1:
                return daemon.reopen_log();
            default:
                return daemon.stop_on(number == SIGTERM ? "SIGTERM" : "SIGINT");
        }
    }

    asio::signal_set signals_;
};

/// Returns when the daemon has stopped. False if one of its threads has not ended.
bool run(asio::io_context& context, Signals& signals, Daemon& daemon) {
    bool ended = true;
    std::thread waiting{[&] {
        ended = daemon.wait();
        context.stop();
    }};
    signals.obey(daemon);
    context.run();
    waiting.join();
    return ended;
}

int serve_or_throw(const ConfigRequest& request) {
    asio::io_context context{1};
    Signals signals{context};  // first, so that signals during the start are handled after it
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGCHLD, SIG_DFL);  // it may be ignored by inheritance, and then no process can be waited for

    auto config = load_config(request);
    if (!config) return fail(config.error(), EX_CONFIG);
    auto opened = Log::open(config->log);
    if (!opened) return fail({opened.error()}, 1);
    const std::shared_ptr<Log> log{*std::move(opened)};
    for (const auto& warning : config->warnings) log->warning(warning);
    raise_descriptor_limit(*log);

    std::optional<PidFile> pid_file;
    if (!config->pid_file.empty()) {
        auto taken = PidFile::take(config->pid_file);
        if (!taken) return fail({taken.error()}, 1);
        pid_file.emplace(*std::move(taken));
    }
    const auto socket = request.environment.find("NOTIFY_SOCKET");
    Daemon daemon{*config, log, Notifier{socket == request.environment.end() ? "" : socket->second},
                  [&request] { return load_config(request); }};
    const auto urls = daemon.start();
    if (!urls) return fail(urls.error(), 1);
    print_listening(*urls);
    if (config->demo) print_demo(*urls, *config, request.environment);
    std::fflush(stdout);
    const bool ended = run(context, signals, daemon);
    log->close();
    if (!ended) {
        pid_file.reset();
        std::_Exit(0);  // the daemon cannot be destroyed while a thread uses it
    }
    return 0;
}

}  // namespace

int serve(const ConfigRequest& request) {
    try {
        return serve_or_throw(request);
    } catch (const std::exception& error) {
        return fail(
            {fmt::format("it cannot start: {}; raise the limits of open files (ulimit -n), threads (ulimit -u) and "
                         "locked memory (ulimit -l)",
                         error.what())},
            EX_OSERR);
    }
}

}  // namespace wsd
