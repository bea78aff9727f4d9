// Both versions of the PROXY protocol's header.
#pragma once

#include "wsserver/handshake/proxy_protocol.hpp"

#include <algorithm>
#include <cassert>

#include "wsserver/handshake/detail/ip_address.hpp"

namespace wsserver {
namespace {

constexpr std::string_view proxy_line_start = "PROXY ";
constexpr std::string_view proxy_signature{"\r\n\r\n\0\r\nQUIT\n", 12};

// The address families and transport protocols of version 2 (§2.2).
constexpr unsigned pp2_unspecified = 0, pp2_ipv4 = 1, pp2_ipv6 = 2, pp2_unix = 3;
constexpr unsigned pp2_datagram = 2;
constexpr unsigned pp2_local = 0, pp2_proxy = 1;

constexpr std::size_t pp2_fixed = 16;       // bytes before the addresses
constexpr std::size_t pp2_path_size = 108;  // of a Unix socket

/// Whether `text` is an address of the family of `protocol`, `TCP4` or `TCP6`.
std::optional<detail::IpAddress> address_for(std::string_view protocol, std::string_view text) noexcept {
    const bool is_ipv6 = text.find(':') != std::string_view::npos;
    if (is_ipv6 != (protocol == "TCP6")) return std::nullopt;
    return detail::parse_ip_address(text);
}

/// Removes the word before the first space, and the space, from the front of `rest`. Nothing if there is no space.
std::optional<std::string_view> take_proxy_word(std::string_view& rest) noexcept {
    const auto space = rest.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    const auto word = rest.substr(0, space);
    rest.remove_prefix(space + 1);
    return word;
}

/// The client in `TCP4 192.0.2.1 192.0.2.2 5000 80`: the addresses of source and destination, then their ports. Nothing
/// if this is malformed.
std::optional<detail::IpPeer> parse_proxy_line(std::string_view line) noexcept {
    const auto protocol = take_proxy_word(line);
    if (!protocol || (*protocol != "TCP4" && *protocol != "TCP6")) return std::nullopt;
    const auto source = take_proxy_word(line), destination = take_proxy_word(line), source_port = take_proxy_word(line);
    if (!source || !destination || !source_port) return std::nullopt;
    const auto address = address_for(*protocol, *source);
    const auto port = detail::parse_decimal_port(*source_port);
    if (!address || !port) return std::nullopt;
    if (!address_for(*protocol, *destination) || !detail::parse_decimal_port(line)) return std::nullopt;
    return detail::IpPeer{*address, port};
}

/// `unix:PATH` for the sun_path of a socket. An abstract name begins with a zero byte, which is written as `@`.
std::string unix_peer(Bytes path) {
    const bool is_abstract = path[0] == 0;
    auto name = text_of(path.subspan(is_abstract ? 1 : 0));
    name = name.substr(0, name.find('\0'));
    std::string peer = "unix:";
    if (is_abstract && !name.empty()) peer += '@';
    return peer += name;
}

}  // namespace

ProxyProtocolReader::Verdict ProxyProtocolReader::receive(Bytes bytes) {
    consumed_ = 0;
    while (consumed_ < bytes.size()) {
        auto verdict = take(bytes[consumed_++]);
        if (!std::holds_alternative<NeedMore>(verdict)) return verdict;
    }
    return NeedMore{};
}

ProxyProtocolReader::Verdict ProxyProtocolReader::take(std::uint8_t byte) {
    if (size_ < kept_.size()) kept_[size_] = byte;
    ++size_;
    const auto text = text_of(kept_).substr(0, size_);
    if (proxy_line_start.starts_with(text.substr(0, proxy_line_start.size()))) return take_version_1();
    if (proxy_signature.starts_with(text.substr(0, proxy_signature.size()))) return take_version_2();
    return Malformed{"the header of the PROXY protocol is missing"};
}

ProxyProtocolReader::Verdict ProxyProtocolReader::take_version_1() const {
    assert(size_ <= max_version_1);
    auto line = text_of(kept_).substr(0, size_);
    if (line.ends_with("\r\n")) {
        line = line.substr(proxy_line_start.size(), line.size() - proxy_line_start.size() - 2);
        // "the receiver must ignore anything presented before the CRLF is found"
        if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) return Done{};
        const auto peer = parse_proxy_line(line);
        if (!peer) return Malformed{"the line of the PROXY protocol is malformed"};
        return Done{detail::to_string(*peer)};
    }
    const bool after_cr = line.size() > 1 && line[line.size() - 2] == '\r';
    if (after_cr || line.back() == '\n') return Malformed{"the line of the PROXY protocol must end with CR LF"};
    if (size_ == max_version_1) return Malformed{"the line of the PROXY protocol is longer than 107 bytes"};
    return NeedMore{};
}

ProxyProtocolReader::Verdict ProxyProtocolReader::take_version_2() {
    if (const auto problem = problem_of_version_2()) return Malformed{*problem};
    if (size_ == pp2_fixed) end_ = pp2_fixed + load_big_endian<std::uint16_t>(Bytes{kept_}.subspan(14, 2));
    if (size_ < end_) return NeedMore{};
    return Done{address_of_version_2()};
}

/// Checks the byte that was received last, as soon as a rule can be checked. The extensions are not checked.
std::optional<std::string_view> ProxyProtocolReader::problem_of_version_2() const noexcept {
    const unsigned last = kept_[std::min(size_, kept_.size()) - 1];
    if (size_ == 13 && (last >> 4 != 2 || (last & 0xF) > pp2_proxy)) {
        return "the PROXY protocol has an unknown version or command";
    }
    // LOCAL: "discard the protocol block including the family which is ignored".
    const bool is_proxy = (kept_[12] & 0xF) == pp2_proxy;
    if (size_ == 14 && is_proxy && (last >> 4 > pp2_unix || (last & 0xF) > pp2_datagram)) {
        return "the PROXY protocol has an unknown family or transport";
    }
    if (size_ != pp2_fixed) return std::nullopt;
    const std::size_t length = load_big_endian<std::uint16_t>(Bytes{kept_}.subspan(14, 2));
    static_assert(max_version_2 == 2064);
    if (length > max_version_2 - pp2_fixed) return "the header of the PROXY protocol is longer than 2064 bytes";
    if (length < length_of_addresses()) return "the header of the PROXY protocol is too short for its addresses";
    return std::nullopt;
}

/// Of version 2, 0 if there are none to be read.
std::size_t ProxyProtocolReader::length_of_addresses() const noexcept {
    const bool is_local = (kept_[12] & 0xF) == pp2_local;
    if (is_local || (kept_[13] & 0xF) == pp2_unspecified) return 0;
    switch (kept_[13] >> 4) {
        case pp2_ipv4:
            return 2 * (4 + 2);
        case pp2_ipv6:
            return 2 * (16 + 2);
        case pp2_unix:
            return 2 * pp2_path_size;
        default:
            return 0;
    }
}

/// The addresses of source and destination, then their ports. The transport protocol is the client's own, so a datagram
/// is as good as a stream: the load balancer may speak HTTP/3 with its client.
std::optional<std::string> ProxyProtocolReader::address_of_version_2() const {
    const auto addresses = Bytes{kept_}.subspan(pp2_fixed);
    if (length_of_addresses() == 0) return std::nullopt;
    if (kept_[13] >> 4 == pp2_unix) return unix_peer(addresses.first(pp2_path_size));
    const std::size_t size = kept_[13] >> 4 == pp2_ipv4 ? 4 : 16;
    const auto port = load_big_endian<std::uint16_t>(addresses.subspan(2 * size, 2));
    return detail::to_string({detail::ip_address_of(addresses.first(size)), port});
}

}  // namespace wsserver
