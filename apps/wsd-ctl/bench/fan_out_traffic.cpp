#include "wsd-ctl/bench/fan_out_traffic.hpp"

#include <utility>

namespace wsd::ctl::bench {

FanOutTraffic::FanOutTraffic(const Options& options, Tally& tally)
    : PacedTraffic(options, tally, 1),
      receivers_(options.connections),
      publications_(options.in_flight),
      alive_(options.connections - 1) {}

bool FanOutTraffic::may_publish() const {
    if (!sending_ || alive_ == 0 || published_ - completed_ >= publications_.size()) return false;
    return !pace_ || published_ < pace_->taken(publisher);
}

void FanOutTraffic::pump(std::uint32_t index, wsserver::AnyConnection& connection, Time now) {
    if (index != publisher) return;
    while (may_publish()) {
        if (!send(connection, published_)) return;
        publication(published_) = {pace_ ? pace_->due(publisher, published_) : now, alive_};
        outstanding_ += alive_;
        ++published_;
    }
}

std::optional<std::uint32_t> FanOutTraffic::received(std::uint32_t index, const Received& message, Time now) {
    if (index == publisher) return std::nullopt;
    Receiver& receiver = receivers_[index];
    if (receiver.next == published_) {  // not published
        ++tally_.wrong;
        return std::nullopt;
    }
    const auto number = receiver.next++;
    count(message, number, publication(number).due, now);
    if (!delivered(number)) return std::nullopt;
    return publisher;
}

/// Counts one delivery. True if it was the last one of that publication. Each receiver gets publications in order, so
/// they are completed in order.
bool FanOutTraffic::delivered(std::uint64_t number) {
    --outstanding_;
    if (--publication(number).missing > 0) return false;
    ++completed_;
    return true;
}

/// Counts each unsent message for all receivers.
void FanOutTraffic::stop(Time now) {
    sending_ = false;
    if (!pace_) return;
    for (auto number = published_; number < pace_->taken(publisher); ++number) {
        count_unsent(pace_->due(publisher, number), now, alive_);
    }
}

std::optional<std::uint32_t> FanOutTraffic::gone(std::uint32_t index) {
    if (std::exchange(receivers_[index].gone, true)) return std::nullopt;
    if (index == publisher) {  // published messages may still be delivered
        sending_ = false;
        return std::nullopt;
    }
    --alive_;
    for (auto& next = receivers_[index].next; next < published_; ++next) {
        ++tally_.lost;
        delivered(next);
    }
    return publisher;
}

}  // namespace wsd::ctl::bench
