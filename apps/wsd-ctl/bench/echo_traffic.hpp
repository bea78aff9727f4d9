// Each connection sends, and must receive the same back.
#pragma once

#include <optional>
#include <vector>

#include "wsd-ctl/bench/paced_traffic.hpp"

namespace wsd::ctl::bench {

class EchoTraffic final : public PacedTraffic {
   public:
    EchoTraffic(const Options& options, Tally& tally);

    void pump(std::uint32_t index, wsserver::AnyConnection& connection, Time now) override;
    std::optional<std::uint32_t> received(std::uint32_t index, const Received& message, Time now) override;
    void stop(Time now) override;
    std::optional<std::uint32_t> gone(std::uint32_t index) override;

   private:
    struct Link {
        std::uint64_t sent = 0;
        std::uint64_t received = 0;
        bool gone = false;
    };

    bool may_send(std::uint32_t index) const;
    Time& sent_at(std::uint32_t index, std::uint64_t number) {
        return sent_at_[index * std::size_t{in_flight_} + number % in_flight_];
    }
    Time due(std::uint32_t index, std::uint64_t number) {
        return pace_ ? pace_->due(index, number) : sent_at(index, number);
    }
    /// Unique within the run.
    std::uint64_t stamp(std::uint32_t index, std::uint64_t number) const { return number * links_.size() + index; }

    const std::uint32_t in_flight_;
    std::vector<Link> links_;
    std::vector<Time> sent_at_;  ///< of the messages in flight; empty with a rate, since the pace knows the times
};

}  // namespace wsd::ctl::bench
