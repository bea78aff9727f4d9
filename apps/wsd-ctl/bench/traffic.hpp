// What the connections of a load do: when each may send what, and whether received messages are right.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "wsd-ctl/bench/options.hpp"
#include "wsd-ctl/bench/tally.hpp"
#include "wsserver/connection/any_connection.hpp"

namespace wsd::ctl::bench {

/// A received message.
struct Received {
    bool binary;
    wsserver::Bytes payload;
};

/// The base class, which sends nothing and ignores what is received. Connections are numbered from 0 on.
class Traffic {
   public:
    using Time = wsserver::Clock::time_point;

    Traffic() = default;
    Traffic(const Traffic&) = delete;
    Traffic& operator=(const Traffic&) = delete;
    virtual ~Traffic() = default;

    /// All connections are open; pump() follows for each.
    virtual void begin(Time) {}
    /// Sends what this connection may send now.
    virtual void pump(std::uint32_t, wsserver::AnyConnection&, Time) {}
    /// Handles a received message. Returns the connection whose pump() must be called now, if there is one.
    virtual std::optional<std::uint32_t> received(std::uint32_t, const Received&, Time) { return std::nullopt; }
    /// When the next message is due that is not triggered by an answer.
    virtual Time next_due() const { return Time::max(); }
    /// The connection whose pump() must be called for that message. Precondition: it is due by `now`.
    virtual std::uint32_t take_due(Time /*now*/) { return 0; }
    /// Stops sending.
    virtual void stop(Time) {}
    /// A connection has ended: its missing messages are lost. Returns a connection as received() does.
    virtual std::optional<std::uint32_t> gone(std::uint32_t) { return std::nullopt; }
    /// True if no sender or no receiver is left.
    virtual bool is_dead() const { return false; }
    /// How many messages were sent and may still arrive.
    virtual std::uint64_t outstanding() const { return 0; }
};

/// The traffic for `options.mode`. `tally` must outlive it.
std::unique_ptr<Traffic> make_traffic(const Options& options, Tally& tally);

}  // namespace wsd::ctl::bench
