// URLs and endpoints with any bytes. What is accepted is written and parsed again with the same result.
#include <string>

#include "fuzz_input.hpp"
#include "wsserver/base/utf8.hpp"
#include "wsserver/handshake/handshake.hpp"
#include "wsserver/handshake/url.hpp"
#include "wsserver/transport/endpoint.hpp"

using namespace wsserver;
using fuzz::require;

namespace {

constexpr std::string_view pieces[] = {"ws://", "wss://", "ws+unix:", "unix:", "http://", ":",        "/",
                                       "?",     "#",      "@",        "[",     "]",       "::1",      "host",
                                       "80",    "443",    "%",        "a.b",   "//",      "example.", "65536",
                                       "0",     "/run/s", "*",        "é",     "%en",     "1.2.3.4"};

std::string written(const Url& url) {
    if (!url.unix_path.empty()) return "ws+unix:" + url.unix_path + ":" + url.target;
    return (url.secure ? "wss://" : "ws://") + url.host_field() + url.target;
}

void check_url(std::string_view text) {
    const auto url = parse_url(text);
    if (!url) {
        require(!url.error().empty() && url.error().find('\n') == std::string::npos, "an error is one line");
        return require(is_valid_utf8(bytes_of(url.error())), "an error is UTF-8");
    }
    ClientRequest request;
    request.host = url->host_field();
    request.target = url->target;
    require(static_cast<bool>(check_request(request)), "a valid URL gives a valid request");
    const auto again = parse_url(written(*url));
    require(again && *again == *url, "a URL is written as it was parsed");
}

void check_endpoint(std::string_view text) {
    const auto endpoint = parse_endpoint(text);
    if (!endpoint) return require(!endpoint.error().empty(), "an error has a text");
    require(!endpoint->is_unix() || (endpoint->host.empty() && endpoint->port == 0), "a Unix socket has no port");
    const auto again = parse_endpoint(to_string(*endpoint));
    require(again && *again == *endpoint, "an endpoint is written as it was parsed");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::FuzzInput input{{data, size}};
    const auto text = fuzz::text_from(input, pieces);
    const fuzz::ExactCopy copy{bytes_of(text)};
    check_url(text_of(copy.bytes()));
    check_url("ws://" + text);
    check_endpoint(text_of(copy.bytes()));
    return 0;
}
