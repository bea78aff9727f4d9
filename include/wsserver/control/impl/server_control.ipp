#pragma once

#include "wsserver/control/server_control.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "wsserver/control/text_format.hpp"
#include "wsserver/handler/handlers.hpp"
#include "wsserver/handler/replaceable_handler.hpp"
#include "wsserver/scheduling/foreign_calls.hpp"

namespace wsserver {

CallReport report_of(ForeignCalls::State call) {
    const bool loads = call.kind == ForeignCalls::Kind::load;
    const bool hangs = call.since > (loads ? handler_load_deadline : handler_end_deadline);
    return {std::move(call.name), call.since, hangs};
}

std::vector<std::pair<std::string, std::uint64_t>> counters_of(const ServerStatistics& s) {
    return {{"accepted", s.accepted},
            {"opened", s.opened},
            {"refused", s.refused},
            {"http_answered", s.http_answered},
            {"http_unrouted", s.http_unrouted},
            {"http_timeouts", s.http_timeouts},
            {"turned_away", s.turned_away},
            {"over_connection_rate", s.over_connection_rate},
            {"over_address_connections", s.over_address_connections},
            {"over_address_rate", s.over_address_rate},
            {"over_user_connections", s.over_user_connections},
            {"over_user_rate", s.over_user_rate},
            {"limits_forgotten", s.limits_forgotten},
            {"accept_pauses", s.accept_pauses},
            {"handshake_timeouts", s.handshake_timeouts},
            {"message_timeouts", s.message_timeouts},
            {"pong_timeouts", s.pong_timeouts},
            {"close_timeouts", s.close_timeouts},
            {"slow_consumers", s.slow_consumers},
            {"rate_pauses", s.rate_pauses},
            {"address_pauses", s.address_pauses},
            {"user_pauses", s.user_pauses},
            {"publish_pauses", s.publish_pauses},
            {"memory_pauses", s.memory_pauses},
            {"closed_for_memory", s.closed_for_memory},
            {"refused_for_memory", s.refused_for_memory},
            {"joins_over_limit", s.joins_over_limit},
            {"calls_over_limit", s.calls_over_limit},
            {"calls_dropped", s.calls_dropped},
            {"tasks_dropped", s.tasks_dropped},
            {"joins_dropped", s.joins_dropped},
            {"messages_dropped", s.messages_dropped},
            {"handler_exceptions", s.handler_exceptions},
            {"handlers_overdue", s.handlers_overdue},
            {"reactor_stalls", s.reactor_stalls},
            {"taken_over", s.taken_over},
            {"messages_in", s.messages_in},
            {"messages_out", s.messages_out},
            {"bytes_in", s.bytes_in},
            {"bytes_out", s.bytes_out}};
}

StatusReport ServerControl::status() {
    const auto statistics = server_.statistics();
    StatusReport report;
    report.program = about_.program;
    report.version = about_.version;
    report.pid = ::getpid();
    report.uptime = uptime();
    report.draining = draining_.load(std::memory_order_relaxed);
    report.listening = server_.listening();
    report.connections = statistics.open;
    report.memory = statistics.memory;
    report.memory_limit = statistics.memory_limit;
    report.paused_for_memory = statistics.paused_for_memory;
    report.rooms = statistics.rooms;
    report.memberships = statistics.memberships;
    report.users = statistics.users;
    report.io_threads = server_.io_threads();
    report.handlers = handlers();
    report.stalled_reactors = server_.stalled_reactors();  // after handlers(), which has just asked all of them
    for (auto& worker : server_.workers()) {
        report.workers.push_back({std::move(worker.task), worker.since, worker.overdue});
    }
    for (auto& load : server_.handler_loads()) {
        report.queues.push_back({std::move(load.handler), load.waiting, load.running});
    }
    for (auto& call : ForeignCalls::of_process().states()) {
        report.calls.push_back(report_of(std::move(call)));
    }
    report.counters = counters_of(statistics);
    report.closes = statistics.closes;
    report.refusals = statistics.refusals;
    return report;
}

namespace {

void add_versions(HandlerReport& report, const AnyHandler& handler) {
    const auto* const replaceable = dynamic_cast<const ReplaceableHandler*>(&handler);
    if (replaceable == nullptr) return;
    const auto versions = replaceable->versions();
    report.version = versions.back().number;
    report.old_versions = versions.size() - 1;
    for (const auto& version : versions) report.old += version.connections;
    report.old -= versions.back().connections;
}

}  // namespace

std::vector<HandlerReport> ServerControl::handlers() {
    // By both, since a handler that was replaced keeps its connections.
    std::map<std::pair<std::string, std::string>, std::size_t> connections;
    for (const auto& connection : server_.list()) ++connections[{connection.subprotocol, connection.handler}];
    std::vector<HandlerReport> reports;
    for (const auto& [subprotocol, handler] : server_.handlers()) {
        HandlerReport report;
        report.subprotocol = subprotocol;
        report.handler = handler->name();
        report.source = source_of(subprotocol);
        report.runs = handler->runs();
        report.connections = connections[{report.subprotocol, report.handler}];
        add_versions(report, *handler);
        reports.push_back(std::move(report));
    }
    return reports;
}

std::shared_ptr<AnyHandler> ServerControl::find_handler(std::string_view name) {
    const auto handlers = server_.handlers();
    const auto by_subprotocol =
        std::find_if(handlers.begin(), handlers.end(), [name](const auto& entry) { return entry.first == name; });
    if (by_subprotocol != handlers.end()) return by_subprotocol->second;
    const auto by_name = std::find_if(handlers.begin(), handlers.end(),
                                      [name](const auto& entry) { return entry.second->name() == name; });
    return by_name == handlers.end() ? nullptr : by_name->second;
}

Outcome ServerControl::load_handler(const std::string& subprotocol, const std::string& what) {
    auto handler = load_within(handler_load_deadline, {}, what,
                               [what, subprotocol] { return make_handler_of(what, subprotocol); });
    if (!handler) return Unexpected{handler.error()};
    const std::string name{(*handler)->name()};
    server_.handle(subprotocol, std::move(*handler));
    return fmt::format("{} serves {}", name, name_of_subprotocol(subprotocol));
}

Outcome ServerControl::unload_handler(const std::string& subprotocol, bool to_default) {
    if (to_default) return Unexpected{about_.program + " cannot pass connections to another handler"};
    if (!server_.remove_handler(subprotocol, CloseCode::service_restart))
        return Unexpected{fmt::format("nothing serves {}", name_of_subprotocol(subprotocol))};
    return fmt::format("nothing serves {} any more", name_of_subprotocol(subprotocol));
}

Outcome ServerControl::reload_handler(const std::string& /*subprotocol*/) { return reload_handlers(); }

Outcome ServerControl::reload_handlers() {
    return Unexpected{about_.program + " cannot replace the code of handlers; see ReplaceableHandler"};
}

Outcome ServerControl::set_log_level(const std::string& /*level*/) {
    return Unexpected{about_.program + " has no log level to set"};
}

Outcome ServerControl::reload() { return Unexpected{about_.program + " has no configuration to reload"}; }

Outcome ServerControl::drain() {
    server_.drain();
    draining_.store(true, std::memory_order_relaxed);
    return std::string{"no new connections are accepted"};
}

Outcome ServerControl::undrain() {
    if (!draining_) return std::string{"the server does not drain"};
    if (const auto done = server_.undrain(); !done) return Unexpected{done.error()};
    draining_ = false;
    return std::string{"new connections are accepted again"};
}

Outcome ServerControl::stop() {
    stop_within(about_.grace);
    return std::string{"stopping"};
}

void ServerControl::stop_within(std::chrono::milliseconds grace) {
    draining_.store(true, std::memory_order_relaxed);
    server_.request_stop(grace);
}

std::chrono::milliseconds ServerControl::uptime() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - started_);
}

std::string ServerControl::source_of(const std::string& /*subprotocol*/) { return {}; }

std::string ServerControl::version() {
    return about_.version.empty() ? about_.program : fmt::format("{} {}", about_.program, about_.version);
}

}  // namespace wsserver
