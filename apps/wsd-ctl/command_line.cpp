// wsd-ctl's own flags, which come before the command.
#include <fmt/format.h>

#include <algorithm>

#include "common/flags.hpp"
#include "common/units.hpp"
#include "wsd-ctl/find_spool.hpp"
#include "wsd-ctl/local_commands.hpp"
#include "wsd-ctl/run.hpp"
#include "wsserver/base/shell_words.hpp"
#include "wsserver/control/command.hpp"

namespace wsd::ctl {

namespace {

int show_help(const Terminal& terminal) {
    const auto spool = find_spool({});
    terminal.out << fmt::format(
        "usage: {} [FLAGS] COMMAND...\n"
        "\n"
        "Sends a command to the running wsd, and prints its answer.\n"
        "\n"
        "  wsd-ctl status                                 version, connections, handlers that hang\n"
        "  wsd-ctl broadcast 'dinner is ready'            to all connections\n"
        "  wsd-ctl broadcast --subprotocol chat - < news  ... to those of a subprotocol, from standard input\n"
        "  wsd-ctl send 0-12-3 --binary @picture.png      to one: `wsd-ctl list` shows the ids\n"
        "  wsd-ctl --json list | jq -r .peer              for programs: one object a line\n"
        "  wsd-ctl close 0-12-3 --code 4001 --reason 'please log in again'\n"
        "  wsd-ctl handler load chat ./chat.so\n"
        "  wsd-ctl connect -v ws://127.0.0.1:8080/        act as a client, to see what a server does\n"
        "  wsd-ctl bench ws://127.0.0.1:8080/             load a server, and measure its performance\n"
        "\n"
        "commands:\n{}{}"
        "\n"
        "flags, before the command:\n"
        "  --spool DIR      the spool of that wsd [{}]\n"
        "  --timeout TIME   how long to wait for the answer, 0: forever [10s]\n"
        "  --json           the answer and errors as JSON, one object a line\n"
        "  --no-answer      do not wait for an answer, and let wsd write none\n"
        "  -q, --quiet      print no output, only errors\n"
        "  -v, --verbose    print the command file, the process and the time on standard error\n"
        "  --version        wsd-ctl's own version\n"
        "  -h, --help       this help\n"
        "\n"
        "exit codes: 0 done, 1 refused or failed, 2 usage, 3 no wsd is running, 7 no answer in time\n",
        terminal.program, local_commands_in_short(), wsserver::help_on({}).text, spool ? spool->path : "none");
    return terminal.printed();
}

/// The error for an unknown flag.
std::string unknown_flag(const std::string& flag) {
    const auto meant = wsserver::closest_match(flag.substr(0, flag.find('=')), own_flags());
    return fmt::format(
        "{} is not a flag of wsd-ctl{}: `wsd-ctl --help` shows all flags; flags of a command come after its name", flag,
        meant.empty() ? "" : fmt::format(" (did you mean {}?)", meant));
}

}  // namespace

int run_command_line(const std::vector<std::string>& arguments, const Terminal& shown) {
    const auto terminal = with_json_if_wanted(shown, arguments);
    Options options;
    std::string timeout;
    bool wants_help = false;
    bool wants_version = false;
    Flags own{Flags::OtherWords::begin_command};
    own.add_value("--spool", options.spool);
    own.add_value("--timeout", timeout);
    own.add_switch("--json", options.json);
    own.add_switch("--no-answer", options.no_answer);
    own.add_switch("-q,--quiet", options.quiet);
    own.add_switch("-v,--verbose", options.verbose);
    own.add_switch("-h,--help", wants_help);
    own.add_switch("--version", wants_version);
    auto words = own.parse(arguments);
    if (!words) return terminal.fail(exit_usage, words.error());
    if (wants_help) return show_help(terminal);
    if (wants_version) {
        terminal.out << "wsd-ctl " WSD_VERSION "\n";
        return terminal.printed();
    }
    if (!timeout.empty()) {
        const auto time = parse_time(timeout);
        if (!time) return terminal.fail(exit_usage, "--timeout: " + time.error());
        options.timeout = *time == std::chrono::milliseconds{0} ? std::nullopt : std::optional{*time};
    }
    if (words->empty()) return terminal.fail(exit_usage, "there is no command: `wsd-ctl --help` shows them");
    if (words->front().starts_with('-')) return terminal.fail(exit_usage, unknown_flag(words->front()));
    return run_words(options, *std::move(words), terminal);
}

}  // namespace wsd::ctl
