// The daemon's responses to requests that are not opening handshakes.
#pragma once

#include <optional>

#include "wsserver/handshake/http.hpp"

namespace wsd {

/// The path for load balancers.
inline constexpr const char* health_path = "/healthz";

/// 200 and `ok`, or `degraded` if an I/O thread does not answer.
wsserver::HttpResponse health(bool degraded);

/// At health_path: health(). With `demo`: the chat page at `/`, and 404 for the icon that browsers request. Otherwise
/// nothing, and the server answers that it requires an upgrade (426).
std::optional<wsserver::HttpResponse> answer_http(const wsserver::HttpRequest& request, bool demo,
                                                  bool degraded = false);

}  // namespace wsd
