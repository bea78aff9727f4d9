// The payload of a command: from the command line, from standard input or from a file.
#pragma once

#include <string>

#include "wsserver/base/result.hpp"
#include "wsserver/control/command.hpp"

namespace wsd::ctl {

/// `-` reads `in` to its end, `@FILE` reads a file; any other text, and any text after `--`, is the payload itself. An
/// error says what cannot be read. Precondition: the line has a text.
wsserver::Result<std::string, std::string> payload_of(const wsserver::Invocation& line, int in);

/// The content of a file; `-` reads `in` to its end. An error says what cannot be read.
wsserver::Result<std::string, std::string> read_payload(const std::string& path, int in);

}  // namespace wsd::ctl
