// The server's opening handshake: reads and checks the request, and writes the response.
#pragma once

#include <algorithm>
#include <array>
#include <cassert>

#include "wsserver/handshake/detail/http_parser.hpp"
#include "wsserver/handshake/detail/http_text.hpp"
#include "wsserver/handshake/handshake.hpp"

namespace wsserver {

using http_text::append_field;
using http_text::append_status_line;
using http_text::count_fields;
using http_text::equal_without_case;

namespace {

/// The second word of the first line; empty if there is no such line.
std::string_view target_in(std::string_view head) noexcept {
    const auto line = head.substr(0, head.find('\r'));
    const auto first = line.find(' ');
    const auto last = line.rfind(' ');
    return first == last ? std::string_view{} : line.substr(first + 1, last - first - 1);
}

}  // namespace

ServerHandshake::ServerHandshake(const HandshakeLimits& limits, std::string_view server_name)
    : reader_(limits), max_target_(limits.max_target), server_name_(server_name) {}

ServerHandshake::Refused ServerHandshake::refuse(Errc error, std::string_view detail, bool head_request) const {
    return {error, refusal_response(error, server_name_, detail, head_request, date_), std::string{detail},
            std::string{target_in(reader_.head())}};
}

namespace {

/// The first byte of a TLS connection (RFC 8446 §5.1). No HTTP request begins with it.
constexpr std::uint8_t tls_handshake_record = 0x16;

/// Whether `text` is `HTTP/`, a digit, a point and a digit.
bool is_version(std::string_view text) noexcept {
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    return text.size() == 8 && text.starts_with("HTTP/") && is_digit(text[5]) && text[6] == '.' && is_digit(text[7]);
}

struct RequestError {
    Errc error;
    std::string text{};  ///< the detail of the refusal, optional
};

/// Checks the request line before the parser does, which reports a space in the target as "bad version". Replaces an
/// unknown minor version by the highest known one (RFC 9110 §2.5).
std::optional<RequestError> check_version(std::string& head) {
    const std::string_view line{head.data(), head.find('\r')};
    const auto last_space = line.rfind(' ');
    if (std::count(line.begin(), line.end(), ' ') != 2 || !is_version(line.substr(last_space + 1))) {
        return RequestError{Errc::malformed_request, "the first line must be: GET target HTTP/1.1"};
    }
    const auto version = line.substr(last_space + 1);
    if (version[5] != '1') return RequestError{Errc::bad_http_version};
    if (version[7] != '0') head[last_space + 8] = '1';
    return std::nullopt;
}

/// Checks the target (RFC 9112 §3.2). Sets `host` to the authority of an absolute target. Returns false if a GET
/// request cannot have the target.
bool check_target(const HttpRequest& request, std::string_view& host) {
    std::string_view target{request.target};
    if (!http_text::is_visible(target) || target.find('#') != std::string_view::npos) return false;
    if (target.starts_with('/')) return true;
    if (target == "*") return request.method == "OPTIONS";  // RFC 9112 §3.2.4
    const auto scheme_end = target.find("://");
    if (scheme_end == std::string_view::npos) return false;
    const auto scheme = target.substr(0, scheme_end);
    const auto is_scheme = [&](std::string_view known) { return equal_without_case(scheme, known); };
    if (!is_scheme("http") && !is_scheme("https") && !is_scheme("ws") && !is_scheme("wss")) return false;
    target.remove_prefix(scheme_end + 3);
    host = target.substr(0, target.find_first_of("/?"));
    if (!http_text::parse_authority(host)) return false;
    return true;
}

/// Reduces an absolute target to its path and query, and copies `host` to the Host field (RFC 9112 §3.2.2). Does
/// nothing if `host` is empty.
void normalise_target(HttpRequest& request, std::string_view host) {
    if (host.empty()) return;
    const auto authority_end = static_cast<std::size_t>(host.data() - request.target.data()) + host.size();
    std::string rest = request.target.substr(authority_end);
    if (!rest.starts_with('/')) rest.insert(rest.begin(), '/');
    for (auto& field : request.fields) {
        if (equal_without_case(field.name, "Host")) field.value = host;
    }
    request.target = std::move(rest);
}

/// RFC 9112 §3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that
/// lacks a Host header field and to any request message that contains more than one Host header field line or a Host
/// header field with an invalid field value."
std::optional<RequestError> check_host(const HttpRequest& request) {
    const auto count = count_fields(request.fields, "Host");
    if (count == 0 && request.version == 10) return std::nullopt;
    if (count == 0) return RequestError{Errc::missing_host};
    if (count > 1) return RequestError{Errc::missing_host, "there is more than one"};
    if (!http_text::parse_authority(request.find("Host"))) return RequestError{Errc::missing_host, "it is invalid"};
    return std::nullopt;
}

/// A server would read a payload as frames, and a proxy before it as a payload. This allows request smuggling.
bool has_payload(const RequestParser& parser, const HttpRequest& request) {
    return parser.content_length().value_or(0) > 0 || find_field(request.fields, "Transfer-Encoding") != nullptr;
}

}  // namespace

ServerHandshake::Verdict ServerHandshake::receive(Bytes bytes, std::string_view date) {
    using State = detail::HeadReader::State;
    date_ = date;
    assert(reader_.state() == State::reading);
    if (reader_.is_empty() && !bytes.empty() && bytes.front() == tls_handshake_record) {
        consumed_ = bytes.size();
        return refuse(Errc::malformed_request,
                      "this is TLS (wss:// or https://), and the port is for ws:// and http://");
    }
    consumed_ = reader_.take(bytes);
    switch (reader_.state()) {
        case State::reading:
            return NeedMore{};
        case State::malformed:
            return refuse(Errc::malformed_request, reader_.error_text());
        case State::too_large:
            return refuse(Errc::request_header_too_large);
        case State::too_many_fields:
            return refuse(Errc::too_many_fields);
        case State::complete:
            break;
    }
    auto& head = reader_.head();
    // RFC 9112 §2.2: a server "SHOULD ignore at least one empty line (CRLF) received prior to the request-line".
    if (head.starts_with("\r\n")) head.erase(0, 2);
    if (head.starts_with("\r\n")) return refuse(Errc::malformed_request, "several empty lines before the first one");
    if (const auto wrong = check_version(head)) return refuse(wrong->error, wrong->text);
    RequestParser parser{std::move(spare_)};
    if (const auto wrong = parser.parse(head); !wrong.empty()) return refuse(Errc::malformed_request, wrong);

    auto& request = parser.message();
    const bool is_head = request.method == "HEAD";
    if (!accepts_method(request)) return refuse(Errc::bad_method);
    std::string_view host;
    if (!check_target(request, host)) return refuse(Errc::malformed_request, "the target is not a path", is_head);
    if (const auto wrong = check_host(request)) return refuse(wrong->error, wrong->text, is_head);
    if (!serves_http_ && has_payload(parser, request)) return refuse(Errc::request_with_payload, {}, is_head);
    normalise_target(request, host);
    return judge(std::move(request));
}

bool ServerHandshake::accepts_method(const HttpRequest& request) const noexcept {
    if (request.method == "GET" || request.method == "HEAD") return true;
    return serves_http_ && (request.method != "CONNECT" || request.target.starts_with('/'));
}

void ServerHandshake::next_request(HttpRequest spare) {
    constexpr std::size_t kept = 4096;  // of a long header, which is rare, no memory is kept
    reader_.begin_again(kept);
    spare_ = std::move(spare);
}

/// A request that is not an upgrade.
ServerHandshake::Verdict ServerHandshake::judge_plain(HttpRequest request) const {
    const bool is_head = request.method == "HEAD";
    if (!serves_http_) return Plain{std::move(request)};
    const auto framing = body_framing(request);
    if (!framing) return refuse(framing.error().error, framing.error().text, is_head);
    const auto expects = expects_continue(request);
    if (!expects) return refuse(expects.error().error, expects.error().text, is_head);
    Plain plain{std::move(request), *framing, false, *expects};
    // RFC 9110 §9.3.6: after CONNECT, the client may send what is not HTTP.
    plain.keeps_alive = plain.request.method != "CONNECT" && keeps_alive(plain.request);
    return plain;
}

namespace {

bool has_field(const HttpRequest& request, std::string_view name) noexcept {
    return find_field(request.fields, name) != nullptr;
}

}  // namespace

ServerHandshake::Verdict ServerHandshake::judge(HttpRequest request) const {
    const bool is_head = request.method == "HEAD";
    if (!has_field(request, "Upgrade") && !has_field(request, "Sec-WebSocket-Key")) {
        return judge_plain(std::move(request));
    }
    // RFC 6455 §4.2.1 (3): "An |Upgrade| header field containing the value 'websocket', treated as an ASCII
    // case-insensitive value."
    if (!http_text::list_names(http_text::joined(request.fields, "Upgrade"), "websocket")) {
        // The most frequent reason is a proxy that does not forward Upgrade. A page as the response would hide that.
        if (!has_field(request, "Sec-WebSocket-Key")) return judge_plain(std::move(request));
        return refuse(Errc::not_an_upgrade, "a proxy must forward the fields Upgrade and Connection", is_head);
    }
    // §4.2.1 (1): "An HTTP/1.1 or higher GET request".
    if (request.version < 11) return refuse(Errc::bad_http_version, {}, is_head);
    if (request.method != "GET") return refuse(Errc::bad_method, {}, is_head);
    const auto framing = body_framing(request);
    if (!framing || !framing->is_empty()) return refuse(Errc::request_with_payload);
    if (request.target.size() > max_target_) {
        return refuse(Errc::request_header_too_large,
                      "the target has more than " + std::to_string(max_target_) + " bytes");
    }
    return judge_upgrade(std::move(request));
}

namespace {

/// §4.1 (7): whether `text` is the base64 of 16 bytes: 22 characters and two of padding.
bool is_key(std::string_view text) noexcept {
    const auto is_base64 = [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
    };
    return text.size() == 24 && text.ends_with("==") && std::all_of(text.begin(), text.end() - 2, is_base64);
}

/// §4.1 (10): reads the subprotocols. Returns false unless they are distinct tokens.
bool read_subprotocols(const HttpRequest& request, std::vector<std::string>& subprotocols) {
    if (find_field(request.fields, "Sec-WebSocket-Protocol") == nullptr) return true;
    const auto list = http_text::joined(request.fields, "Sec-WebSocket-Protocol");
    auto words = http_text::elements(list);
    if (words.empty() || !std::all_of(words.begin(), words.end(), http_text::is_token)) return false;
    subprotocols.assign(words.begin(), words.end());
    std::sort(words.begin(), words.end());
    return std::adjacent_find(words.begin(), words.end()) == words.end();
}

std::optional<RequestError> check_origin(const HttpRequest& request) {
    const auto count = count_fields(request.fields, "Origin");
    if (count == 0 || (count == 1 && !request.find("Origin").empty())) return std::nullopt;
    return RequestError{Errc::malformed_request, count == 1 ? "Origin is empty" : "there is more than one Origin"};
}

/// The checks of §4.2.1, in the order of its list.
std::optional<RequestError> read_offer(const HttpRequest& request, Offer& offer) {
    const auto& fields = request.fields;
    if (!http_text::list_names(http_text::joined(fields, "Connection"), "upgrade")) {
        return RequestError{Errc::missing_connection_upgrade};
    }
    // Checked before the key: clients of earlier drafts send other keys, and 426 is more useful to them. §11.3.5: at
    // most once.
    if (count_fields(fields, "Sec-WebSocket-Version") != 1 || request.find("Sec-WebSocket-Version") != "13") {
        return RequestError{Errc::unsupported_version};
    }
    const auto keys = count_fields(fields, "Sec-WebSocket-Key");
    if (keys == 0) return RequestError{Errc::missing_key};
    if (keys > 1) return RequestError{Errc::bad_key, "there is more than one"};  // §11.3.1
    offer.key = request.find("Sec-WebSocket-Key");
    if (!is_key(offer.key)) return RequestError{Errc::bad_key};
    if (auto wrong = check_origin(request)) return wrong;
    offer.origin = request.find("Origin");
    if (!read_subprotocols(request, offer.subprotocols)) return RequestError{Errc::bad_subprotocol};
    // §9.1: the recipient of a malformed value "MUST immediately _Fail the WebSocket Connection_".
    if (find_field(fields, "Sec-WebSocket-Extensions") != nullptr &&
        !http_text::is_extension_list(http_text::joined(fields, "Sec-WebSocket-Extensions"))) {
        return RequestError{Errc::bad_extensions};
    }
    return std::nullopt;
}

}  // namespace

ServerHandshake::Verdict ServerHandshake::judge_upgrade(HttpRequest request) const {
    Offer offer;
    if (const auto wrong = read_offer(request, offer)) return refuse(wrong->error, wrong->text);
    offer.request = std::move(request);
    return Upgrade{std::move(offer)};
}

namespace {

/// Whether accept_response() writes the field itself, or must not write it.
bool belongs_to_handshake(std::string_view name) noexcept {
    constexpr std::array<std::string_view, 6> names{"Upgrade",           "Connection", "Content-Length",
                                                    "Transfer-Encoding", "Server",     "Content-Type"};
    const auto same = [&](std::string_view other) { return equal_without_case(name, other); };
    return http_text::starts_without_case(name, "Sec-WebSocket-") || std::ranges::any_of(names, same);
}

}  // namespace

std::string accept_response(const Offer& offer, std::string_view subprotocol, std::string_view server_name,
                            std::span<const HttpField> fields) {
    std::string out;
    append_status_line(out, 101);
    append_field(out, "Upgrade", "websocket");
    append_field(out, "Connection", "Upgrade");
    append_field(out, "Sec-WebSocket-Accept", sec_websocket_accept(offer.key));
    if (!subprotocol.empty()) append_field(out, "Sec-WebSocket-Protocol", subprotocol);
    if (!server_name.empty()) append_field(out, "Server", server_name);
    for (const HttpField& field : fields) {
        if (!belongs_to_handshake(field.name)) append_field(out, field.name, field.value);
    }
    return out += "\r\n";
}

unsigned http_status_for(Errc error) noexcept {
    switch (error) {
        case Errc::request_header_too_large:
        case Errc::too_many_fields:
            return 431;
        case Errc::bad_method:
            return 405;
        case Errc::bad_http_version:
            return 505;
        case Errc::not_an_upgrade:
        case Errc::unsupported_version:
            return 426;
        case Errc::origin_forbidden:
        case Errc::refused_by_program:
            return 403;
        case Errc::no_such_path:
            return 404;
        case Errc::handshake_timeout:
        case Errc::body_timeout:
            return 408;
        case Errc::body_too_large:
            return 413;
        case Errc::unknown_expectation:
            return 417;
        case Errc::unknown_transfer_coding:
            return 501;
        case Errc::unknown_host:
            return 421;
        case Errc::too_many_from_address:
        case Errc::too_many_new_from_address:
        case Errc::too_many_of_user:
        case Errc::too_many_new_of_user:
            return 429;
        case Errc::too_many_connections:
        case Errc::memory_limit_reached:
        case Errc::too_many_new_connections:
        case Errc::upgrade_undecided:
        case Errc::answer_timeout:
            return 503;
        default:
            return 400;
    }
}

std::string refusal_response(Errc error, std::string_view server_name, std::string_view detail, bool head_request,
                             std::string_view date) {
    std::string text{message_of(error)};
    if (!detail.empty()) (text += ": ") += detail;
    text += '\n';

    const unsigned status = http_status_for(error);
    std::string out;
    append_status_line(out, status);
    if (!server_name.empty()) append_field(out, "Server", server_name);
    if (!date.empty()) append_field(out, "Date", date);
    append_field(out, "Content-Type", "text/plain; charset=utf-8");
    append_field(out, "Content-Length", std::to_string(text.size()));
    if (status == 405) append_field(out, "Allow", "GET, HEAD");
    // In seconds. Clients add their own jitter.
    if (status == 503 || status == 429) append_field(out, "Retry-After", "5");
    // RFC 6455 §4.4: a 426 response lists the supported versions. RFC 9110 §15.5.22: the server "MUST send an Upgrade
    // header field" in it; §7.8: and name this field in Connection.
    if (status == 426) {
        append_field(out, "Sec-WebSocket-Version", "13");
        append_field(out, "Upgrade", "websocket");
    }
    append_field(out, "Connection", status == 426 ? "close, Upgrade" : "close");
    out += "\r\n";
    // RFC 9110 §9.3.2: "the server MUST NOT send content in the response" to a HEAD request.
    return head_request ? out : out += text;
}

namespace {

/// Whether append_response_head() writes the field itself, or must not write it.
bool belongs_to_framing(std::string_view name) noexcept {
    constexpr std::array<std::string_view, 4> names{"Content-Type", "Content-Length", "Transfer-Encoding",
                                                    "Connection"};
    return std::ranges::any_of(names, [&](std::string_view other) { return equal_without_case(name, other); });
}

void append_framing(std::string& out, const HttpResponse& response, const ResponseFraming& framing) {
    using Body = ResponseFraming::Body;
    if (framing.body == Body::none) return;
    if (!response.content_type.empty()) append_field(out, "Content-Type", response.content_type);
    if (framing.body == Body::length) append_field(out, "Content-Length", std::to_string(framing.length));
    if (framing.body == Body::chunked) append_field(out, "Transfer-Encoding", "chunked");
}

}  // namespace

void append_response_head(std::string& out, const HttpResponse& response, const ResponseFraming& framing,
                          std::string_view server_name, std::string_view date) {
    append_status_line(out, response.status);
    if (!server_name.empty() && response.find("Server").empty()) append_field(out, "Server", server_name);
    if (!date.empty() && response.find("Date").empty()) append_field(out, "Date", date);
    for (const auto& [name, value] : response.fields) {
        if (!belongs_to_framing(name)) append_field(out, name, value);
    }
    append_framing(out, response, framing);
    if (framing.stream == ResponseFraming::Stream::close) append_field(out, "Connection", "close");
    if (framing.stream == ResponseFraming::Stream::say_keep) append_field(out, "Connection", "keep-alive");
    out += "\r\n";
}

std::string http_response(const HttpResponse& response, const HttpRequest& request, std::string_view server_name,
                          std::string_view date) {
    const bool bodyless = has_no_body(response.status);
    ResponseFraming framing;
    if (!bodyless) framing = {.body = ResponseFraming::Body::length, .length = response.body.size()};
    std::string out;
    append_response_head(out, response, framing, server_name, date);
    if (!bodyless && request.method != "HEAD") out += response.body;
    return out;
}

}  // namespace wsserver
