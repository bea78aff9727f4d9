#include "wsd-ctl/run.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>

#include "wsd-ctl/bench/bench.hpp"
#include "wsd-ctl/connect/connect.hpp"
#include "wsd-ctl/find_spool.hpp"
#include "wsd-ctl/payload.hpp"
#include "wsd-ctl/send_command.hpp"
#include "wsserver/base/shell_words.hpp"
#include "wsserver/control/command.hpp"
#include "wsserver/control/spool.hpp"

namespace wsd::ctl {

namespace {

using wsserver::Answer;
using wsserver::Invocation;
using Clock = std::chrono::steady_clock;

int complain(const Terminal& terminal, const Answer& answer) {
    terminal.complain(answer.text);
    return wsserver::exit_status_of(to_string(*answer.error));
}

int help(const std::vector<std::string>& words, const Terminal& terminal) {
    if (words.empty()) terminal.out << connect_in_short() << bench::help_in_short();
    if (words.size() == 1 && words.front() == "bench") {
        terminal.out << bench::help();
        return terminal.printed();
    }
    if (words.size() == 1 && words.front() == "connect") {
        terminal.out << connect_help();
        return terminal.printed();
    }
    const auto answer = wsserver::help_on(words);
    if (answer.error) return complain(terminal, answer);
    terminal.out << answer.text;
    return terminal.printed();
}

/// The daemon opens paths, and its working directory is another one.
void make_paths_absolute(Invocation& line) {
    const auto& names = line.command->arguments;
    for (std::size_t i = 0; i < line.arguments.size() && i < names.size(); ++i) {
        auto& value = line.arguments[i];
        if (names[i] != "PATH" || value.find('/') == std::string::npos) continue;
        std::error_code error;
        const auto absolute = std::filesystem::absolute(value, error);
        if (!error) value = absolute.lexically_normal().string();
    }
}

int no_daemon(const std::string& spool, const Terminal& terminal) {
    const auto other = other_served_spool(spool);
    terminal.complain(fmt::format(
        "no wsd is running on the spool {}: start one (wsd --spool {}), or name the spool of the running one with "
        "--spool or WSD_SPOOL{}",
        spool, spool, other.empty() ? "" : fmt::format("; a wsd is running on {}", other)));
    return exit_no_daemon;
}

int report(const NoAnswer& none, const CommandFile& command, const Terminal& terminal) {
    switch (none.why) {
        case NoAnswer::Why::failed:
            terminal.complain(none.text);
            return exit_failed;
        case NoAnswer::Why::timeout:
            terminal.complain(fmt::format("no answer within {} ms: {}", command.timeout->count(), none.text));
            return exit_timeout;
        case NoAnswer::Why::ended:
            terminal.complain(fmt::format("the wsd on {} has ended: {}", command.spool, none.text));
            return exit_no_daemon;
        case NoAnswer::Why::interrupted:
            terminal.complain(fmt::format("interrupted: {}", none.text));
            return 128 + none.signal;  // as a shell reports it
    }
    return exit_failed;
}

int send_and_print(const CommandFile& command, const Options& options, const Terminal& terminal) {
    const auto begin = Clock::now();
    const auto answer = send_command(command);
    if (!answer) return report(answer.error(), command, terminal);
    if (options.verbose) {
        const auto time = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
        terminal.err << fmt::format("answered after {:.1f} ms\n", time);
    }
    if (!answer->error.empty()) {
        terminal.complain(answer->text);
        return wsserver::exit_status_of(answer->error);
    }
    if (answer->again) {
        terminal.complain("note: wsd ended while it executed this command, and a new wsd executed it again");
    }
    if (!options.quiet) terminal.out << answer->text;
    return terminal.printed();
}

/// Sends the command through the spool of the running daemon.
int send_words(const Options& options, Invocation line, const Terminal& terminal) {
    const bool takes_text = line.command->rest == wsserver::Command::Rest::text;
    if (takes_text && line.rest.empty()) {
        terminal.complain(
            fmt::format("there is nothing to send: give a TEXT, `-` for standard input, @FILE, or '' for an "
                        "empty message. Usage: {}",
                        line.command->usage()));
        return exit_usage;
    }
    make_paths_absolute(line);
    if (options.json) line.options.emplace("--json", "");
    if (options.no_answer) line.options.emplace("--no-answer", "");
    auto words = line.words_without_text();
    if (std::any_of(words.begin(), words.end(), [](const auto& w) { return w.find('\n') != std::string::npos; })) {
        terminal.complain("words of a command cannot contain newlines; only the text may have several lines");
        return exit_usage;
    }

    const auto spool = find_spool(options.spool);
    if (!spool) {
        terminal.complain(spool.error());
        return exit_no_daemon;
    }
    for (const auto& warning : spool->warnings) terminal.complain("warning: " + warning);
    const auto holder = wsserver::spool_holder(spool->path);
    if (!holder) {
        terminal.complain(holder.error());
        return exit_failed;
    }
    if (!holder->held) return no_daemon(spool->path, terminal);

    std::string payload;
    if (takes_text) {
        auto text = payload_of(line, terminal.in);
        if (!text) {
            terminal.complain(text.error());
            return exit_failed;
        }
        payload = *std::move(text);
        if (payload.empty()) words.emplace_back();  // an empty text that was given, not a missing one
    }
    const CommandFile command{spool->path,     unique_command_file_name(), wsserver::join_words(words), payload,
                              options.timeout, !line.has("--no-answer")};
    if (options.verbose) {
        terminal.err << fmt::format("command file {} to process {} through {}\n", command.name, holder->pid,
                                    command.spool);
    }
    return send_and_print(command, options, terminal);
}

// Flags before the word apply, too, unless flags after it override them.

int be_client(const Options& options, const std::vector<std::string>& words, const Terminal& terminal) {
    ConnectOptions defaults;
    defaults.timeout = options.timeout.value_or(std::chrono::milliseconds::max());
    defaults.verbose = options.verbose;
    const auto parsed = parse_connect_options(words, std::move(defaults));
    if (!parsed) {
        terminal.complain(parsed.error());
        return exit_usage;
    }
    if (parsed->wants_help) {
        terminal.out << connect_help();
        return terminal.printed();
    }
    return connect(*parsed, terminal);
}

int load_server(const Options& options, const std::vector<std::string>& words, const Terminal& terminal) {
    bench::Options defaults;
    defaults.timeout = options.timeout.value_or(std::chrono::milliseconds{0});
    defaults.json = options.json;
    defaults.quiet = options.quiet;
    const auto parsed = bench::parse_options(words, std::move(defaults));
    if (!parsed) {
        terminal.complain(parsed.error());
        return exit_usage;
    }
    if (parsed->wants_help) {
        terminal.out << bench::help();
        return terminal.printed();
    }
    return bench::bench(*parsed, terminal);
}

}  // namespace

int run_words(const Options& options, std::vector<std::string> words, const Terminal& terminal) {
    const std::string word = words.front();
    words.erase(words.begin());
    if (word == "help") return help(words, terminal);
    if (word == "connect") return be_client(options, words, terminal);
    if (word == "bench") return load_server(options, words, terminal);
    words.insert(words.begin(), word);
    auto line = wsserver::parse_command(words);
    if (!line) return complain(terminal, line.error());
    return send_words(options, *std::move(line), terminal);
}

}  // namespace wsd::ctl
