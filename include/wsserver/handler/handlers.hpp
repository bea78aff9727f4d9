// The handlers that are always there, and the words that name a handler for an operator.
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

/// A chat: each message goes to all others of the same subprotocol.
std::shared_ptr<AnyHandler> make_broadcast(std::string name = "broadcast");

/// Takes every message and does nothing with it.
std::shared_ptr<AnyHandler> make_null(std::string name = "null");

/// The handler that an operator means by `what`: `echo`, `broadcast`, `null`, or the path of a shared object (a word
/// with a slash in it, or one that ends in `.so`), which is loaded and gets `config` and `log`. Its name is the
/// built-in's, or the one that the shared object gives itself. `subprotocol`, what it shall serve, stands in the error,
/// which says what is wrong and what could have been meant.
Result<std::shared_ptr<AnyHandler>, std::string> make_handler_of(std::string_view what, std::string_view subprotocol,
                                                                 std::string_view config = {}, HandlerLog log = {});

}  // namespace wsserver
