// What a command carries: text from the command line, from standard input or from a file.
#pragma once

#include <string>

#include "wsserver/base/result.hpp"
#include "wsserver/control/command.hpp"

namespace wsd::ctl {

/// `-` reads `in` to its end, `@FILE` a file, to the last byte; other text is taken as it stands, and so is text
/// behind a `--`. An error says what can't be read.
/// Precondition: the line has a text.
wsserver::Result<std::string, std::string> payload_of(const wsserver::Invocation& line, int in);

}  // namespace wsd::ctl
