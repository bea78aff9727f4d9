// Parses URLs, and explains what is wrong with them.
#pragma once

#include "wsserver/handshake/url.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/handshake/detail/http_text.hpp"

namespace wsserver {
namespace {

using Problem = Unexpected<std::string>;

constexpr std::string_view example = "ws://localhost:8080/chat";

/// "URL 'x': why (example: ws://localhost:8080/chat)"
Problem problem(std::string_view text, std::string_view why, std::string_view valid = example) {
    std::string message = "URL '" + escape_control(text) + "': ";
    message += why;
    if (!valid.empty()) ((message += " (example: ") += valid) += ')';
    return Problem{std::move(message)};
}

/// RFC 6455 §3: "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be used".
std::optional<Problem> check_characters(std::string_view text) {
    if (text.empty()) return problem(text, "it is empty; it must begin with ws://");
    if (text.find(' ') != std::string_view::npos) {
        return problem(text, "it has a space; write it as %20", "ws://localhost/a%20room");
    }
    if (!http_text::is_visible(text)) {
        return problem(text, "it has a control character or one that is not ASCII; percent-encode it",
                       "ws://localhost/caf%C3%A9");
    }
    if (text.find('#') != std::string_view::npos) {
        return problem(
            text, "a WebSocket URL must not have a fragment; remove '#' and the text after it, or write '#' as %23",
            {});
    }
    return std::nullopt;
}

bool is_ipv6_literal(std::string_view address) {
    in6_addr ignored;
    return inet_pton(AF_INET6, std::string{address}.c_str(), &ignored) == 1;
}

/// The port without leading zeros, or the scheme's default if `digits` is empty. Nothing if it is not a valid port.
std::optional<std::string> read_port(std::string_view digits, bool secure) {
    if (digits.empty()) return secure ? "443" : "80";
    std::uint16_t port = 0;
    const auto* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, port);
    if (error != std::errc{} || stop != end || port == 0) return std::nullopt;
    return std::to_string(port);
}

std::string target_of(std::string_view rest) {
    return rest.starts_with('/') ? std::string{rest} : '/' + std::string{rest};
}

Result<Url, std::string> parse_tcp(std::string_view text, std::string_view rest, bool secure) {
    const auto authority = rest.substr(0, rest.find_first_of("/?"));
    if (authority.find('@') != std::string_view::npos) {
        return problem(text, "it names a user; send an Authorization header field instead", {});
    }
    if (authority.empty()) return problem(text, "the host is missing");

    const bool bracketed = authority.starts_with('[');
    const auto host_end = bracketed ? authority.find(']') : authority.find(':');
    const auto host = authority.substr(bracketed ? 1 : 0, host_end - (bracketed ? 1 : 0));
    auto after_host = host_end == std::string_view::npos ? std::string_view{} : authority.substr(host_end);
    if (bracketed) after_host.remove_prefix(std::min<std::size_t>(1, after_host.size()));
    if (bracketed && (host_end == std::string_view::npos || !is_ipv6_literal(host))) {
        return problem(text, "the brackets must contain an IPv6 address", "ws://[::1]:8080/");
    }
    if (!bracketed && std::count(authority.begin(), authority.end(), ':') > 1) {
        return problem(text, "an IPv6 address must be in brackets", "ws://[::1]:8080/");
    }
    if (!bracketed && !http_text::parse_authority(host)) {
        return problem(text, "the host is neither a name nor an IP address");
    }
    if (!after_host.empty() && after_host.front() != ':') {
        return problem(text, "only a port may follow the address", "ws://[::1]:8080/");
    }
    const auto port = read_port(after_host.substr(std::min<std::size_t>(1, after_host.size())), secure);
    if (!port) return problem(text, "the port must be a number from 1 to 65535");

    Url url;
    url.secure = secure;
    url.host = host;
    url.port = *port;
    url.target = target_of(rest.substr(authority.size()));
    return url;
}

/// `ws+unix:/run/wsd.sock:/chat`. `ws+unix:///run/wsd.sock:/chat` is accepted, too.
Result<Url, std::string> parse_unix(std::string_view text, std::string_view rest) {
    constexpr std::string_view valid = "ws+unix:/run/wsd.sock:/chat";
    if (rest.starts_with("//")) rest.remove_prefix(2);
    while (rest.starts_with("//")) rest.remove_prefix(1);  // otherwise the URL of the path would be read as another one
    const auto path = rest.substr(0, rest.find(':'));
    if (!path.starts_with('/') || path.ends_with('/')) {
        return problem(text, "the path of the socket must be absolute", valid);
    }
    const auto target = rest.substr(std::min(path.size() + 1, rest.size()));
    if (!target.empty() && target.front() != '/' && target.front() != '?') {
        return problem(text, "the target after the colon must begin with a slash", valid);
    }
    Url url;
    url.host = "localhost";
    url.port = "80";
    url.target = target_of(target);
    url.unix_path = path;
    return url;
}

}  // namespace

std::string Url::host_field() const {
    auto field = host.find(':') == std::string::npos ? host : '[' + host + ']';
    if (port != (secure ? "443" : "80")) (field += ':') += port;
    return field;
}

Result<Url, std::string> parse_url(std::string_view text) {
    if (auto wrong = check_characters(text)) return *wrong;
    const auto colon = text.find(':');
    const auto scheme = http_text::lower_case(text.substr(0, colon));
    const auto rest = colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
    if (scheme == "ws+unix") return parse_unix(text, rest);

    const bool has_authority = rest.starts_with("//");
    if (has_authority && (scheme == "ws" || scheme == "wss")) return parse_tcp(text, rest.substr(2), scheme == "wss");
    if (has_authority && (scheme == "http" || scheme == "https")) {
        const auto valid = (scheme == "http" ? "ws" : "wss") + std::string{text.substr(colon)};
        return problem(text, "a WebSocket URL must begin with ws:// or wss://", valid);
    }
    if (has_authority) return problem(text, "a WebSocket URL must begin with ws://, wss:// or ws+unix:");
    const auto guess = "ws://" + std::string{text.substr(std::min(text.find_first_not_of('/'), text.size()))};
    return problem(text, "it must begin with ws://", parse_url(guess) ? std::string_view{guess} : example);
}

}  // namespace wsserver
