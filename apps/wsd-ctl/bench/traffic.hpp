// What the connections of a load say: when each may send what, and whether what comes is right.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "wsd-ctl/bench/options.hpp"
#include "wsd-ctl/bench/tally.hpp"
#include "wsserver/connection/any_connection.hpp"

namespace wsd::ctl::bench {

/// A message that has come.
struct Received {
    bool binary;
    wsserver::Bytes payload;
};

/// Knows the connections by number, from 0 on. This one says nothing and listens to nothing.
class Traffic {
   public:
    using Time = wsserver::Clock::time_point;

    Traffic() = default;
    Traffic(const Traffic&) = delete;
    Traffic& operator=(const Traffic&) = delete;
    virtual ~Traffic() = default;

    /// All connections are open; pump() follows for each.
    virtual void begin(Time) {}
    /// Sends what that connection may send by now.
    virtual void pump(std::uint32_t, wsserver::AnyConnection&, Time) {}
    /// Whose pump() is to be called now, if anybody's.
    virtual std::optional<std::uint32_t> received(std::uint32_t, const Received&, Time) { return std::nullopt; }
    /// When the next message is due that no answer will call for.
    virtual Time next_due() const { return Time::max(); }
    /// Whose pump() is to be called for it. Precondition: it is due by `now`.
    virtual std::uint32_t take_due(Time /*now*/) { return 0; }
    /// From now on nothing is sent.
    virtual void stop(Time) {}
    /// Nothing will come from that connection any more; what it owes is lost. As received().
    virtual std::optional<std::uint32_t> gone(std::uint32_t) { return std::nullopt; }
    /// Nobody is left who could send, or hear it.
    virtual bool is_dead() const { return false; }
    /// Messages that were sent, and may still arrive.
    virtual std::uint64_t outstanding() const { return 0; }
};

/// `tally` must outlive it.
std::unique_ptr<Traffic> make_traffic(const Options& options, Tally& tally);

}  // namespace wsd::ctl::bench
