// The built-in handlers, and the names by which an operator chooses a handler. Any thread may call the functions. They
// throw std::bad_alloc only.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "wsserver/base/result.hpp"
#include "wsserver/connection/any_handler.hpp"
#include "wsserver/handler/shared_object.hpp"

namespace wsserver {

/// Sends each message back, text as text and binary as binary.
std::shared_ptr<AnyHandler> make_echo(std::string name = "echo");

/// A chat: sends each message to all other connections of the same subprotocol. A client whose messages arrive faster
/// than the others take them has to wait; see AnyConnection::publish().
std::shared_ptr<AnyHandler> make_broadcast(std::string name = "broadcast");

/// Ignores all messages.
std::shared_ptr<AnyHandler> make_null(std::string name = "null");

/// Makes the handler that an operator names.
///
/// what         `echo`, `broadcast`, `null`, the path of a shared object, which ends in `.so` or contains `.so.`, or
/// that
///              of a script, with a slash; see start_script()
/// subprotocol  that the handler will serve; used in the error only
/// config, log  for a shared object or a script; see load_handler()
/// returns      a handler with the name of the built-in one, that the shared object chooses, or of the script's file
/// An error says what is wrong and suggests a similar name.
Result<std::shared_ptr<AnyHandler>, std::string> make_handler_of(std::string_view what, std::string_view subprotocol,
                                                                 std::string_view config = {}, HandlerLog log = {});

/// Whether the path is that of a shared object, and not of a script.
bool is_shared_object(std::string_view path) noexcept;

}  // namespace wsserver
