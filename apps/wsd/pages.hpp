// The daemon's responses to requests that are not opening handshakes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "wsserver/handshake/http.hpp"

namespace wsd {

/// The path for load balancers.
inline constexpr const char* health_path = "/healthz";

/// 200 and `ok`, or `degraded` if an I/O thread does not answer.
wsserver::HttpResponse health(bool degraded);

/// The chat page. `command` is the command line for a shell that sends a message to everyone, which the page shows;
/// empty: it shows that of an installed wsd-ctl.
std::string chat_page_with(std::string_view command);

/// At health_path: health(). With a `page`, which is not empty: the page at `/`, and 404 for the icon that browsers
/// request. Otherwise nothing, and the server answers that it requires an upgrade (426).
std::optional<wsserver::HttpResponse> answer_http(const wsserver::HttpRequest& request, std::string_view page,
                                                  bool degraded = false);

}  // namespace wsd
