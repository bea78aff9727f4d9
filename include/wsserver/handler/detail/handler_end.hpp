// Ends handlers whose end may be slow on threads of their own.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "wsserver/handler/shared_object.hpp"

namespace wsserver {

/// Calls `end`, which must not throw, on a thread of its own. Waits for it, at most for handler_end_deadline; then the
/// log says so. Does not wait if code of a handler may be on this thread's stack, or while there are HandlersEndLater.
void end_on_own_thread(const std::string& name, const HandlerLog& log, std::function<void()> end) noexcept;

/// Owns a handler whose last owner ends it in this way. It has a name() and a log_to().
template <class H>
std::shared_ptr<H> own_until_its_end(std::unique_ptr<H> handler) {
    const auto end = [](H* ended) {
        end_on_own_thread(std::string{ended->name()}, ended->log_to(), [ended] { delete ended; });
    };
    return std::shared_ptr<H>{handler.release(), end};
}

}  // namespace wsserver
