// The little of HTTP that a WebSocket server needs: requests and responses as plain values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace wsserver {

struct HttpField {
    std::string name;
    std::string value;

    bool operator==(const HttpField&) const = default;
};

/// The first field of that name, without regard to case; null if there is none. Valid as long as `fields` is.
const HttpField* find_field(const std::vector<HttpField>& fields, std::string_view name) noexcept;

struct HttpRequest {
    std::string method{};
    std::string target{};   ///< path and query, `/chat?room=5`; of an absolute URI only that part
    unsigned version = 11;  ///< 10 or 11, as in HTTP/1.1
    /// As they were sent, in their order. Of an absolute target the host stands in Host (RFC 9112 §3.2.2).
    std::vector<HttpField> fields{};

    /// The value of the first field of that name, without regard to case; empty if there is none.
    /// Valid as long as the request is.
    std::string_view find(std::string_view name) const noexcept;
};

struct HttpResponse {
    unsigned status = 200;
    /// Without Content-Type, Content-Length and Connection: these are made from what follows.
    std::vector<HttpField> fields{};
    std::string content_type = "text/plain; charset=utf-8";
    std::string body{};

    /// As HttpRequest::find().
    std::string_view find(std::string_view name) const noexcept;
};

/// The usual words for a status code: "Not Found"; empty for one that nobody knows.
std::string_view reason_phrase(unsigned status) noexcept;

}  // namespace wsserver
