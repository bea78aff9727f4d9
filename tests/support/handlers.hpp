// Handlers that many tests need.
#pragma once

#include <string>

#include "support/catch.hpp"
#include "support/strings.hpp"
#include "wsserver/connection/any_connection.hpp"
#include "wsserver/protocol/event_text.hpp"

namespace wsserver::test {

/// Sends each message back, text as text and binary as binary.
struct Echo {
    void on_message(AnyConnection& connection, const auto& message) { connection.send(message); }
};

/// Records its reactions: `open /chat`, then events as to_string() writes them, but a pong without its payload, which
/// may be a time. `events` must outlive the connections.
struct Recorder {
    Strings* events;

    void on_open(AnyConnection& connection) { events->push_back("open " + std::string{connection.target()}); }
    void on_message(AnyConnection&, const Text& message) { events->push_back(to_string(Event{message})); }
    void on_message(AnyConnection&, const Binary& message) { events->push_back(to_string(Event{message})); }
    void on_ping(AnyConnection&, const Ping& ping) { events->push_back(to_string(Event{ping})); }
    void on_pong(AnyConnection&, const Pong&) { events->push_back("pong"); }
    void on_close(AnyConnection& connection, const Close& close) {
        events->push_back(to_string(Event{close}));
        CHECK(connection.send(Text{"too late"}) == SendStatus::closed);
    }
};

}  // namespace wsserver::test
