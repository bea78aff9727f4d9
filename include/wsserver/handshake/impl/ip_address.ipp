// Parses and formats IP addresses.
#pragma once

#include "wsserver/handshake/detail/ip_address.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cassert>
#include <charconv>

namespace wsserver::detail {
namespace {

constexpr std::array<std::uint8_t, 12> ipv4_mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

/// inet_pton(3) for text without a final zero.
bool parse_address_of(int family, std::string_view text, std::uint8_t* to) noexcept {
    std::array<char, INET6_ADDRSTRLEN> copy{};
    if (text.size() >= copy.size() || text.find('\0') != std::string_view::npos) return false;
    std::copy(text.begin(), text.end(), copy.begin());
    return ::inet_pton(family, copy.data(), to) == 1;
}

}  // namespace

bool IpAddress::is_ipv4() const noexcept {
    return std::equal(ipv4_mapped_prefix.begin(), ipv4_mapped_prefix.end(), bytes.begin());
}

IpAddress ip_address_of(Bytes bytes) noexcept {
    assert(bytes.size() == 4 || bytes.size() == 16);
    IpAddress address;
    if (bytes.size() == 4) std::copy(ipv4_mapped_prefix.begin(), ipv4_mapped_prefix.end(), address.bytes.begin());
    std::copy(bytes.begin(), bytes.end(), address.bytes.end() - static_cast<std::ptrdiff_t>(bytes.size()));
    return address;
}

std::optional<IpAddress> parse_ip_address(std::string_view text) noexcept {
    std::array<std::uint8_t, 4> ipv4;
    if (parse_address_of(AF_INET, text, ipv4.data())) return ip_address_of(ipv4);
    std::array<std::uint8_t, 16> ipv6;
    if (parse_address_of(AF_INET6, text, ipv6.data())) return ip_address_of(ipv6);
    return std::nullopt;
}

bool has_equal_prefix(const IpAddress& a, const IpAddress& b, unsigned prefix) noexcept {
    assert(prefix <= 128);
    const auto whole = prefix / 8;
    if (!std::equal(a.bytes.begin(), a.bytes.begin() + whole, b.bytes.begin())) return false;
    return prefix % 8 == 0 || (a.bytes[whole] ^ b.bytes[whole]) >> (8 - prefix % 8) == 0;
}

std::optional<std::uint16_t> parse_decimal_port(std::string_view digits) noexcept {
    if (digits.size() > 1 && digits.front() == '0') return std::nullopt;
    std::uint16_t port = 0;
    const auto* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, port);
    if (error != std::errc{} || stop != end) return std::nullopt;
    return port;
}

std::optional<IpPeer> parse_ip_peer(std::string_view text) noexcept {
    if (const auto address = parse_ip_address(text)) return IpPeer{*address, std::nullopt};
    const bool bracketed = text.starts_with('[');
    const auto end = text.find(bracketed ? ']' : ':');
    if (end == std::string_view::npos) return std::nullopt;
    auto host = text.substr(0, end);
    auto rest = text.substr(end);
    if (bracketed) {
        host.remove_prefix(1);
        rest.remove_prefix(1);
        if (host.find(':') == std::string_view::npos) return std::nullopt;  // IPv4 is not in brackets
        host = host.substr(0, host.find('%'));
    }
    const auto address = parse_ip_address(host);
    if (!address) return std::nullopt;
    if (rest.empty()) return IpPeer{*address, std::nullopt};
    if (rest.front() != ':') return std::nullopt;
    const auto port = parse_decimal_port(rest.substr(1));
    if (!port) return std::nullopt;
    return IpPeer{*address, port};
}

std::string to_string(const IpPeer& peer) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const auto& bytes = peer.address.bytes;
    std::string written;
    if (peer.address.is_ipv4()) {
        written = ::inet_ntop(AF_INET, bytes.data() + ipv4_mapped_prefix.size(), text.data(), text.size());
    } else {
        ((written += '[') += ::inet_ntop(AF_INET6, bytes.data(), text.data(), text.size())) += ']';
    }
    if (peer.port) (written += ':') += std::to_string(*peer.port);
    return written;
}

}  // namespace wsserver::detail
