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
/// what         `echo`, `broadcast`, `null`, or the path of a shared object, which has a slash or ends in `.so`
/// subprotocol  that the handler will serve; used in the error only
/// config, log  for a shared object; see load_handler()
/// returns      a handler with the name of the built-in one, or with the name that the shared object chooses
/// An error says what is wrong and suggests a similar name.
Result<std::shared_ptr<AnyHandler>, std::string> make_handler_of(std::string_view what, std::string_view subprotocol,
                                                                 std::string_view config = {}, HandlerLog log = {});

}  // namespace wsserver
