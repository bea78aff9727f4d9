#include "wsd-ctl/run.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>

#include "wsd-ctl/bench/bench.hpp"
#include "wsd-ctl/completion.hpp"
#include "wsd-ctl/connect/connect.hpp"
#include "wsd-ctl/find_spool.hpp"
#include "wsd-ctl/join_group.hpp"
#include "wsd-ctl/local_commands.hpp"
#include "wsd-ctl/payload.hpp"
#include "wsd-ctl/send_command.hpp"
#include "wsserver/base/shell_words.hpp"
#include "wsserver/control/command.hpp"
#include "wsserver/control/json.hpp"
#include "wsserver/control/spool.hpp"

namespace wsd::ctl {

namespace {

using wsserver::Answer;
using wsserver::Invocation;
using Clock = std::chrono::steady_clock;

int print(std::string_view text, const Terminal& terminal) {
    terminal.out << text;
    return terminal.printed();
}

int complain(const Terminal& terminal, const Answer& answer) {
    terminal.complain(answer.text, to_string(*answer.error));
    return wsserver::exit_status_of(to_string(*answer.error));
}

int help(const std::vector<std::string>& words, const Terminal& terminal) {
    const auto* const local = words.size() == 1 ? find_local_command(words.front()) : nullptr;
    if (local != nullptr) return print(local->help(), terminal);
    const auto answer = wsserver::help_on(words);
    if (answer.error) return complain(terminal, answer);
    return print((words.empty() ? local_commands_in_short() : "") + answer.text, terminal);
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
    return terminal.fail(
        exit_no_daemon,
        fmt::format(
            "no wsd is running on the spool {}: start one (wsd --spool {}), or name the spool of the running one with "
            "--spool or WSD_SPOOL{}",
            spool, spool, other.empty() ? "" : fmt::format("; a wsd is running on {}", other)));
}

int report(const NoAnswer& none, const CommandFile& command, const Terminal& terminal) {
    switch (none.why) {
        case NoAnswer::Why::failed:
            return terminal.fail(exit_failed, none.text);
        case NoAnswer::Why::timeout:
            return terminal.fail(exit_timeout,
                                 fmt::format("no answer within {} ms: {}", command.timeout->count(), none.text));
        case NoAnswer::Why::ended:
            return terminal.fail(exit_no_daemon, fmt::format("the wsd on {} has ended: {}", command.spool, none.text));
        case NoAnswer::Why::interrupted:
            terminal.complain(fmt::format("interrupted: {}", none.text), "interrupted");
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
        terminal.complain(answer->text, answer->error);
        return wsserver::exit_status_of(answer->error);
    }
    if (answer->again) {
        terminal.warn("wsd ended while it executed this command, and a new wsd executed it again");
    }
    if (!options.quiet) terminal.out << answer->text;
    return terminal.printed();
}

/// Sends the command through the spool of the running daemon.
int send_words(const Options& options, Invocation line, const Terminal& terminal) {
    const bool takes_text = line.command->rest == wsserver::Command::Rest::text;
    if (takes_text && line.rest.empty()) {
        return terminal.fail(exit_usage,
                             fmt::format("there is nothing to send: give a TEXT, `-` for standard input, @FILE, or '' "
                                         "for an empty message. Usage: {}",
                                         line.command->usage()));
    }
    make_paths_absolute(line);
    if (options.json) line.options.emplace("--json", "");
    if (options.no_answer) line.options.emplace("--no-answer", "");
    auto words = line.words_without_text();
    if (std::any_of(words.begin(), words.end(), [](const auto& w) { return w.find('\n') != std::string::npos; })) {
        return terminal.fail(exit_usage,
                             "words of a command cannot contain newlines; only the text may have several lines");
    }

    const auto spool = find_spool(options.spool);
    if (!spool) return terminal.fail(exit_no_daemon, spool.error());
    for (const auto& warning : spool->warnings) terminal.warn(warning);
    const auto holder = wsserver::spool_holder(spool->path);
    if (!holder) return terminal.fail(exit_failed, fmt::format("{}; {}", holder.error(), how_to_join(spool->path)));
    if (!holder->held) return no_daemon(spool->path, terminal);

    std::string payload;
    if (takes_text) {
        auto text = payload_of(line, terminal.in);
        if (!text) return terminal.fail(exit_failed, text.error());
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
    defaults.json = options.json;
    const auto parsed = parse_connect_options(words, std::move(defaults));
    if (!parsed) return terminal.fail(exit_usage, parsed.error());
    if (parsed->wants_help) return print(connect_help(), terminal);
    return connect(*parsed, terminal);
}

int load_server(const Options& options, const std::vector<std::string>& words, const Terminal& terminal) {
    bench::Options defaults;
    defaults.timeout = options.timeout.value_or(std::chrono::milliseconds{0});
    defaults.json = options.json;
    defaults.quiet = options.quiet;
    const auto parsed = bench::parse_options(words, std::move(defaults));
    if (!parsed) return terminal.fail(exit_usage, parsed.error());
    if (parsed->wants_help) return print(bench::help(), terminal);
    return bench::bench(*parsed, terminal);
}

int print_spool(const Options& options, const std::vector<std::string>& words, const Terminal& terminal) {
    const bool only_json = words.empty() || (words.size() == 1 && words.front() == "--json");
    if (!only_json) return terminal.fail(exit_usage, fmt::format("{} is too much. Usage: spool", words.back()));
    const auto spool = find_spool(options.spool);
    if (!spool) return terminal.fail(exit_no_daemon, spool.error());
    for (const auto& warning : spool->warnings) terminal.warn(warning);
    const bool json = options.json || !words.empty();
    return print((json ? wsserver::JsonObject{}.add("spool", spool->path).text() : spool->path) + '\n', terminal);
}

int print_completion(const std::vector<std::string>& words, const Terminal& terminal) {
    const auto script = words.size() == 1 ? completion_script(words.front()) : std::nullopt;
    if (!script) return terminal.fail(exit_usage, "usage: completion bash|zsh|fish");
    return print(*script, terminal);
}

}  // namespace

Terminal with_json_if_wanted(const Terminal& terminal, const std::vector<std::string>& words) {
    auto result = terminal;
    const auto end = std::find(words.begin(), words.end(), "--");
    result.json = terminal.json || std::find(words.begin(), end, "--json") != end;
    return result;
}

int run_words(const Options& options, std::vector<std::string> words, const Terminal& shown) {
    const auto terminal = with_json_if_wanted(shown, words);
    const std::string word = words.front();
    const std::vector<std::string> rest{words.begin() + 1, words.end()};
    if (word == "help") return help(rest, terminal);
    if (word == "connect") return be_client(options, rest, terminal);
    if (word == "bench") return load_server(options, rest, terminal);
    if (word == "completion") return print_completion(rest, terminal);
    if (word == "spool") return print_spool(options, rest, terminal);
    auto line = wsserver::parse_command(words);
    if (!line) return complain(terminal, line.error());
    return send_words(options, *std::move(line), terminal);
}

}  // namespace wsd::ctl
