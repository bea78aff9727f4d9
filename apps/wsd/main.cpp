// wsd: reads the command line and does what it says.
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "common/config.hpp"
#include "common/places.hpp"
#include "common/print.hpp"
#include "common/standard_streams.hpp"
#include "wsd-ctl/run.hpp"
#include "wsd/become_user.hpp"
#include "wsd/check_places.hpp"
#include "wsd/command_line.hpp"
#include "wsd/handler_set.hpp"
#include "wsd/serve.hpp"
#include "wsserver/base/shell_words.hpp"
#include "wsserver/handler/shared_object.hpp"

namespace {

using wsd::CommandLine;
using wsd::ConfigRequest;

constexpr int wrong_usage = 2;

int complain(const std::vector<std::string>& errors, int exit_code) {
    for (const auto& error : errors) wsd::print_to(stderr, "wsd: {}\n", wsserver::escape_control(error));
    return exit_code;
}

/// Flushes stdout and returns the exit code: 1 if the output could not be written.
int printed() {
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return 0;
    return complain({"standard output cannot be written: " + std::generic_category().message(errno)}, 1);
}

int check_config(const ConfigRequest& request) {
    const auto config = wsd::load_config(request);
    if (!config) return complain(config.error(), EX_CONFIG);
    // As wsd does, so that handlers are tried with its permissions and leave no files of root.
    if (!config->user.empty() && ::geteuid() == 0) {
        if (const auto done = wsd::become_user(config->user, {}); !done) return complain({done.error()}, EX_CONFIG);
    }
    if (const auto missing = wsd::missing_handlers(*config); !missing.empty()) return complain(missing, EX_CONFIG);
    if (const auto broken = wsd::broken_handlers(*config); !broken.empty()) return complain(broken, EX_CONFIG);
    if (const auto unusable = wsd::unusable_places(*config); !unusable.empty()) return complain(unusable, EX_CONFIG);
    for (const auto& warning : config->warnings)
        wsd::print_to(stderr, "wsd: warning: {}\n", wsserver::escape_control(warning));
    wsd::print_to(stdout, "the configuration is valid{}\n",
                  config->file.empty() ? " (there is no file)" : ": " + config->file);
    return printed();
}

/// What the standard input contains, unless a person sits there.
std::string read_input() {
    std::string input;
    std::array<char, 4096> buffer;
    while (!::isatty(STDIN_FILENO)) {
        const ssize_t count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;
        input.append(buffer.data(), static_cast<std::size_t>(count));
    }
    return input;
}

/// Loads, starts and ends a handler. wsd runs this in a process of its own before it loads the handler itself.
int try_handler(const std::string& path) {
    const rlimit no_core{};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a handler that hangs must not outlive a wsd that was killed
    const std::string config = read_input();
    std::string name;
    {
        const wsserver::HandlersEndLater later;
        const auto handler = wsserver::load_handler(path, {}, config);
        if (!handler) return complain({handler.error()}, 1);
        name = (*handler)->name();
    }
    constexpr std::chrono::milliseconds patience{3'000};
    if (!wsserver::wait_for_handler_ends(patience)) {
        complain({fmt::format("handler '{}': its end does not return within {} ms: a destructor or destroy() hangs",
                              path, patience.count())},
                 1);
        std::_Exit(1);  // its thread still runs
    }
    wsd::print_to(stdout, "the handler {} starts and ends\n", wsserver::escape_control(name));
    return printed();
}

int print_config(const ConfigRequest& request) {
    const auto config = wsd::load_config(request);
    if (!config) return complain(config.error(), EX_CONFIG);
    wsd::print_to(stdout, "{}", wsd::print_config(*config));
    return printed();
}

/// As wsd-ctl does; flags of wsd choose the spool.
int send_command(const CommandLine& line, const ConfigRequest& request) {
    std::optional<std::string> spool;
    if (!line.config_file.empty()) {
        const auto config = wsd::load_config(request);
        if (!config) return complain(config.error(), EX_CONFIG);
        spool = config->spool.dir;
    }
    for (const auto& [key, value] : line.flags) {
        if (key == "spool.dir") spool = value;
    }
    if (spool && spool->empty()) {  // and the spool of another wsd must not be used instead
        return complain({"this wsd has no spool, so it takes no commands: name one with --spool DIR"},
                        wsd::ctl::exit_no_daemon);
    }
    wsd::ctl::Options options;
    options.spool = spool.value_or("");
    return wsd::ctl::run_words(options, line.command, wsd::ctl::Terminal::real("wsd"));
}

int act(const CommandLine& line, const ConfigRequest& request) {
    switch (line.wants) {
        case CommandLine::Wants::serve:
            return wsd::serve(request);
        case CommandLine::Wants::check_config:
            return check_config(request);
        case CommandLine::Wants::print_config:
            return print_config(request);
        case CommandLine::Wants::try_handler:
            return try_handler(line.try_handler);
        case CommandLine::Wants::version:
            wsd::print_to(stdout, "wsd {}\n", WSD_VERSION);
            return printed();
        case CommandLine::Wants::help:
            wsd::print_to(stdout, "{}", wsd::help_text(request.places));
            return printed();
        case CommandLine::Wants::command:
            return send_command(line, request);
    }
    return wrong_usage;
}

}  // namespace

int main(int argc, char** argv) {
    wsd::open_standard_streams();
    const auto line = wsd::parse_command_line({argv + 1, argv + argc});
    if (!line) {
        complain({line.error()}, wrong_usage);
        wsd::print_to(stderr, "wsd: `wsd --help` shows all flags\n");
        return wrong_usage;
    }
    auto environment = wsd::environment();
    auto places = wsd::default_places(environment);
    return act(*line, {std::move(places), std::move(environment), line->config_file, line->flags});
}
