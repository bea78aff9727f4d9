// The client's opening handshake: checks and writes the request, and reads the response.
#pragma once

#include <openssl/evp.h>

#include <algorithm>
#include <cassert>

#include "wsserver/handshake/detail/http_parser.hpp"
#include "wsserver/handshake/detail/http_text.hpp"
#include "wsserver/handshake/handshake.hpp"
#include "wsserver/handshake/http_body.hpp"

namespace wsserver {

using http_text::append_field;
using http_text::count_fields;
using http_text::equal_without_case;

namespace {

/// Whether the handshake sets the field itself, or the field would give the request a payload.
bool is_own_field(std::string_view name) noexcept {
    constexpr std::string_view own[] = {"Host",   "Upgrade",        "Connection",
                                        "Origin", "Content-Length", "Transfer-Encoding"};
    return http_text::starts_without_case(name, "Sec-WebSocket-") ||
           std::any_of(std::begin(own), std::end(own), [&](auto word) { return equal_without_case(word, name); });
}

bool has_control_characters(std::string_view text) noexcept {
    return std::any_of(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F; });
}

std::string check_field(const HttpField& field) {
    if (!http_text::is_token(field.name)) return "'" + field.name + "' is not a valid name of a header field";
    if (is_own_field(field.name)) return "the opening handshake sets the field " + field.name + " itself";
    if (has_control_characters(field.value)) return "the value of the field " + field.name + " has a control character";
    return {};
}

std::string check_subprotocols(const std::vector<std::string>& subprotocols) {
    for (auto it = subprotocols.begin(); it != subprotocols.end(); ++it) {
        if (!http_text::is_token(*it)) {
            return "'" + *it + "' is not a valid subprotocol: use letters, digits, '-', '.' and '_'";
        }
        if (std::find(subprotocols.begin(), it, *it) != it) return "the subprotocol " + *it + " is named twice";
    }
    return {};
}

std::string problem_of(const ClientRequest& request) {
    if (!http_text::parse_authority(request.host)) {
        return "'" + request.host + "' is not a valid host: write NAME or NAME:PORT";
    }
    if (!request.target.starts_with('/') || !http_text::is_visible(request.target) ||
        request.target.find('#') != std::string::npos) {
        return "'" + request.target + "' is not a valid target: it must begin with '/' and must not have spaces or '#'";
    }
    if (!request.origin.empty() && !http_text::is_visible(request.origin)) {
        return "the origin has a character that is not visible ASCII";
    }
    if (auto problem = check_subprotocols(request.subprotocols); !problem.empty()) return problem;
    for (const auto& field : request.fields) {
        if (auto problem = check_field(field); !problem.empty()) return problem;
    }
    return {};
}

std::string base64_of(const std::array<std::uint8_t, 16>& nonce) {
    std::array<unsigned char, 25> base64{};  // 24 and a final NUL
    EVP_EncodeBlock(base64.data(), nonce.data(), static_cast<int>(nonce.size()));
    return {reinterpret_cast<const char*>(base64.data()), 24};
}

}  // namespace

Result<void, std::string> check_request(const ClientRequest& request) {
    if (auto problem = problem_of(request); !problem.empty()) return Unexpected{std::move(problem)};
    return {};
}

/// The most bytes of a body that are kept: enough for an error message, and little memory.
constexpr std::size_t max_body = 64 * 1024;

struct ClientHandshake::Refusal {
    HttpResponse response;
    BodyReader body{BodyFraming{.length = max_body}};
    bool is_complete = false;

    /// A body that breaks the chunked coding ends there: the client fails anyway.
    void take(Bytes bytes) {
        while (!is_complete) {
            const auto step = body.next(bytes);
            if (std::holds_alternative<BodyReader::NeedMore>(step)) return;
            const auto* const data = std::get_if<BodyReader::Data>(&step);
            if (data != nullptr) response.body += text_of(data->bytes).substr(0, max_body - response.body.size());
            is_complete = data == nullptr || response.body.size() == max_body;
        }
    }
};

ClientHandshake::ClientHandshake(ClientRequest request, const HandshakeLimits& limits)
    : request_(std::move(request)), reader_(limits) {}
ClientHandshake::~ClientHandshake() = default;
ClientHandshake::ClientHandshake(ClientHandshake&&) noexcept = default;
ClientHandshake& ClientHandshake::operator=(ClientHandshake&&) noexcept = default;

std::string ClientHandshake::request() const {
    assert(check_request(request_));
    std::string out = "GET " + request_.target + " HTTP/1.1\r\n";
    append_field(out, "Host", request_.host);
    append_field(out, "Upgrade", "websocket");
    append_field(out, "Connection", "Upgrade");
    append_field(out, "Sec-WebSocket-Key", base64_of(request_.nonce));
    append_field(out, "Sec-WebSocket-Version", "13");
    if (!request_.origin.empty()) append_field(out, "Origin", request_.origin);
    if (!request_.subprotocols.empty()) {
        std::string list;
        for (const auto& subprotocol : request_.subprotocols) (list += list.empty() ? "" : ", ") += subprotocol;
        append_field(out, "Sec-WebSocket-Protocol", list);
    }
    for (const auto& [name, value] : request_.fields) {
        if (!is_own_field(name)) append_field(out, name, value);
    }
    return out += "\r\n";
}

namespace {

ClientHandshake::Rejected reject(Errc error, HttpResponse response, std::string_view detail = {}) {
    std::string text{message_of(error)};
    if (!detail.empty()) (text += ": ") += detail;
    return {error, std::move(response), std::move(text)};
}

/// Rejects a response whose header could not be read.
ClientHandshake::Rejected reject_unread(Errc error, std::string_view detail = {}) {
    HttpResponse none;
    none.status = 0;
    return reject(error, std::move(none), detail);
}

/// The first line of a plain text, for the user. Empty if the response is not plain text, or if the line is long or has
/// control characters, which could harm a terminal.
std::string explanation_in(const HttpResponse& response) {
    if (!http_text::starts_without_case(response.find("Content-Type"), "text/plain")) return {};
    std::string line = response.body.substr(0, response.body.find_first_of("\r\n"));
    if (line.size() > 200 || has_control_characters(line)) return {};
    return line;
}

}  // namespace

ClientHandshake::Rejected ClientHandshake::reject_with_response() {
    auto response = std::move(refusal_->response);
    std::string detail = "it answered " + std::to_string(response.status) + ' ';
    detail += reason_phrase(response.status);
    if (const auto location = response.find("Location"); response.status / 100 == 3 && !location.empty()) {
        (detail += " and points to ") += location;  // not followed, as the request may have credentials
    }
    if (const auto words = explanation_in(response); !words.empty()) detail += ": " + words;
    return reject(Errc::unexpected_status, std::move(response), detail);
}

ClientHandshake::Verdict ClientHandshake::receive(Bytes bytes) {
    using State = detail::HeadReader::State;
    consumed_ = 0;
    while (!refusal_) {
        consumed_ += reader_.take(bytes.subspan(consumed_));
        switch (reader_.state()) {
            case State::reading:
                return NeedMore{};
            case State::malformed:
                return reject_unread(Errc::malformed_response, reader_.error_text());
            case State::too_large:
                return reject_unread(Errc::response_header_too_large);
            case State::too_many_fields:
                return reject_unread(Errc::response_header_too_large, "too many fields");
            case State::complete:
                break;
        }
        auto verdict = judge_head();
        if (!std::holds_alternative<NeedMore>(verdict)) return verdict;
    }
    return read_body(bytes.subspan(consumed_));
}

/// Returns NeedMore after an interim response, which another header follows, and for a refusal, whose body follows.
ClientHandshake::Verdict ClientHandshake::judge_head() {
    if (reader_.head().starts_with("\r\n")) {
        return reject_unread(Errc::malformed_response, "an empty line before the first one");
    }
    ResponseParser parser;
    if (const auto wrong = parser.parse(reader_.head()); !wrong.empty()) {
        return reject_unread(Errc::malformed_response, wrong);
    }
    auto& response = parser.message();
    response.content_type = response.find("Content-Type");
    if (response.status == 101) {
        if (parser.version() < 11) return reject(Errc::malformed_response, std::move(response), "it is not HTTP/1.1");
        return judge_switch(std::move(response));
    }
    if (response.status / 100 == 1) {  // RFC 9110 §15.2: a client must be able to parse interim responses
        reader_.restart();
        return NeedMore{};
    }
    const bool has_no_body = response.status == 204 || response.status == 304;
    refusal_ = std::make_unique<Refusal>(Refusal{std::move(response)});
    if (has_no_body) {
        refusal_->body = BodyReader{};
    } else if (parser.chunked()) {
        refusal_->body = BodyReader{BodyFraming{.is_chunked = true}};
    } else if (const auto length = parser.content_length()) {
        refusal_->body = BodyReader{BodyFraming{.length = *length}};
    }
    return NeedMore{};
}

/// The checks that RFC 6455 §4.1 requires for a 101 response, in the order of its list.
ClientHandshake::Verdict ClientHandshake::judge_switch(HttpResponse response) const {
    const auto& fields = response.fields;
    // (2) "contains a value that is not an ASCII case-insensitive match for the value 'websocket'": a list is invalid
    if (!equal_without_case(http_text::joined(fields, "Upgrade"), "websocket")) {
        return reject(Errc::missing_upgrade, std::move(response));
    }
    if (!http_text::list_names(http_text::joined(fields, "Connection"), "upgrade")) {
        return reject(Errc::missing_connection_upgrade_in_response, std::move(response));
    }
    if (count_fields(fields, "Sec-WebSocket-Accept") != 1 ||  // §11.3.3: at most once
        response.find("Sec-WebSocket-Accept") != sec_websocket_accept(base64_of(request_.nonce))) {
        return reject(Errc::bad_accept, std::move(response));
    }
    // (5) The client offers no extensions.
    const auto extensions = http_text::joined(fields, "Sec-WebSocket-Extensions");
    if (!http_text::elements(extensions).empty()) {
        return reject(Errc::unoffered_extension, std::move(response), extensions);
    }
    if (find_field(fields, "Sec-WebSocket-Protocol") == nullptr) return Accepted{{}, std::move(response)};
    const auto chosen = http_text::joined(fields, "Sec-WebSocket-Protocol");  // two values never match an offer
    const auto& offered = request_.subprotocols;
    if (std::find(offered.begin(), offered.end(), chosen) == offered.end()) {
        return reject(Errc::unoffered_subprotocol, std::move(response), "'" + chosen + "'");
    }
    return Accepted{chosen, std::move(response)};
}

ClientHandshake::Verdict ClientHandshake::read_body(Bytes bytes) {
    consumed_ += bytes.size();
    refusal_->take(bytes);
    if (!refusal_->is_complete) return NeedMore{};
    return reject_with_response();
}

ClientHandshake::Rejected ClientHandshake::receive_eof() {
    if (refusal_) return reject_with_response();
    const bool nothing = reader_.head().empty();
    return reject_unread(Errc::malformed_response, nothing ? "nothing was received" : "it ended within its header");
}

}  // namespace wsserver
