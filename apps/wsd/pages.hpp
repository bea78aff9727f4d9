// The daemon's responses to requests that are not opening handshakes.
#pragma once

#include <optional>

#include "wsserver/handshake/http.hpp"

namespace wsd {

/// `/healthz`: 200 and `ok`, for load balancers. With `demo`: the chat page at `/`, and 404 for the icon that browsers
/// request. Otherwise nothing, and the server answers that it requires an upgrade (426).
std::optional<wsserver::HttpResponse> answer_http(const wsserver::HttpRequest& request, bool demo);

}  // namespace wsd
