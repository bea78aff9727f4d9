#include "wsd-ctl/connect/request_field.hpp"

#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <utility>

#include "wsserver/base/shell_words.hpp"

namespace wsd::ctl {

wsserver::Result<wsserver::HttpField, std::string> parse_request_field(const std::string& text) {
    const auto colon = text.find(':');
    if (colon == std::string::npos || colon == 0) {
        return wsserver::Unexpected{
            fmt::format("-H {}: write a field as 'NAME: VALUE'", wsserver::escape_control(text))};
    }
    auto value = text.substr(colon + 1);
    value.erase(0, value.find_first_not_of(" \t"));
    value.erase(value.find_last_not_of(" \t") + 1);
    return wsserver::HttpField{text.substr(0, colon), std::move(value)};
}

std::string take_host(std::vector<wsserver::HttpField>& fields, std::string host) {
    const auto is_host = [](const auto& field) { return ::strcasecmp(field.name.c_str(), "Host") == 0; };
    const auto found = std::find_if(fields.begin(), fields.end(), is_host);
    if (found == fields.end()) return host;
    host = std::move(found->value);
    fields.erase(found);
    return host;
}

}  // namespace wsd::ctl
