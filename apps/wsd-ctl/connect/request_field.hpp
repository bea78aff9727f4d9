// `-H 'NAME: VALUE'` of `connect` and `bench`.
#pragma once

#include <string>

#include "wsserver/base/result.hpp"
#include "wsserver/handshake/http.hpp"

namespace wsd::ctl {

/// Splits `NAME: VALUE`. An error says how a field is written.
wsserver::Result<wsserver::HttpField, std::string> parse_request_field(const std::string& text);

}  // namespace wsd::ctl
