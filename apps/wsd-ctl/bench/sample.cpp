#include "wsd-ctl/bench/sample.hpp"

#include <algorithm>
#include <cstring>
#include <random>
#include <string_view>

namespace wsd::ctl::bench {

namespace {

constexpr std::string_view digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

}  // namespace

Sample::Sample(std::size_t size, bool binary) : bytes_(size, ' '), stamped_(std::min(size, Stamp{}.size())) {
    std::minstd_rand random{1};  // the same in every run, so that all runs compress equally
    for (char& byte : bytes_) byte = binary ? static_cast<char>(random() >> 8) : digits[(random() >> 8) % 64];
}

/// The lowest digit first, so that the shortest payloads differ too.
Sample::Stamp Sample::stamp_of(std::uint64_t number) noexcept {
    Stamp stamp;
    for (char& digit : stamp) {
        digit = digits[number & 63];
        number >>= 6;
    }
    return stamp;
}

wsserver::Bytes Sample::payload(std::uint64_t number) noexcept {
    const Stamp stamp = stamp_of(number);
    std::memcpy(bytes_.data(), stamp.data(), stamped_);
    return wsserver::bytes_of(bytes_);
}

bool Sample::is_payload(wsserver::Bytes received, std::uint64_t number) const noexcept {
    if (received.size() != bytes_.size()) return false;
    if (received.empty()) return true;
    const Stamp stamp = stamp_of(number);
    return std::memcmp(received.data(), stamp.data(), stamped_) == 0 &&
           std::memcmp(received.data() + stamped_, bytes_.data() + stamped_, received.size() - stamped_) == 0;
}

}  // namespace wsd::ctl::bench
