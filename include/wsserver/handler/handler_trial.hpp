// Tries a shared object in a process of its own. One that crashes or hangs is then an error text.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "wsserver/base/result.hpp"

namespace wsserver {

/// A program that loads a handler, starts and ends it, as load_handler() and the destructor do. It ends with 0, or with
/// another code and a reason as the last line of its standard error. `wsd --try-handler PATH` is one.
struct HandlerTrial {
    std::vector<std::string> command{};                            ///< the path of the program, and its arguments
    std::chrono::milliseconds deadline = std::chrono::seconds{5};  ///< after which it is killed
};

/// Runs the program and waits for its end, at most until the deadline. Call it before load_handler() with a file that
/// may be damaged. The handler's create() then runs twice, first in the other process.
///
/// config   is the standard input of the program
/// returns  an error that says what the program said, or by which signal it ended, or that it hung
///
/// Any thread. The program must not ignore SIGCHLD. Throws std::bad_alloc only.
Result<void, std::string> try_handler(const HandlerTrial& trial, std::string_view config = {});

}  // namespace wsserver
