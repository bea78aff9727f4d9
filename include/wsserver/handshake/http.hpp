// HTTP requests and responses as plain values, as far as a WebSocket server needs them.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace wsserver {

/// A header field. Names are compared without regard to case.
struct HttpField {
    std::string name;   ///< such as `Content-Type`
    std::string value;  ///< without blanks around it

    bool operator==(const HttpField&) const = default;
};

/// The first field with this name, without regard to case; null if there is none. Valid until `fields` is changed.
const HttpField* find_field(const std::vector<HttpField>& fields, std::string_view name) noexcept;

/// A request without its payload.
struct HttpRequest {
    std::string method{};   ///< as sent; upper case, such as `GET`
    std::string target{};   ///< path and query, `/chat?room=5`; an absolute URI is reduced to these
    unsigned version = 11;  ///< 11 for HTTP/1.1, 10 for HTTP/1.0
    /// All fields in the order in which they were sent. The host of an absolute target replaces that of the Host field
    /// (RFC 9112 §3.2.2).
    std::vector<HttpField> fields{};

    /// The value of the first field with this name, without regard to case; empty if there is none.
    /// Valid until the request is changed.
    std::string_view find(std::string_view name) const noexcept;
};

/// A response: one that a program returns, or one that a client received.
struct HttpResponse {
    unsigned status = 200;  ///< 100 to 999
    /// In a response that is sent, Content-Type, Content-Length, Transfer-Encoding and Connection are ignored:
    /// http_response() writes them from the members below. A Server or Date field replaces that of the server.
    std::vector<HttpField> fields{};
    std::string content_type = "text/plain; charset=utf-8";  ///< empty: no Content-Type
    std::string body{};  ///< in a response that is sent: any bytes; http_response() writes their number

    /// Same as HttpRequest::find().
    std::string_view find(std::string_view name) const noexcept;
};

/// The usual phrase for a status code, such as "Not Found"; empty for an unknown code. The result is valid forever.
std::string_view reason_phrase(unsigned status) noexcept;

}  // namespace wsserver
