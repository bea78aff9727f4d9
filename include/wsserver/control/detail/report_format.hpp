// Connections, handlers and the status as text for people, and as JSON on one line for programs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "wsserver/connection/connection_info.hpp"
#include "wsserver/control/control_target.hpp"

namespace wsserver {

/// The name of the empty subprotocol in commands and tables.
inline constexpr std::string_view default_handler = "default";

std::string text_of(const ConnectionInfo& connection);
std::string json_of(const ConnectionInfo& connection);
std::string table_of(const std::vector<ConnectionInfo>& connections);

std::string json_of(const HandlerReport& handler);
std::string table_of(const std::vector<HandlerReport>& handlers);

std::string text_of(const StatusReport& status);
std::string json_of(const StatusReport& status);

}  // namespace wsserver
