// Prints what happens on a connection: text for a person, or one JSON object a line for a program.
#pragma once

#include <chrono>
#include <memory>
#include <string_view>

#include "wsd-ctl/connect/connect_options.hpp"
#include "wsd-ctl/terminal.hpp"
#include "wsserver/connection/any_connection.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/handshake/http.hpp"
#include "wsserver/protocol/message.hpp"

namespace wsd::ctl {

/// Messages go to standard output, and so does everything with --json. Each function flushes what it writes; whether
/// that worked is for the caller to look at.
class EventPrinter {
   public:
    /// The one that `options` ask for. Both must outlive it.
    static std::unique_ptr<EventPrinter> create(const ConnectOptions& options, const Terminal& terminal);

    EventPrinter() = default;
    EventPrinter(const EventPrinter&) = delete;
    EventPrinter& operator=(const EventPrinter&) = delete;
    virtual ~EventPrinter() = default;

    /// The server has accepted or refused the opening handshake.
    virtual void answered(const wsserver::HttpResponse& response) = 0;
    virtual void opened(const wsserver::AnyConnection& connection) = 0;
    virtual void received(const wsserver::Text& message) = 0;
    virtual void received(const wsserver::Binary& message) = 0;
    virtual void received(const wsserver::Ping& ping) = 0;
    /// The server has answered a ping with `text` of the user.
    virtual void ponged(std::chrono::microseconds round_trip, std::string_view text) = 0;
    /// Precondition: the connection was open.
    virtual void closed(const wsserver::ConnectionEnd& end) = 0;
};

}  // namespace wsd::ctl
