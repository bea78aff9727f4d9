// Each connection sends, and the same must come back to it.
#pragma once

#include <optional>
#include <vector>

#include "wsd-ctl/bench/pace.hpp"
#include "wsd-ctl/bench/sample.hpp"
#include "wsd-ctl/bench/traffic.hpp"

namespace wsd::ctl::bench {

class EchoTraffic final : public Traffic {
   public:
    EchoTraffic(const Options& options, Tally& tally);

    void begin(Time now) override;
    void pump(std::uint32_t who, wsserver::AnyConnection& connection, Time now) override;
    std::optional<std::uint32_t> received(std::uint32_t who, const Received& message, Time now) override;
    Time next_due() const override { return pace_ && sending_ ? pace_->next_due() : Time::max(); }
    std::uint32_t take_due(Time now) override { return pace_->take(now).value_or(0); }
    void stop(Time now) override;
    std::optional<std::uint32_t> gone(std::uint32_t who) override;
    std::uint64_t outstanding() const override { return outstanding_; }

   private:
    struct Link {
        std::uint64_t sent = 0;
        std::uint64_t received = 0;
        bool gone = false;
    };

    bool may_send(std::uint32_t who) const;
    Time& sent_at(std::uint32_t who, std::uint64_t number) {
        return sent_at_[who * std::size_t{in_flight_} + number % in_flight_];
    }
    Time due(std::uint32_t who, std::uint64_t number) { return pace_ ? pace_->due(who, number) : sent_at(who, number); }
    /// No other message of the run has it.
    std::uint64_t stamp(std::uint32_t who, std::uint64_t number) const { return number * links_.size() + who; }

    Tally& tally_;
    const std::uint32_t in_flight_;
    const bool binary_;
    const std::optional<double> rate_;
    Sample sample_;
    std::vector<Link> links_;
    std::vector<Time> sent_at_;  ///< of what is in flight; with a rate the pace knows it
    std::optional<Pace> pace_;
    std::uint64_t outstanding_ = 0;
    bool sending_ = false;
};

}  // namespace wsd::ctl::bench
