#include "wsd-ctl/bench/echo_traffic.hpp"

#include <utility>

namespace wsd::ctl::bench {

EchoTraffic::EchoTraffic(const Options& options, Tally& tally)
    : PacedTraffic(options, tally, options.connections),
      in_flight_(options.in_flight),
      links_(options.connections),
      sent_at_(options.rate ? 0 : std::size_t{options.connections} * options.in_flight) {}

bool EchoTraffic::may_send(std::uint32_t who) const {
    const Link& link = links_[who];
    if (!sending_ || link.gone || link.sent - link.received >= in_flight_) return false;
    return !pace_ || link.sent < pace_->taken(who);
}

void EchoTraffic::pump(std::uint32_t who, wsserver::AnyConnection& connection, Time now) {
    Link& link = links_[who];
    while (may_send(who)) {
        if (!send(connection, stamp(who, link.sent))) return;
        if (!pace_) sent_at(who, link.sent) = now;
        ++link.sent;
        ++outstanding_;
    }
}

std::optional<std::uint32_t> EchoTraffic::received(std::uint32_t who, const Received& message, Time now) {
    Link& link = links_[who];
    if (link.received == link.sent) {  // nothing was sent that it could answer
        ++tally_.wrong;
        return std::nullopt;
    }
    const auto number = link.received++;
    --outstanding_;
    count(message, stamp(who, number), due(who, number), now);
    return who;
}

void EchoTraffic::stop(Time now) {
    sending_ = false;
    if (!pace_) return;
    for (std::uint32_t who = 0; who < links_.size(); ++who) {
        for (auto number = links_[who].sent; number < pace_->taken(who); ++number) {
            count_unsent(due(who, number), now);
        }
    }
}

std::optional<std::uint32_t> EchoTraffic::gone(std::uint32_t who) {
    Link& link = links_[who];
    if (std::exchange(link.gone, true)) return std::nullopt;
    const auto missing = link.sent - link.received;
    tally_.lost += missing;
    outstanding_ -= missing;
    return std::nullopt;
}

}  // namespace wsd::ctl::bench
