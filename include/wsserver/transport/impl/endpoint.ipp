// Parses and formats endpoints, and reads the addresses of sockets.
#pragma once

#include "wsserver/transport/endpoint.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <optional>

namespace wsserver {

namespace {

constexpr std::string_view unix_prefix = "unix:";

std::optional<std::uint16_t> parse_listen_port(std::string_view text) noexcept {
    std::uint16_t port = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, port);
    if (error != std::errc{} || stop != end) return std::nullopt;
    return port;
}

bool is_ipv6_address(const std::string& host) {
    in6_addr address;
    return ::inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), &address) == 1;
}

/// The characters of a name or of an IPv4 address. Whether the name exists is checked when it is resolved.
bool may_be_in_host(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
}

Unexpected<std::string> wrong(std::string_view text, std::string_view why) {
    return Unexpected{std::string{"'"}.append(text).append("': ").append(why).append(
        "; write HOST:PORT, [IPV6]:PORT, :PORT or unix:PATH")};
}

std::string with_scope(std::string host, std::uint32_t scope) {
    if (scope == 0) return host;
    std::array<char, IF_NAMESIZE> name;
    host += '%';
    host += ::if_indextoname(scope, name.data()) ? std::string{name.data()} : std::to_string(scope);
    return host;
}

Endpoint endpoint_of_ipv4(const in_addr& address, in_port_t port) {
    std::array<char, INET_ADDRSTRLEN> text;
    return {.host = ::inet_ntop(AF_INET, &address, text.data(), text.size()), .port = ntohs(port)};
}

Endpoint endpoint_of_ipv6(const sockaddr_in6& address) {
    if (IN6_IS_ADDR_V4MAPPED(&address.sin6_addr)) {
        in_addr ipv4;
        std::memcpy(&ipv4, address.sin6_addr.s6_addr + 12, sizeof ipv4);
        return endpoint_of_ipv4(ipv4, address.sin6_port);
    }
    std::array<char, INET6_ADDRSTRLEN> text;
    const char* host = ::inet_ntop(AF_INET6, &address.sin6_addr, text.data(), text.size());
    return {.host = with_scope(host, address.sin6_scope_id), .port = ntohs(address.sin6_port)};
}

/// unix(7): a path may fill sun_path without a final zero. An abstract name begins with a zero byte, which is written
/// as `@`, as usual.
std::string unix_path_of(const sockaddr_un& address, socklen_t size) {
    const std::size_t length = std::size_t{size} - offsetof(sockaddr_un, sun_path);
    if (length == 0) return {};
    if (address.sun_path[0] != '\0') return {address.sun_path, ::strnlen(address.sun_path, length)};
    return std::string{"@"}.append(address.sun_path + 1, length - 1);
}

}  // namespace

Result<Endpoint, std::string> parse_endpoint(std::string_view text) {
    if (text.starts_with(unix_prefix)) {
        const std::string_view path = text.substr(unix_prefix.size());
        if (path.empty() || path == "@") return wrong(text, "the path is missing");
        if (path.find('\0') != std::string_view::npos) return wrong(text, "a path cannot contain zero bytes");
        return Endpoint{.unix_path = std::string{path}};
    }
    if (text.find("://") != std::string_view::npos) return wrong(text, "this is a URL, not an address");
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return wrong(text, "the port is missing");
    const auto port = parse_listen_port(text.substr(colon + 1));
    Endpoint endpoint{.host = std::string{text.substr(0, colon)}};

    if (endpoint.host.starts_with('[')) {
        if (!endpoint.host.ends_with(']')) return wrong(text, "a port must follow the bracket");
        endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
        if (!is_ipv6_address(endpoint.host)) return wrong(text, "the text in brackets is not an IPv6 address");
    } else if (endpoint.host.find(':') != std::string::npos) {
        return wrong(text, "an IPv6 address must be written in brackets");
    } else if (endpoint.host == "*") {
        return wrong(text, "leave the host empty to listen on all addresses");
    } else if (!std::all_of(endpoint.host.begin(), endpoint.host.end(), may_be_in_host)) {
        return wrong(text, "the host is neither a name nor an address");
    }
    if (!port) return wrong(text, "the port must be a number from 0 to 65535");
    endpoint.port = *port;
    return endpoint;
}

std::string to_string(const Endpoint& endpoint) {
    if (endpoint.is_unix()) return std::string{unix_prefix} + endpoint.unix_path;
    const bool brackets = endpoint.host.find(':') != std::string::npos;
    const std::string host = brackets ? "[" + endpoint.host + "]" : endpoint.host;
    return host + ":" + std::to_string(endpoint.port);
}

Endpoint endpoint_of(const sockaddr_storage& address, socklen_t size) {
    if (size < sizeof(sa_family_t)) return {};
    switch (address.ss_family) {
        case AF_INET: {
            const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(address);
            return endpoint_of_ipv4(ipv4.sin_addr, ipv4.sin_port);
        }
        case AF_INET6:
            return endpoint_of_ipv6(reinterpret_cast<const sockaddr_in6&>(address));
        case AF_UNIX:
            return {.unix_path = unix_path_of(reinterpret_cast<const sockaddr_un&>(address), size)};
        default:
            return {};
    }
}

Endpoint local_endpoint(int socket) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
    return endpoint_of(address, size);
}

std::string peer_name(int socket) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
    const Endpoint peer = endpoint_of(address, size);
    if (address.ss_family != AF_UNIX || peer.is_unix()) return to_string(peer);
    return std::string{unix_prefix} + local_endpoint(socket).unix_path;
}

bool is_loopback_peer(std::string_view peer) noexcept { return peer.starts_with("127.") || peer.starts_with("[::1]:"); }

}  // namespace wsserver
