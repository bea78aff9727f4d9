#include "simulate/ledger.hpp"

#include <charconv>

#include "wsserver/protocol/error.hpp"

namespace wsserver::simulate {

namespace {

char filler(std::uint64_t number, std::size_t index) { return static_cast<char>('a' + (number * 7 + index) % 26); }

void check(bool holds, const std::string& what, ConnectionId id) {
    if (!holds) throw Violation{what + " (connection " + to_string(id) + ')'};
}

}  // namespace

std::string make_text(std::string_view source, std::uint64_t number, std::size_t filling) {
    std::string text{source};
    text += ' ' + std::to_string(number) + ' ';
    for (std::size_t i = 0; i < filling; ++i) text += filler(number, i);
    return text;
}

Mark read_mark(std::string_view text) {
    const auto first = text.find(' ');
    const auto second = text.find(' ', first + 1);
    Mark mark;
    if (first == text.npos || second == text.npos) throw Violation{"a message without a mark: " + std::string{text}};
    mark.source = text.substr(0, first);
    const std::string_view digits = text.substr(first + 1, second - first - 1);
    std::from_chars(digits.data(), digits.data() + digits.size(), mark.number);
    const std::string_view filling = text.substr(second + 1);
    for (std::size_t i = 0; i < filling.size(); ++i) {
        if (filling[i] != filler(mark.number, i)) throw Violation{"a damaged message of " + mark.source};
    }
    return mark;
}

void Ledger::opened(ConnectionId id) {
    ConnectionRecord& one = connections[id];
    check(++one.opened == 1, "on_open() was called twice", id);
    check(one.closed == 0, "on_open() after on_close()", id);
}

void Ledger::message(ConnectionId id, std::uint64_t number) {
    ConnectionRecord& one = connections[id];
    check(one.opened == 1, "a message before on_open()", id);
    check(one.closed == 0, "a message after on_close()", id);
    check(number == one.last_message + 1,
          "message " + std::to_string(number) + " follows " + std::to_string(one.last_message), id);
    one.last_message = number;
}

void Ledger::closed(ConnectionId id) {
    ConnectionRecord& one = connections[id];
    check(one.opened == 1, "on_close() without on_open()", id);
    check(++one.closed == 1, "on_close() was called twice", id);
}

std::optional<CloseCode> promised_code(std::string_view why) {
    if (why == "out of memory budget" || why.starts_with("slow consumer")) return CloseCode::try_again_later;
    if (why == message_of(Errc::message_timeout)) return CloseCode::policy_violation;
    if (why == message_of(Errc::message_too_big)) return CloseCode::message_too_big;
    return std::nullopt;
}

void Ledger::close_sent(const ConnectionEvent& event) {
    ConnectionRecord& one = connections[event.id];
    check(one.sent_code == CloseCode::no_status, "two Close frames were sent", event.id);
    one.sent_code = event.code;
    one.sent_reason = event.reason;
    const auto promised = promised_code(event.reason);
    check(!promised || *promised == event.code, "closed with another code: " + one.sent_reason, event.id);
}

void Ledger::ended(const ConnectionEnd& end) {
    ConnectionRecord& one = connections[end.info.id];
    check(++one.ended == 1, "on_end() was called twice", end.info.id);
    one.end = end;
}

void Ledger::reported(std::uint64_t cast, std::size_t receivers) {
    Cast& one = casts[cast];
    ++one.reports;
    one.count = receivers;
}

void Ledger::check_stopped() const {
    for (const auto& [id, one] : connections) {
        check(one.opened == one.closed, "on_open() without on_close()", id);
        check(one.ended == 1, "a connection has not ended", id);
        check(one.end.opened == (one.opened == 1), "on_end() and on_open() disagree", id);
    }
    check_counts();
    for (const auto& [number, cast] : casts) {
        const std::string which = "broadcast " + std::to_string(number);
        if (cast.reports != 1) throw Violation{which + " was reported " + std::to_string(cast.reports) + " times"};
        if (cast.arrivals > cast.count) {
            throw Violation{which + " was reported for " + std::to_string(cast.count) + " receivers and reached " +
                            std::to_string(cast.arrivals)};
        }
    }
}

/// What happened to the connections is what the counters say.
void Ledger::check_counts() const {
    Counts happened = counts;
    happened.opened = happened.messages_in = happened.slow_consumers = happened.message_timeouts = 0;
    happened.pong_timeouts = happened.refused_for_memory = 0;
    std::uint64_t throws = 0, for_memory = 0;
    for (const auto& [id, one] : connections) {
        const std::string_view cause = one.end.cause;
        happened.opened += static_cast<std::uint64_t>(one.opened);
        happened.messages_in += one.last_message;
        happened.slow_consumers += cause.starts_with("slow consumer") ? 1 : 0;
        happened.message_timeouts += cause == message_of(Errc::message_timeout) ? 1 : 0;
        happened.pong_timeouts += cause == "no answer to a ping in time" ? 1 : 0;
        happened.refused_for_memory += cause == message_of(Errc::memory_limit_reached) ? 1 : 0;
        throws += cause.starts_with("the handler threw") ? 1 : 0;
        for_memory += cause == "out of memory budget" ? 1 : 0;
    }
    const auto same = [](const char* what, std::uint64_t counted, std::uint64_t seen) {
        if (counted == seen) return;
        throw Violation{std::string{what} + " counts " + std::to_string(counted) + ", but there were " +
                        std::to_string(seen)};
    };
    same("opened", counts.opened, happened.opened);
    same("messages_in", counts.messages_in, happened.messages_in);
    same("slow_consumers", counts.slow_consumers, happened.slow_consumers);
    same("message_timeouts", counts.message_timeouts, happened.message_timeouts);
    same("pong_timeouts", counts.pong_timeouts, happened.pong_timeouts);
    same("refused_for_memory", counts.refused_for_memory, happened.refused_for_memory);
    // The end of a connection that was closing before has another cause.
    if (counts.handler_exceptions < throws) same("handler_exceptions", counts.handler_exceptions, throws);
    if (counts.closed_for_memory < for_memory) same("closed_for_memory", counts.closed_for_memory, for_memory);
}

}  // namespace wsserver::simulate
