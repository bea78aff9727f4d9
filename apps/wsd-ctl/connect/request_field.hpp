// `-H 'NAME: VALUE'`, as `connect` and `bench` take it.
#pragma once

#include <string>

#include "wsserver/base/result.hpp"
#include "wsserver/handshake/http.hpp"

namespace wsd::ctl {

/// An error says how it is written.
wsserver::Result<wsserver::HttpField, std::string> parse_request_field(const std::string& text);

}  // namespace wsd::ctl
