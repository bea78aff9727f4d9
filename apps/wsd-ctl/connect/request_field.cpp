#include "wsd-ctl/connect/request_field.hpp"

#include <fmt/format.h>

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

}  // namespace wsd::ctl
