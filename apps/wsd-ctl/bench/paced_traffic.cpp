#include "wsd-ctl/bench/paced_traffic.hpp"

namespace wsd::ctl::bench {

using wsserver::AnyMessage;
using wsserver::SendStatus;
using wsserver::Text;

PacedTraffic::PacedTraffic(const Options& options, Tally& tally, std::uint32_t senders)
    : tally_(tally),
      rate_(options.rate),
      senders_(senders),
      binary_(options.binary),
      sample_(options.size, options.binary) {}

void PacedTraffic::begin(Time now) {
    sending_ = true;
    if (rate_) pace_.emplace(*rate_, senders_, now);
}

bool PacedTraffic::send(wsserver::AnyConnection& connection, std::uint64_t stamp) {
    const auto payload = sample_.payload(stamp);
    const auto status = connection.send(binary_ ? AnyMessage{payload} : AnyMessage{Text::from_payload(payload)});
    return status == SendStatus::queued;
}

void PacedTraffic::count(const Received& message, std::uint64_t stamp, Time due, Time now) {
    if (message.binary != binary_ || !sample_.is_payload(message.payload, stamp)) ++tally_.wrong;
    tally_.arrived(due, now, message.payload.size());
}

void PacedTraffic::count_unsent(Time due, Time now, std::uint64_t times) {
    if (!tally_.is_measured(due)) return;
    tally_.unsent += times;
    tally_.latency.record(now - due, times);
}

}  // namespace wsd::ctl::bench
