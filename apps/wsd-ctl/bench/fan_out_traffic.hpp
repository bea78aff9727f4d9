// One connection publishes, and all others must receive its messages.
#pragma once

#include <optional>
#include <vector>

#include "wsd-ctl/bench/paced_traffic.hpp"

namespace wsd::ctl::bench {

/// The publisher is connection 0. Servers differ in whether it receives its own messages; both is accepted.
class FanOutTraffic final : public PacedTraffic {
   public:
    FanOutTraffic(const Options& options, Tally& tally);

    void pump(std::uint32_t index, wsserver::AnyConnection& connection, Time now) override;
    std::optional<std::uint32_t> received(std::uint32_t index, const Received& message, Time now) override;
    void stop(Time now) override;
    std::optional<std::uint32_t> gone(std::uint32_t index) override;
    bool is_dead() const override { return alive_ == 0 || receivers_[publisher].gone; }

   private:
    static constexpr std::uint32_t publisher = 0;

    struct Publication {
        Time due{};
        std::uint64_t missing = 0;  ///< deliveries
    };
    struct Receiver {
        std::uint64_t next = 0;  ///< the number of the next publication that it must receive
        bool gone = false;
    };

    bool may_publish() const;
    Publication& publication(std::uint64_t number) { return publications_[number % publications_.size()]; }
    bool delivered(std::uint64_t number);

    std::vector<Receiver> receivers_;  ///< by connection; the publisher receives nothing
    std::vector<Publication> publications_;
    std::uint64_t published_ = 0;
    std::uint64_t completed_ = 0;  ///< publications that all receivers have received
    std::uint64_t alive_;          ///< receivers
};

}  // namespace wsd::ctl::bench
