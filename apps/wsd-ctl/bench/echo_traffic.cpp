#include "wsd-ctl/bench/echo_traffic.hpp"

#include <utility>

namespace wsd::ctl::bench {

using wsserver::Binary;
using wsserver::SendStatus;
using wsserver::Text;

EchoTraffic::EchoTraffic(const Options& options, Tally& tally)
    : tally_(tally),
      in_flight_(options.in_flight),
      binary_(options.binary),
      rate_(options.rate),
      sample_(options.size, options.binary),
      links_(options.connections),
      sent_at_(options.rate ? 0 : std::size_t{options.connections} * options.in_flight) {}

void EchoTraffic::begin(Time now) {
    sending_ = true;
    if (rate_) pace_.emplace(*rate_, static_cast<std::uint32_t>(links_.size()), now);
}

bool EchoTraffic::may_send(std::uint32_t who) const {
    const Link& link = links_[who];
    if (!sending_ || link.gone || link.sent - link.received >= in_flight_) return false;
    return !pace_ || link.sent < pace_->taken(who);
}

void EchoTraffic::pump(std::uint32_t who, wsserver::AnyConnection& connection, Time now) {
    Link& link = links_[who];
    while (may_send(who)) {
        const auto payload = sample_.payload(stamp(who, link.sent));
        const auto status =
            binary_ ? connection.send(Binary::from_payload(payload)) : connection.send(Text::from_payload(payload));
        if (status != SendStatus::queued) return;  // it is about to end
        if (!pace_) sent_at(who, link.sent) = now;
        ++link.sent;
        ++outstanding_;
    }
}

std::optional<std::uint32_t> EchoTraffic::received(std::uint32_t who, const Received& message, Time now) {
    Link& link = links_[who];
    if (link.received == link.sent) {  // nobody asked for it
        ++tally_.wrong;
        return std::nullopt;
    }
    const auto number = link.received++;
    --outstanding_;
    if (message.binary != binary_ || !sample_.is_payload(message.payload, stamp(who, number))) ++tally_.wrong;
    tally_.arrived(due(who, number), now, message.payload.size());
    return who;
}

/// What was due and couldn't leave for want of answers counts with the time that it has waited by now: left out, it
/// would make a server that can't follow look faster than it is.
void EchoTraffic::stop(Time now) {
    sending_ = false;
    if (!pace_) return;
    for (std::uint32_t who = 0; who < links_.size(); ++who) {
        for (auto number = links_[who].sent; number < pace_->taken(who); ++number) {
            if (!tally_.is_measured(due(who, number))) continue;
            ++tally_.unsent;
            tally_.latency.record(now - due(who, number));
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
