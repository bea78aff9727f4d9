// What traffics of messages have in common: payloads that count, a pace if there is a rate, and what is on its way.
#pragma once

#include <optional>

#include "wsd-ctl/bench/pace.hpp"
#include "wsd-ctl/bench/sample.hpp"
#include "wsd-ctl/bench/traffic.hpp"

namespace wsd::ctl::bench {

class PacedTraffic : public Traffic {
   public:
    void begin(Time now) override;
    Time next_due() const override { return pace_ && sending_ ? pace_->next_due() : Time::max(); }
    std::uint32_t take_due(Time now) override { return pace_->take(now).value_or(0); }
    std::uint64_t outstanding() const override { return outstanding_; }

   protected:
    /// `senders`: how many connections send, from number 0 on. `tally` must outlive it.
    PacedTraffic(const Options& options, Tally& tally, std::uint32_t senders);

    /// Sends the payload with this stamp. False: the connection is about to end.
    bool send(wsserver::AnyConnection& connection, std::uint64_t stamp);
    /// Counts a message that was due at `due` and should be the payload with this stamp.
    void count(const Received& message, std::uint64_t stamp, Time due, Time now);
    /// Counts a message that was due and not sent by the end, with the time that it has waited by now. Left out, it
    /// would make a server that can't keep up look faster than it is. `times`: for that many receivers.
    void count_unsent(Time due, Time now, std::uint64_t times = 1);

    Tally& tally_;
    std::optional<Pace> pace_;
    std::uint64_t outstanding_ = 0;  ///< messages that were sent and may still arrive
    bool sending_ = false;

   private:
    const std::optional<double> rate_;
    const std::uint32_t senders_;
    const bool binary_;
    Sample sample_;
};

}  // namespace wsd::ctl::bench
