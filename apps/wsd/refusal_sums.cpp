#include "wsd/refusal_sums.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <utility>

namespace wsd {

namespace {

/// The network of an IPv6 address; empty if it is not one.
std::string network_of(const std::string& address) {
    in6_addr bytes{};
    if (::inet_pton(AF_INET6, address.c_str(), &bytes) != 1) return {};
    if (IN6_IS_ADDR_V4MAPPED(&bytes)) return address;  // all of IPv4 is one network of this kind
    std::fill(std::begin(bytes.s6_addr) + 8, std::end(bytes.s6_addr), std::uint8_t{0});
    std::array<char, INET6_ADDRSTRLEN> text{};
    ::inet_ntop(AF_INET6, &bytes, text.data(), text.size());
    return std::string{text.data()} + "/64";
}

}  // namespace

std::string address_of_peer(std::string_view peer) {
    const auto colon = peer.rfind(':');
    if (colon == std::string_view::npos || peer.starts_with("unix:")) return std::string{peer};
    auto host = peer.substr(0, colon);
    if (!host.starts_with('[') || !host.ends_with(']')) return std::string{host};
    host = host.substr(1, host.size() - 2);
    const auto zone = std::min(host.find('%'), host.size());
    auto network = network_of(std::string{host.substr(0, zone)});
    return network.empty() ? std::string{host} : network;
}

bool RefusalSums::add(std::string_view peer, std::error_code error, Time now) {
    Key key{address_of_peer(peer), error.value()};
    if (const auto known = entries_.find(key); known != entries_.end()) {
        ++known->second.count;
        return false;
    }
    if (entries_.size() == max_entries) {
        if (others_.count++ == 0) others_.begin = now;
        return false;
    }
    by_age_.push_back(key);
    entries_.emplace(std::move(key), Entry{now, error, 0});
    return true;
}

std::vector<RefusalSums::Sum> RefusalSums::take_due(Time now) {
    std::vector<Sum> sums;
    while (!by_age_.empty() && entries_[by_age_.front()].begin + period <= now) take_oldest(sums);
    if (others_.count > 0 && others_.begin + period <= now) sums.push_back({{}, {}, others_.count, period});
    if (others_.begin + period <= now) others_ = {};
    return sums;
}

std::vector<RefusalSums::Sum> RefusalSums::take_all() { return take_due(Time::max()); }

void RefusalSums::take_oldest(std::vector<Sum>& sums) {
    const auto oldest = entries_.find(by_age_.front());
    const Entry& entry = oldest->second;
    if (entry.count > 0) sums.push_back({oldest->first.address, entry.error, entry.count, period});
    entries_.erase(oldest);
    by_age_.pop_front();
}

std::optional<RefusalSums::Time> RefusalSums::next_due() const {
    std::optional<Time> due;
    if (!by_age_.empty()) due = entries_.at(by_age_.front()).begin + period;
    if (others_.count > 0) due = std::min(due.value_or(Time::max()), others_.begin + period);
    return due;
}

}  // namespace wsd
