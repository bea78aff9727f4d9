// IP addresses in text: of peers, and in what proxies say about their clients.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "wsserver/base/bytes.hpp"

namespace wsserver::detail {

/// An IPv4 or IPv6 address in network byte order. IPv4 is stored as the IPv4-mapped address (RFC 4291 §2.5.5.2), so
/// that both forms are the same address.
struct IpAddress {
    std::array<std::uint8_t, 16> bytes{};

    bool is_ipv4() const noexcept;
    bool operator==(const IpAddress&) const = default;
};

/// Precondition: `bytes` has 4 or 16 bytes, in network byte order.
IpAddress ip_address_of(Bytes bytes) noexcept;

/// Parses `192.0.2.1` or `2001:db8::1`, without brackets, port and zone.
std::optional<IpAddress> parse_ip_address(std::string_view text) noexcept;

/// Whether the first `prefix` bits of the addresses are equal. `prefix` is 0 to 128; for IPv4, count from 96.
bool has_equal_prefix(const IpAddress& a, const IpAddress& b, unsigned prefix) noexcept;

/// A decimal number from 0 to 65535 without leading zeros.
std::optional<std::uint16_t> parse_decimal_port(std::string_view digits) noexcept;

/// An address and the port, if it is known.
struct IpPeer {
    IpAddress address{};
    std::optional<std::uint16_t> port{};
};

/// Parses `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`; a port may follow the first and the last: `[2001:db8::1]:80`.
/// The zone in `[fe80::1%eth0]` is ignored.
std::optional<IpPeer> parse_ip_peer(std::string_view text) noexcept;

/// `192.0.2.1:80` or `[2001:db8::1]:80`; without `:80` if the port is not known. IPv4-mapped IPv6 is written as IPv4.
std::string to_string(const IpPeer& peer);

}  // namespace wsserver::detail
