// What the daemon answers to requests that are no WebSocket's.
#pragma once

#include <optional>

#include "wsserver/handshake/http.hpp"

namespace wsd {

/// `/healthz`: 200 and `ok`, for load balancers. With `demo` the chat page at `/`, and 404 for what a browser asks
/// for besides. Nothing: the server says that it wants an upgrade (426).
std::optional<wsserver::HttpResponse> answer_http(const wsserver::HttpRequest& request, bool demo);

}  // namespace wsd
