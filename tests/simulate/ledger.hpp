// What happened in a simulation, and the rules that it must not break.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "wsserver/connection/connection_info.hpp"
#include "wsserver/transport/clock.hpp"

namespace wsserver::simulate {

/// A rule was broken.
class Violation : public std::runtime_error {
   public:
    using std::runtime_error::runtime_error;
};

/// A message of a simulation is `SOURCE NUMBER FILLING`. Each source of a connection counts its messages.
struct Mark {
    std::string source;
    std::uint64_t number = 0;
};

std::string make_text(std::string_view source, std::uint64_t number, std::size_t filling);
/// Checks the filling, too. Throws Violation.
Mark read_mark(std::string_view text);

/// The numbers of one source that reached one end. They must grow.
class Arrivals {
   public:
    void add(std::uint64_t number) { numbers_.push_back(number); }
    bool may_follow(std::uint64_t number) const { return numbers_.empty() || number > numbers_.back(); }
    const std::vector<std::uint64_t>& numbers() const { return numbers_; }

   private:
    std::vector<std::uint64_t> numbers_;
};

/// A connection as the program sees it.
struct ConnectionRecord {
    int opened = 0;  ///< calls of on_open()
    int closed = 0;  ///< calls of on_close()
    int ended = 0;   ///< calls of on_ended()
    bool pooled = false;
    std::size_t client = 0;
    Clock::time_point opened_at{};
    CloseCode sent_code = CloseCode::no_status;  ///< of the server's Close frame
    std::string sent_reason{};
    std::uint64_t last_message = 0;      ///< of the client
    std::vector<std::uint64_t> replies;  ///< numbers of the echoes with the result `queued`
    std::vector<std::uint64_t> sends;    ///< numbers of the hub's messages with the result `queued`
    ConnectionEnd end;
};

/// A broadcast.
struct Cast {
    int reports = 0;           ///< calls of its Count
    std::size_t count = 0;     ///< receivers, as reported
    std::size_t arrivals = 0;  ///< clients that received it
};

/// What the counters of all reactors say.
struct Counts {
    std::uint64_t opened = 0, messages_in = 0, slow_consumers = 0, message_timeouts = 0, pong_timeouts = 0,
                  handler_exceptions = 0, closed_for_memory = 0, refused_for_memory = 0, memory_pauses = 0,
                  rate_pauses = 0, publish_pauses = 0;

    bool operator==(const Counts&) const = default;
};

class Ledger {
   public:
    std::map<ConnectionId, ConnectionRecord> connections;
    std::map<std::uint64_t, Cast> casts;
    std::uint64_t sends = 0;    ///< messages that the hub was given, of all connections
    std::uint64_t dropped = 0;  ///< messages that the counters of reactors call dropped
    Counts counts;              ///< of a server that has stopped

    void opened(ConnectionId id);
    void message(ConnectionId id, std::uint64_t number);
    void closed(ConnectionId id);
    void close_sent(const ConnectionEvent& event);
    void ended(const ConnectionEnd& end);
    void reported(std::uint64_t cast, std::size_t receivers);
    /// Calls `f` where an exception would not reach the simulation, and keeps the first Violation for check_watched().
    template <class F>
    void watch(F&& f) {
        try {
            f();
        } catch (const Violation& violation) {
            if (broken_.empty()) broken_ = violation.what();
        }
    }
    /// Throws the Violation that was kept.
    void check_watched() const {
        if (!broken_.empty()) throw Violation{broken_};
    }
    /// All connections and broadcasts of a server that has stopped.
    void check_stopped() const;

   private:
    void check_counts() const;

    std::string broken_;
};

/// The close code that the documentation promises for this cause of an end, or reason of a Close frame. Empty if it
/// promises none.
std::optional<CloseCode> promised_code(std::string_view why);

}  // namespace wsserver::simulate
