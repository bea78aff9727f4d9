// `-H 'NAME: VALUE'` of `connect` and `bench`.
#pragma once

#include <string>
#include <vector>

#include "wsserver/base/result.hpp"
#include "wsserver/handshake/http.hpp"

namespace wsd::ctl {

/// Splits `NAME: VALUE`. An error says how a field is written.
wsserver::Result<wsserver::HttpField, std::string> parse_request_field(const std::string& text);

/// Removes the field Host, which the opening handshake sets itself, and returns its value; otherwise `host`.
std::string take_host(std::vector<wsserver::HttpField>& fields, std::string host);

}  // namespace wsd::ctl
