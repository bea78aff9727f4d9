// Events in one line each, for logs and tests.
#pragma once

#include <string>

#include "wsserver/protocol/protocol.hpp"

namespace wsserver {

/// `text Helo`, `binary 01 ff`, `ping hi`, `close 1000 bye`, `failed the opcode is reserved`. The payload of a binary
/// message, a ping or a pong is written as text if it is printable ASCII, else as hexadecimal bytes. An empty payload
/// or reason adds nothing: `pong`, `close 1005`. A piece of a message is `part first Hel`, `part lo`, `part last`, or
/// `part first and last Helo`; that of a text may not be UTF-8.
std::string to_string(const Event& event);

}  // namespace wsserver
