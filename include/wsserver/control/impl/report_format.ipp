#pragma once

#include "wsserver/control/detail/report_format.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/control/json.hpp"
#include "wsserver/control/text_format.hpp"

namespace wsserver {

using std::chrono::milliseconds;

namespace {

std::string milliseconds_of(milliseconds time) { return std::to_string(time.count()); }

std::string readable_round_trip(const ConnectionInfo& info) {
    return info.round_trip ? readable_time(*info.round_trip) : std::string{};
}

std::string_view word_of(std::string_view subprotocol) { return subprotocol.empty() ? default_handler : subprotocol; }

std::string_view word_of(Runs runs) { return runs == Runs::inline_ ? "inline" : "pooled"; }

std::string json_of(const WorkerReport& worker) {
    JsonObject object;
    if (worker.handler.empty()) {
        object.raw("handler", "null").raw("since_ms", "null");
    } else {
        object.add("handler", worker.handler).raw("since_ms", milliseconds_of(worker.since));
    }
    return object.add("overdue", worker.overdue).text();
}

std::string json_of(const QueueReport& queue) {
    return JsonObject{}
        .add("handler", queue.handler)
        .add("waiting", queue.waiting)
        .add("running", queue.running)
        .text();
}

std::string text_of_queues(const std::vector<QueueReport>& queues) {
    std::string text;
    for (const QueueReport& queue : queues) {
        text += fmt::format("{:<11}  {}: {} waiting, {} running\n", "queue", escape_control(queue.handler),
                            queue.waiting, queue.running);
    }
    return text;
}

std::string json_of(const CallReport& call) {
    return JsonObject{}
        .add("call", call.call)
        .raw("since_ms", milliseconds_of(call.since))
        .add("overdue", call.overdue)
        .text();
}

std::string_view word_for_busy(bool overdue) { return overdue ? "hangs" : "works"; }

std::string text_of_workers(const std::vector<WorkerReport>& workers) {
    const auto busy = std::count_if(workers.begin(), workers.end(), [](const auto& w) { return !w.handler.empty(); });
    const auto hanging = std::count_if(workers.begin(), workers.end(), [](const auto& w) { return w.overdue; });
    if (workers.empty()) return "none yet: they start with the first handler that may block\n";
    std::string text = fmt::format("{}, {} busy", workers.size(), busy);
    if (hanging > 0) text += fmt::format(", {} hang{}", hanging, hanging == 1 ? "s" : "");
    text += '\n';
    for (const WorkerReport& worker : workers) {
        if (worker.handler.empty()) continue;
        text += fmt::format("             {} {} for {}\n", escape_control(worker.handler),
                            word_for_busy(worker.overdue), readable_time(worker.since));
    }
    return text;
}

std::string text_of_memory(const StatusReport& status) {
    std::string text = readable_size(status.memory);
    if (status.memory_limit != 0) text += " of " + readable_size(status.memory_limit);
    if (status.paused_for_memory != 0) text += fmt::format(", {} paused", status.paused_for_memory);
    return text;
}

/// `1000: 3, 1006: 1`
template <class Code>
std::string text_of_counts(const std::map<Code, std::uint64_t>& counts) {
    std::string text;
    for (const auto& [code, count] : counts) text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", code, count);
    return text;
}

template <class Code>
std::string json_of_counts(const std::map<Code, std::uint64_t>& counts) {
    JsonObject object;
    for (const auto& [code, count] : counts) object.add(std::to_string(code), count);
    return object.text();
}

}  // namespace

std::string json_of(const ConnectionInfo& info) {
    return JsonObject{}
        .add("id", to_string(info.id))
        .add("peer", info.peer)
        .add("subprotocol", info.subprotocol)
        .add("user", info.user)
        .add("handler", info.handler)
        .add("state", info.state)
        .raw("age_ms", milliseconds_of(info.age))
        .raw("idle_ms", milliseconds_of(info.idle))
        .add("rtt_ms", info.round_trip)
        .add("bytes_in", info.bytes_in)
        .add("bytes_out", info.bytes_out)
        .add("messages_in", info.messages_in)
        .add("messages_out", info.messages_out)
        .add("dropped", info.dropped)
        .add("queued", info.queued)
        .text();
}

std::string table_of(const std::vector<ConnectionInfo>& connections) {
    Table table{{{"ID"},
                 {"PEER"},
                 {"SUBPROTOCOL"},
                 {"HANDLER"},
                 {"STATE"},
                 {"AGE", true},
                 {"IDLE", true},
                 {"RTT", true},
                 {"MSGS IN", true},
                 {"OUT", true},
                 {"BYTES IN", true},
                 {"OUT", true},
                 {"QUEUED", true}}};
    for (const ConnectionInfo& c : connections) {
        table.add({to_string(c.id), c.peer, c.subprotocol, c.handler, c.state, readable_time(c.age),
                   readable_time(c.idle), readable_round_trip(c), std::to_string(c.messages_in),
                   std::to_string(c.messages_out), readable_size(c.bytes_in), readable_size(c.bytes_out),
                   readable_size(c.queued)});
    }
    return table.empty() ? "no connections\n" : table.text();
}

std::string text_of(const ConnectionInfo& c) {
    const auto bytes = [](std::uint64_t number) { return fmt::format("{} ({})", readable_size(number), number); };
    std::string text;
    const auto line = [&text](std::string_view name, std::string_view value) {
        text += fmt::format("{:<12}  {}\n", name, value.empty() ? "-" : escape_control(value));
    };
    line("id", to_string(c.id));
    line("peer", c.peer);
    line("subprotocol", c.subprotocol);
    line("handler", c.handler);
    line("state", c.state);
    line("age", readable_time(c.age));
    line("idle", readable_time(c.idle));
    line("round trip", readable_round_trip(c));
    line("messages in", std::to_string(c.messages_in));
    line("messages out", std::to_string(c.messages_out));
    line("bytes in", bytes(c.bytes_in));
    line("bytes out", bytes(c.bytes_out));
    line("queued", bytes(c.queued));
    line("dropped", std::to_string(c.dropped));
    return text;
}

std::string json_of(const HandlerReport& handler) {
    return JsonObject{}
        .add("subprotocol", handler.subprotocol)
        .add("handler", handler.handler)
        .add("source", handler.source)
        .add("runs", word_of(handler.runs))
        .add("connections", handler.connections)
        .add("version", handler.version)
        .add("old", handler.old)
        .add("old_versions", handler.old_versions)
        .text();
}

namespace {

/// The connections of earlier code; `-` if that has ended.
std::string old_of(const HandlerReport& handler) {
    return handler.old_versions == 0 ? "-" : std::to_string(handler.old);
}

}  // namespace

std::string table_of(const std::vector<HandlerReport>& handlers) {
    Table table{
        {{"SUBPROTOCOL"}, {"HANDLER"}, {"RUNS"}, {"CONNECTIONS", true}, {"VERSION", true}, {"OLD", true}, {"SOURCE"}}};
    for (const HandlerReport& handler : handlers) {
        table.add({std::string{word_of(handler.subprotocol)}, handler.handler, std::string{word_of(handler.runs)},
                   std::to_string(handler.connections), std::to_string(handler.version), old_of(handler),
                   handler.source});
    }
    return table.empty() ? "no handlers\n" : table.text();
}

std::string json_of(const StatusReport& status) {
    std::vector<std::string> listening, stalled, handlers, workers, queues, calls;
    for (const auto& url : status.listening) listening.push_back(json_string(url));
    for (const auto reactor : status.stalled_reactors) stalled.push_back(std::to_string(reactor));
    for (const auto& handler : status.handlers) handlers.push_back(json_of(handler));
    for (const auto& worker : status.workers) workers.push_back(json_of(worker));
    for (const auto& queue : status.queues) queues.push_back(json_of(queue));
    for (const auto& call : status.calls) calls.push_back(json_of(call));
    JsonObject counters;
    for (const auto& [name, value] : status.counters) counters.add(name, value);
    return JsonObject{}
        .add("program", status.program)
        .add("version", status.version)
        .add("pid", status.pid)
        .raw("uptime_ms", milliseconds_of(status.uptime))
        .add("draining", status.draining)
        .raw("listening", json_array(listening))
        .add("connections", status.connections)
        .add("memory", status.memory)
        .add("memory_limit", status.memory_limit)
        .add("paused_for_memory", status.paused_for_memory)
        .add("rooms", status.rooms)
        .add("memberships", status.memberships)
        .add("users", status.users)
        .add("io_threads", status.io_threads)
        .raw("stalled_reactors", json_array(stalled))
        .raw("handlers", json_array(handlers))
        .raw("workers", json_array(workers))
        .raw("queues", json_array(queues))
        .raw("calls", json_array(calls))
        .raw("counters", counters.text())
        .raw("closes", json_of_counts(status.closes))
        .raw("refusals", json_of_counts(status.refusals))
        .text();
}

std::string text_of(const StatusReport& status) {
    std::string text = fmt::format("{} {}, process {}, up {}{}\n", status.program, status.version, status.pid,
                                   readable_time(status.uptime), status.draining ? ", draining" : "");
    const auto line = [&text](std::string_view name, std::string_view value) {
        text += fmt::format("{:<11}  {}\n", name, value);
    };
    if (status.listening.empty()) line("listening", "on nothing");
    for (const auto& url : status.listening) line("listening", escape_control(url));
    line("connections", std::to_string(status.connections));
    if (status.users != 0) line("users", std::to_string(status.users));
    if (status.rooms != 0) line("rooms", fmt::format("{}, {} memberships", status.rooms, status.memberships));
    line("memory", text_of_memory(status));
    line("io threads",
         fmt::format("{}{}{}", status.io_threads, status.stalled_reactors.empty() ? "" : ", no answer from ",
                     fmt::join(status.stalled_reactors, ", ")));
    text += fmt::format("{:<11}  {}", "workers", text_of_workers(status.workers));
    text += text_of_queues(status.queues);
    for (const CallReport& call : status.calls) {
        line("call", fmt::format("{} {} for {}", escape_control(call.call), word_for_busy(call.overdue),
                                 readable_time(call.since)));
    }
    if (!status.closes.empty()) line("closes", text_of_counts(status.closes));
    if (!status.refusals.empty()) line("refusals", text_of_counts(status.refusals));
    Table counters{{{"SINCE THE START"}, {"", true}}};
    for (const auto& [name, value] : status.counters) {
        if (value == 0) continue;
        std::string shown = name;
        std::replace(shown.begin(), shown.end(), '_', ' ');
        counters.add({std::move(shown), name.starts_with("bytes") ? readable_size(value) : std::to_string(value)});
    }
    if (!counters.empty()) text += counters.text();
    return text + table_of(status.handlers);
}

}  // namespace wsserver
