#include "wsd/connection_log.hpp"

#include <chrono>
#include <string>
#include <vector>

#include "wsserver/base/within_memory.hpp"
#include "wsserver/protocol/error.hpp"

namespace wsd {

namespace {

using wsserver::ConnectionEnd;
using wsserver::ConnectionEvent;

bool is_refusal(const ConnectionEnd& end) {
    return !end.opened && end.error.category() == wsserver::wsserver_category();
}

std::string_view words_for(const ConnectionEnd& end) {
    if (end.opened) return "connection ended";
    return is_refusal(end) ? "opening handshake refused" : "connection ended before it was open";
}

std::string_view words_for(ConnectionEvent::Kind kind) {
    switch (kind) {
        case ConnectionEvent::Kind::close_received:
            return "Close frame received";
        case ConnectionEvent::Kind::close_sent:
            return "Close frame sent";
        case ConnectionEvent::Kind::ping_received:
            return "Ping received";
        case ConnectionEvent::Kind::pong_received:
            return "Pong received";
        case ConnectionEvent::Kind::messages_dropped:
            return "messages dropped";
    }
    return "unknown event";
}

bool is_close(ConnectionEvent::Kind kind) {
    return kind == ConnectionEvent::Kind::close_received || kind == ConnectionEvent::Kind::close_sent;
}

std::string_view name_of_count(ConnectionEvent::Kind kind) {
    return kind == ConnectionEvent::Kind::messages_dropped ? "count" : "bytes";
}

/// Enough of a target to recognise a scanner.
std::string_view shortened(std::string_view target) { return target.substr(0, 200); }

LogLevel level_of(const ConnectionEnd& end) { return end.opened || is_refusal(end) ? LogLevel::info : LogLevel::debug; }

}  // namespace

ConnectionLog::ConnectionLog(std::shared_ptr<Log> log)
    : log_(std::move(log)), writer_([this](const std::stop_token& stop) { write_due_sums(stop); }) {}

ConnectionLog::~ConnectionLog() { flush(); }

void ConnectionLog::opened(const wsserver::ConnectionStart& start) {
    if (!log_->is_on(LogLevel::debug)) return;
    const auto id = to_string(start.connection.id());
    const auto peer = start.connection.peer();
    std::vector<LogField> fields{{"id", id},
                                 {"peer", peer},
                                 {"target", std::string_view{start.request.target}},
                                 {"origin", start.request.find("Origin")},
                                 {"asked", start.request.find("Sec-WebSocket-Protocol")},
                                 {"subprotocol", start.subprotocol},
                                 {"handler", start.handler},
                                 {"agent", start.request.find("User-Agent")}};
    log_->write(LogLevel::debug, "connection opened", fields);
}

void ConnectionLog::ended(const ConnectionEnd& end) {
    const LogLevel level = level_of(end);
    if (!log_->is_on(level)) return;
    if (is_refusal(end) && is_repeated(end)) return;
    const auto& info = end.info;
    const auto id = to_string(info.id);
    std::vector<LogField> fields{{"id", id}, {"peer", info.peer}};
    if (end.opened) {
        fields.push_back({"subprotocol", info.subprotocol});
        fields.push_back({"handler", info.handler});
    } else if (!end.target.empty()) {
        fields.push_back({"target", shortened(end.target)});
    }
    fields.push_back({"duration", static_cast<double>(info.age.count()) / 1000});
    fields.push_back({"bytes_in", info.bytes_in});
    fields.push_back({"bytes_out", info.bytes_out});
    if (end.opened) {
        fields.push_back({"messages_in", info.messages_in});
        fields.push_back({"messages_out", info.messages_out});
        if (info.dropped != 0) fields.push_back({"dropped", info.dropped});
        fields.push_back({"code", std::uint64_t{static_cast<std::uint16_t>(end.code)}});
        if (!end.reason.empty() && end.reason != end.cause) fields.push_back({"reason", end.reason});
    }
    if (!end.cause.empty()) fields.push_back({"cause", end.cause});
    log_->write(level, words_for(end), fields);
}

void ConnectionLog::happened(const ConnectionEvent& event) {
    if (!log_->is_on(LogLevel::debug)) return;
    const auto id = to_string(event.id);
    std::vector<LogField> fields{{"id", id}};
    if (is_close(event.kind)) {
        fields.push_back({"code", std::uint64_t{static_cast<std::uint16_t>(event.code)}});
        if (!event.reason.empty()) fields.push_back({"reason", event.reason});
    } else {
        fields.push_back({name_of_count(event.kind), std::uint64_t{event.count}});
    }
    log_->write(LogLevel::debug, words_for(event.kind), fields);
}

bool ConnectionLog::is_repeated(const ConnectionEnd& end) {
    const std::lock_guard lock(mutex_);
    const bool is_first = sums_.add(end.info.peer, end.error, std::chrono::steady_clock::now());
    if (is_first) changed_.notify_one();
    return !is_first;
}

void ConnectionLog::flush() {
    std::vector<RefusalSums::Sum> sums;
    {
        const std::lock_guard lock(mutex_);
        sums = sums_.take_all();
    }
    write(sums);
}

void ConnectionLog::write(const std::vector<RefusalSums::Sum>& sums) {
    for (const auto& sum : sums) {
        std::vector<LogField> fields{{"peer", sum.address.empty() ? "others" : std::string_view{sum.address}},
                                     {"count", sum.count},
                                     {"seconds", static_cast<std::uint64_t>(sum.within.count())}};
        const auto cause = sum.error.message();
        if (sum.error) fields.push_back({"cause", cause});
        log_->write(LogLevel::info, "more opening handshakes refused", fields);
    }
}

void ConnectionLog::write_due() {
    std::vector<RefusalSums::Sum> sums;
    {
        const std::lock_guard lock(mutex_);
        sums = sums_.take_due(std::chrono::steady_clock::now());
    }
    write(sums);
}

void ConnectionLog::write_due_sums(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
        const auto due = sums_.next_due();
        if (!due) {
            changed_.wait(lock, stop, [this] { return sums_.next_due().has_value(); });
            continue;
        }
        changed_.wait_until(lock, stop, *due, [] { return false; });
        lock.unlock();
        (void)wsserver::within_memory([this] { write_due(); });
        lock.lock();
    }
}

}  // namespace wsd
