// The table of commands and what each of them does.
#pragma once

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <exception>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/base/utf8.hpp"
#include "wsserver/control/command.hpp"
#include "wsserver/control/detail/list_query.hpp"
#include "wsserver/control/detail/report_format.hpp"
#include "wsserver/control/json.hpp"
#include "wsserver/control/text_format.hpp"
#include "wsserver/scheduling/awaited.hpp"
#include "wsserver/scheduling/foreign_calls.hpp"

namespace wsserver {

namespace {

using std::chrono::milliseconds;

/// How long to wait for reactors and handlers. A reactor answers within a turn, so one that takes longer is stuck in a
/// handler, and the observer must not get stuck with it.
constexpr milliseconds answer_patience{5'000};

/// After this time all reactors have answered, unless the machine is busy or one of them is stuck: it is enough to
/// queue a small message for 500,000 peers. Not shorter, since finding a stuck reactor lists all connections.
constexpr milliseconds soon{500};

Answer fail(CommandErrc code, std::string text) { return Answer::failed(code, std::move(text)); }

std::string ended_with_newline(std::string text) {
    if (!text.empty() && text.back() != '\n') text += '\n';
    return text;
}

std::string subprotocol_of(std::string_view word) { return word == default_handler ? "" : std::string{word}; }

// --- what commands have in common

Result<ConnectionId, Answer> id_of(const CommandCall& call) {
    const std::string& word = call.line.arguments.front();
    if (const auto id = parse_connection_id(word)) return *id;
    return Unexpected{
        fail(CommandErrc::usage,
             fmt::format("{} is not a connection id: ids look like 0-12-3, and `list` shows them", quoted_word(word)))};
}

Answer gone(ConnectionId id) {
    return fail(CommandErrc::gone,
                fmt::format("no open connection has the id {}: it has ended, and ids are never reused; "
                            "`list` shows the open ones",
                            to_string(id)));
}

Answer report(const CommandCall& call, ConnectionId id, SendStatus status) {
    switch (status) {
        case SendStatus::queued:
            if (!call.line.json()) return Answer::done("queued\n");
            return Answer::done(JsonObject{}.add("id", to_string(id)).add("status", "queued").text() + '\n');
        case SendStatus::dropped:
            return fail(CommandErrc::dropped, fmt::format("{} reads too slowly: its send queue is full, and the policy "
                                                          "for slow consumers dropped this message",
                                                          to_string(id)));
        case SendStatus::closed:
            return gone(id);
        case SendStatus::refused:
            break;
    }
    return fail(CommandErrc::refused, fmt::format("{}: RFC 6455 does not allow this message", to_string(id)));
}

/// Instead of an answer that would be a guess: what was begun may be cut off by the end of the process.
Answer stopping() { return fail(CommandErrc::stopping, "the program stops, and the command has not been answered"); }

/// Waits for the count from all reactors, but not for one that is known to be stuck: otherwise each of several commands
/// in a row would delay the next ones.
std::optional<std::size_t> wait_for_all(const CommandCall& call, const Awaited<std::size_t>& count) {
    const auto one_is_stalled = [&] { return !call.target.stalled_reactors().empty(); };
    if (!one_is_stalled()) {
        if (const auto number = count.wait(call.stop, soon)) return number;
        if (!call.stop.stop_requested()) call.target.list();  // asks all of them, which finds the stalled ones
    }
    return count.wait(call.stop, one_is_stalled() ? milliseconds{0} : answer_patience);
}

/// The answer to a command for many connections. `what`: the noun for the count, in the plural: `receivers`.
Answer report_count(const CommandCall& call, const Awaited<std::size_t>& count, std::string_view what) {
    const auto number = wait_for_all(call, count);
    if (!number && call.stop.stop_requested()) return stopping();
    if (!number) {
        return fail(CommandErrc::timeout,
                    "handed over, but not all reactors have answered: an inline handler blocks one, or the kernel "
                    "does; the log says which. The others have done it");
    }
    if (call.line.json()) return Answer::done(JsonObject{}.add(what, *number).text() + '\n');
    const std::string_view shown = *number == 1 ? what.substr(0, what.size() - 1) : what;
    return Answer::done(fmt::format("{} {}\n", *number, shown));
}

Answer report(const CommandCall& call, const Outcome& outcome) {
    if (!outcome) return fail(CommandErrc::failed, outcome.error());
    if (call.line.json()) return Answer::done(JsonObject{}.add("text", *outcome).text() + '\n');
    return Answer::done(ended_with_newline(*outcome));
}

/// As report(), for a command that waits for code of handlers: a stop may have cut it off.
Answer report_unless_cut(const CommandCall& call, const Outcome& outcome) {
    return !outcome && call.stop.stop_requested() ? stopping() : report(call, outcome);
}

/// The offset of the first byte that is not UTF-8; the size if the text ends within a character.
std::size_t invalid_utf8_at(Bytes text) {
    Utf8Validator validator;
    std::size_t at = 0;
    while (at < text.size() && validator.append(text.subspan(at, 1))) ++at;
    return at;
}

/// RFC 6455 §5.6: "The 'Payload data' is text data encoded as UTF-8."
std::optional<Answer> check_text(Bytes text) {
    if (is_valid_utf8(text)) return std::nullopt;
    return fail(CommandErrc::bad_utf8,
                fmt::format("the text is not UTF-8 (byte {} of {}): convert it (iconv -t UTF-8), or send it with "
                            "--binary",
                            std::min(invalid_utf8_at(text) + 1, text.size()), text.size()));
}

// --- status, list, show

std::string stalled_text(std::uint16_t reactor) {
    return fmt::format(
        "reactor {0} does not answer, see the log. Its connections, whose ids begin with {0}-, are not shown", reactor);
}

Answer list(const CommandCall& call) {
    const auto query = parse_list_query(call.line);
    if (!query) return fail(CommandErrc::usage, query.error());
    auto connections = select_connections(call.target.list(), *query);
    const std::size_t selected = connections.size();
    connections.resize(std::min(selected, query->limit));
    if (!call.line.json()) {
        std::string text = table_of(connections);
        if (selected > connections.size()) text += fmt::format("{} of {} connections\n", connections.size(), selected);
        for (const auto reactor : call.target.stalled_reactors()) text += stalled_text(reactor) + '\n';
        return Answer::done(std::move(text));
    }
    std::string text;
    for (const ConnectionInfo& connection : connections) text += json_of(connection) + '\n';
    return Answer::done(std::move(text));
}

Answer show(const CommandCall& call) {
    const auto id = id_of(call);
    if (!id) return id.error();
    const auto found = call.target.show(*id);
    if (!found) {
        const auto stalled = call.target.stalled_reactors();
        const bool unknown = std::find(stalled.begin(), stalled.end(), id->reactor) != stalled.end();
        return unknown ? fail(CommandErrc::timeout, stalled_text(id->reactor)) : gone(*id);
    }
    return Answer::done(call.line.json() ? json_of(*found) + '\n' : text_of(*found));
}

Answer status(const CommandCall& call) {
    auto report = call.target.status();
    if (report.draining) report.listening.clear();  // whatever the sockets are bound to, nothing is accepted
    return Answer::done(call.line.json() ? json_of(report) + '\n' : text_of(report));
}

// --- send, broadcast, ping, close

Answer send(const CommandCall& call) {
    const auto id = id_of(call);
    if (!id) return id.error();
    const auto hub = call.target.hub();
    if (call.line.has("--binary")) return report(call, *id, hub->send(*id, Binary{call.payload}));
    if (auto wrong = check_text(call.payload)) return *wrong;
    return report(call, *id, hub->send(*id, Text::from_payload(call.payload)));
}

Answer broadcast(const CommandCall& call) {
    if (call.line.has("--topic")) {
        return fail(CommandErrc::not_yet,
                    "topics are not built yet: choose the receivers by --subprotocol, or send to "
                    "each id that `list` shows");
    }
    Audience audience;
    if (const auto subprotocol = call.line.value("--subprotocol")) audience.subprotocol = std::string{*subprotocol};
    const Awaited<std::size_t> receivers;
    if (call.line.has("--binary")) {
        call.target.hub()->broadcast(audience, Binary{call.payload}, receivers.deliver());
    } else {
        if (auto wrong = check_text(call.payload)) return *wrong;
        call.target.hub()->broadcast(audience, Text::from_payload(call.payload), receivers.deliver());
    }
    return report_count(call, receivers, "receivers");
}

/// `ID` or `--all`: parse_command() ensures that there is exactly one of them.
bool all(const CommandCall& call) { return call.line.has("--all"); }

Answer ping(const CommandCall& call) {
    if (all(call)) {
        const Awaited<std::size_t> pinged;
        call.target.hub()->ping_all(pinged.deliver());
        return report_count(call, pinged, "pings");
    }
    const auto id = id_of(call);
    if (!id) return id.error();
    return report(call, *id, call.target.hub()->ping(*id, {}));
}

Result<CloseCode, Answer> close_code_of(const CommandCall& call) {
    const auto word = call.line.value("--code");
    if (!word) return CloseCode::normal;
    std::uint16_t number = 0;
    const auto [end, error] = std::from_chars(word->data(), word->data() + word->size(), number);
    const bool whole = error == std::errc{} && end == word->data() + word->size();
    if (whole && may_be_sent(CloseCode{number})) return CloseCode{number};
    return Unexpected{fail(CommandErrc::usage,
                           fmt::format("--code {}: a Close frame may carry 1000 to 1003, 1007 to 1014 and 3000 to 4999 "
                                       "(RFC 6455 section 7.4)",
                                       quoted_word(*word)))};
}

Answer close(const CommandCall& call) {
    const auto code = close_code_of(call);
    if (!code) return code.error();
    const auto reason = call.line.value("--reason").value_or("");
    if (reason.size() > max_close_reason) {
        return fail(CommandErrc::usage, fmt::format("--reason has {} bytes: a Close frame has space for {}",
                                                    reason.size(), max_close_reason));
    }
    if (!is_valid_utf8(bytes_of(reason))) return fail(CommandErrc::bad_utf8, "--reason is not UTF-8");
    if (all(call)) {
        const Awaited<std::size_t> closed;
        call.target.hub()->close_all(*code, reason, closed.deliver());
        return report_count(call, closed, "connections");
    }
    const auto id = id_of(call);
    if (!id) return id.error();
    return report(call, *id, call.target.hub()->close(*id, *code, reason));
}

// --- handlers

Answer handler_list(const CommandCall& call) {
    const auto handlers = call.target.handlers();
    if (!call.line.json()) return Answer::done(table_of(handlers));
    std::string text;
    for (const HandlerReport& handler : handlers) text += json_of(handler) + '\n';
    return Answer::done(std::move(text));
}

Answer handler_load(const CommandCall& call) {
    const auto subprotocol = subprotocol_of(call.line.arguments[0]);
    return report_unless_cut(call, call.target.load_handler(subprotocol, call.line.arguments[1]));
}

/// Nothing if a handler serves the subprotocol.
std::optional<Answer> answer_if_unserved(const CommandCall& call, const std::string& word) {
    const auto handlers = call.target.handlers();
    const auto is_it = [&](const HandlerReport& h) { return h.subprotocol == subprotocol_of(word); };
    if (std::any_of(handlers.begin(), handlers.end(), is_it)) return std::nullopt;
    return fail(
        CommandErrc::no_handler,
        fmt::format("nothing serves the subprotocol {}: `handler list` shows what is served", quoted_word(word)));
}

Answer handler_unload(const CommandCall& call) {
    const std::string& word = call.line.arguments.front();
    if (auto unserved = answer_if_unserved(call, word)) return *std::move(unserved);
    return report(call, call.target.unload_handler(subprotocol_of(word), call.line.has("--to-default")));
}

Answer handler_reload(const CommandCall& call) {
    if (call.line.has("--all")) return report_unless_cut(call, call.target.reload_handlers());
    const std::string& word = call.line.arguments.front();
    if (auto unserved = answer_if_unserved(call, word)) return *std::move(unserved);
    return report_unless_cut(call, call.target.reload_handler(subprotocol_of(word)));
}

CommandAnswer command_of(AnyHandler& handler, const std::vector<std::string>& words, Bytes payload) {
    try {
        return handler.on_command(words, payload);
    } catch (const std::exception& error) {
        return {false, fmt::format("the handler threw: {}", error.what())};
    } catch (...) {
        return {false, "the handler threw an exception that is not a std::exception"};
    }
}

/// A handler's command runs on its own thread, since it may wait for a lock that a stuck worker holds.
Answer call_handler(const CommandCall& call) {
    const std::string& name = call.line.arguments.front();
    auto handler = call.target.find_handler(name);
    if (!handler && name == default_handler) handler = call.target.find_handler("");
    if (!handler) {
        return fail(CommandErrc::no_handler,
                    fmt::format("no handler has the name {}: `handler list` shows them", quoted_word(name)));
    }
    const Awaited<CommandAnswer> awaited;
    const auto started = ForeignCalls::of_process().start(
        ForeignCalls::Kind::command, fmt::format("on_command() of {}", escape_control(handler->name())),
        [deliver = awaited.deliver(), handler, words = call.line.rest,
         payload = std::vector<std::uint8_t>(call.payload.begin(), call.payload.end())] {
            deliver(command_of(*handler, words, payload));
        });
    if (started == ForeignCalls::Start::busy) {
        return fail(CommandErrc::busy,
                    fmt::format("{} calls of handlers have not returned: `status` names them", ForeignCalls::most));
    }
    if (started == ForeignCalls::Start::no_thread) {
        return fail(CommandErrc::failed,
                    "`call` needs a thread, and none can be started: raise the limit of threads (ulimit -u)");
    }
    auto answer = awaited.wait(call.stop, answer_patience);
    if (!answer && call.stop.stop_requested()) return stopping();
    if (!answer) {
        return fail(CommandErrc::timeout,
                    fmt::format("{} has not answered within {}; it continues, and its answer will be lost",
                                quoted_word(name), readable_time(answer_patience)));
    }
    if (!answer->ok) return fail(CommandErrc::failed, fmt::format("{}: {}", escape_control(name), answer->output));
    if (call.line.json()) return Answer::done(JsonObject{}.add("output", answer->output).text() + '\n');
    return Answer::done(ended_with_newline(std::move(answer->output)));
}

// --- the program

constexpr std::array<std::string_view, 4> log_levels{"debug", "info", "warning", "error"};

Answer log_level(const CommandCall& call) {
    const std::string& level = call.line.arguments.front();
    if (std::find(log_levels.begin(), log_levels.end(), level) == log_levels.end()) {
        return fail(CommandErrc::usage,
                    fmt::format("{} is not one of {}", quoted_word(level), fmt::join(log_levels, ", ")));
    }
    return report(call, call.target.set_log_level(level));
}
Answer reload(const CommandCall& call) {
    auto answer = report_unless_cut(call, call.target.reload());
    answer.logged = call.target.logs_failures();
    return answer;
}
Answer drain(const CommandCall& call) { return report(call, call.target.drain()); }
Answer undrain(const CommandCall& call) {
    auto answer = report(call, call.target.undrain());
    answer.logged = call.target.logs_failures();
    return answer;
}
Answer stop(const CommandCall& call) { return report(call, call.target.stop()); }

Answer version(const CommandCall& call) {
    const auto text = call.target.version();
    if (!call.line.json()) return Answer::done(text + '\n');
    const auto blank = std::min(text.rfind(' '), text.size());
    const auto version = std::string_view{text}.substr(std::min(blank + 1, text.size()));
    return Answer::done(JsonObject{}.add("program", text.substr(0, blank)).add("version", version).text() + '\n');
}

Answer help(const CommandCall& call) { return help_on(call.line.rest); }

std::vector<Command> make_table() {
    using Rest = Command::Rest;
    const CommandOption binary{"--binary", "", "send a binary message; the payload may be any bytes"};
    return {
        {.name = "status",
         .summary = "version, addresses, connections, counters, and handlers that hang",
         .only_reports = true,
         .run = status},
        {.name = "list",
         .options = {{"--subprotocol", "S", "only connections with this subprotocol; `default`: without one"},
                     {"--handler", "H", "only connections that this handler serves"},
                     {"--peer", "P", "only connections from this address, with its port or without"},
                     {"--sort", "KEY", "by this column, the largest first"},
                     {"--reverse", "", "in the reverse order"},
                     {"--limit", "N", "at most N connections"}},
         .summary = "connections: id, peer, subprotocol, handler, state, times, traffic",
         .details = "RTT is the round trip of the last answered ping; QUEUED is what waits to be sent.\n"
                    "KEY is id (the default), peer, subprotocol, handler, state, age, idle, rtt, messages, bytes,\n"
                    "queued or dropped. Messages and bytes count both directions.\n"
                    "example: list --sort queued --limit 20\n"
                    "         list --peer 192.0.2.7 --json | jq -r 'select(.idle_ms > 60000) | .id'\n",
         .only_reports = true,
         .run = list},
        {.name = "show", .arguments = {"ID"}, .summary = "one connection", .only_reports = true, .run = show},
        {.name = "send",
         .arguments = {"ID"},
         .rest = Rest::text,
         .options = {binary},
         .summary = "send a message to one connection",
         .details = "TEXT may be several words. On the command line `-` is standard input and @FILE a file.\n"
                    "example: send 0-12-3 'dinner is ready'\n"
                    "         send --binary 0-12-3 @picture.png\n",
         .run = send},
        {.name = "broadcast",
         .rest = Rest::text,
         .options = {{"--subprotocol", "S", "only to connections with this subprotocol"},
                     {"--topic", "T", "only to subscribers (not yet)"},
                     binary},
         .summary = "send a message to all connections; prints how many it was queued for",
         .details = "TEXT may be several words. On the command line `-` is standard input and @FILE a file.\n"
                    "example: broadcast 'hello, everyone'\n"
                    "         broadcast --subprotocol chat - < news.txt\n",
         .run = broadcast},
        {.name = "ping",
         .arguments = {"ID"},
         .options = {{"--all", "", "all connections"}},
         .instead_of_argument = "--all",
         .summary = "send a ping; `show ID` prints its round trip after the pong",
         .run = ping},
        {.name = "close",
         .arguments = {"ID"},
         .options = {{"--all", "", "all connections"},
                     {"--code", "N", "the close code; default: 1000"},
                     {"--reason", "R", "at most 123 bytes for the peer to read"}},
         .instead_of_argument = "--all",
         .summary = "begin the closing handshake",
         .details = "example: close 0-12-3 --code 4001 --reason 'please log in again'\n"
                    "         close --all --code 1012\n",
         .run = close},
        {.name = "handler list",
         .summary = "which handler serves which subprotocol, and how many connections it has",
         .only_reports = true,
         .run = handler_list},
        {.name = "handler load",
         .arguments = {"SUBPROTOCOL", "PATH"},
         .summary = "serve a subprotocol with a shared object, or a built-in handler: echo, broadcast, null",
         .details =
             "`default` as SUBPROTOCOL is the handler of clients that ask for none. The previous handler keeps its\n"
             "open connections.\n"
             "example: handler load chat /usr/lib/wsd/handlers/chat.so\n",
         .repeatable = false,
         .for_group = false,
         .run = handler_load},
        {.name = "handler unload",
         .arguments = {"SUBPROTOCOL"},
         .options = {{"--to-default", "", "its connections stay open, and the default handler serves them"}},
         .summary = "stop serving a subprotocol; its connections are closed with 1012",
         .details = "With --to-default, the default handler sees each connection as a new one.\n"
                    "example: handler unload chat --to-default\n",
         .for_group = false,
         .run = handler_unload},
        {.name = "handler reload",
         .arguments = {"SUBPROTOCOL"},
         .options = {{"--all", "", "all shared objects"}},
         .instead_of_argument = "--all",
         .summary = "load a shared object again; the new code serves its open connections, too",
         .details = "Connections stay open and lose no message. What the old code knows is passed on if both sides\n"
                    "have save_state() and restore_state(). On an error, the old code continues to serve.\n"
                    "example: handler reload chat\n",
         .repeatable = false,
         .for_group = false,
         .run = handler_reload},
        {.name = "call",
         .arguments = {"HANDLER"},
         .rest = Rest::words,
         .summary = "run a handler's own command",
         .details =
             "HANDLER is its name or its subprotocol. All words after it, including options, are for the handler.\n"
             "example: call chat kick bob\n",
         .run = call_handler},
        {.name = "log-level",
         .arguments = {"LEVEL"},
         .summary = "set the log level: debug, info, warning or error",
         .for_group = false,
         .run = log_level},
        {.name = "reload",
         .summary = "read the configuration again; connections stay, and if it is invalid the old one stays, too",
         .repeatable = false,
         .for_group = false,
         .run = reload},
        {.name = "drain",
         .summary = "accept no new connections; open ones stay",
         .details = "`undrain` takes it back; reload does not.\n",
         .repeatable = false,
         .for_group = false,
         .run = drain},
        {.name = "undrain",
         .summary = "accept new connections again, after drain",
         .details =
             "Listens on the same addresses as before. If another program listens on one of them now, it fails,\n"
             "and the server drains as before. Connections that ended meanwhile stay closed.\n",
         .repeatable = false,
         .for_group = false,
         .run = undrain},
        {.name = "stop",
         .summary = "close all connections with 1001 and exit",
         .repeatable = false,
         .for_group = false,
         .run = stop},
        {.name = "version", .summary = "the program and its version", .only_reports = true, .run = version},
        {.name = "help",
         .rest = Rest::words,
         .summary = "all commands, or one: help WORD",
         .only_reports = true,
         .run = help},
    };
}

}  // namespace

std::span<const Command> commands() {
    static const std::vector<Command> table = make_table();
    return table;
}

}  // namespace wsserver
