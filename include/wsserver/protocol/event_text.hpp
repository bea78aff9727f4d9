// Events in one line each, for logs and tests.
#pragma once

#include <string>

#include "wsserver/protocol/protocol.hpp"

namespace wsserver {

/// `text Hello`, `binary 01 ff`, `ping hi`, `close 1000 bye`, `failed the opcode is reserved`. The payload of a binary
/// message, a ping or a pong is written as text if it is printable ASCII, else as hexadecimal bytes. An empty payload
/// or reason adds nothing: `pong`, `close 1005`.
std::string to_string(const Event& event);

}  // namespace wsserver
