#include "wsd-ctl/bench/echo_traffic.hpp"

#include <utility>

namespace wsd::ctl::bench {

EchoTraffic::EchoTraffic(const Options& options, Tally& tally)
    : PacedTraffic(options, tally, options.connections),
      in_flight_(options.in_flight),
      links_(options.connections),
      sent_at_(options.rate ? 0 : std::size_t{options.connections} * options.in_flight) {}

bool EchoTraffic::may_send(std::uint32_t index) const {
    const Link& link = links_[index];
    if (!sending_ || link.gone || link.sent - link.received >= in_flight_) return false;
    return !pace_ || link.sent < pace_->taken(index);
}

void EchoTraffic::pump(std::uint32_t index, wsserver::AnyConnection& connection, Time now) {
    Link& link = links_[index];
    while (may_send(index)) {
        if (!send(connection, stamp(index, link.sent))) return;
        if (!pace_) sent_at(index, link.sent) = now;
        ++link.sent;
        ++outstanding_;
    }
}

std::optional<std::uint32_t> EchoTraffic::received(std::uint32_t index, const Received& message, Time now) {
    Link& link = links_[index];
    if (link.received == link.sent) {  // nothing was sent that it could answer
        ++tally_.wrong;
        return std::nullopt;
    }
    const auto number = link.received++;
    --outstanding_;
    count(message, stamp(index, number), due(index, number), now);
    return index;
}

void EchoTraffic::stop(Time now) {
    sending_ = false;
    if (!pace_) return;
    for (std::uint32_t index = 0; index < links_.size(); ++index) {
        for (auto number = links_[index].sent; number < pace_->taken(index); ++number) {
            count_unsent(due(index, number), now);
        }
    }
}

std::optional<std::uint32_t> EchoTraffic::gone(std::uint32_t index) {
    Link& link = links_[index];
    if (std::exchange(link.gone, true)) return std::nullopt;
    const auto missing = link.sent - link.received;
    tally_.lost += missing;
    outstanding_ -= missing;
    return std::nullopt;
}

}  // namespace wsd::ctl::bench
