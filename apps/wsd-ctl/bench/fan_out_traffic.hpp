// One connection publishes, and all others must receive what it published.
#pragma once

#include <optional>
#include <vector>

#include "wsd-ctl/bench/pace.hpp"
#include "wsd-ctl/bench/sample.hpp"
#include "wsd-ctl/bench/traffic.hpp"

namespace wsd::ctl::bench {

/// The publisher is connection 0. It may hear its own messages or not: servers differ.
class FanOutTraffic final : public Traffic {
   public:
    FanOutTraffic(const Options& options, Tally& tally);

    void begin(Time now) override;
    void pump(std::uint32_t who, wsserver::AnyConnection& connection, Time now) override;
    std::optional<std::uint32_t> received(std::uint32_t who, const Received& message, Time now) override;
    Time next_due() const override { return pace_ && sending_ ? pace_->next_due() : Time::max(); }
    std::uint32_t take_due(Time now) override { return pace_->take(now).value_or(0); }
    void stop(Time now) override;
    std::optional<std::uint32_t> gone(std::uint32_t who) override;
    bool is_dead() const override { return alive_ == 0 || receivers_[publisher].gone; }
    std::uint64_t outstanding() const override { return outstanding_; }

   private:
    static constexpr std::uint32_t publisher = 0;

    struct Publication {
        Time due{};
        std::uint64_t missing = 0;  ///< deliveries
    };
    struct Receiver {
        std::uint64_t next = 0;  ///< the number of the publication that it is to receive
        bool gone = false;
    };

    bool may_publish() const;
    Publication& publication(std::uint64_t number) { return publications_[number % publications_.size()]; }
    bool delivered(std::uint64_t number);

    Tally& tally_;
    const bool binary_;
    const std::optional<double> rate_;
    Sample sample_;
    std::vector<Receiver> receivers_;  ///< by connection; the publisher receives nothing
    std::vector<Publication> publications_;
    std::optional<Pace> pace_;
    std::uint64_t published_ = 0;
    std::uint64_t completed_ = 0;  ///< publications that all receivers have
    std::uint64_t alive_;          ///< receivers
    std::uint64_t outstanding_ = 0;
    bool sending_ = false;
};

}  // namespace wsd::ctl::bench
