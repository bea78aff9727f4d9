// A function for all connections of a handler.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <functional>
#include <memory>
#include <utility>

#include "wsserver/connection/any_handler.hpp"

namespace wsserver {

/// A function that is called with each open connection that a handler serves. Reactors share it. It does not own the
/// handler, whose end may be slow.
struct ServedCall {
    /// `f` is not empty.
    explicit ServedCall(const std::shared_ptr<const AnyHandler>& handler, std::function<void(AnyConnection&)> f)
        : handler_(handler.get()),
          alive_(handler),
          call(std::make_shared<const std::function<void(AnyConnection&)>>(std::move(f))) {}

    /// Whether the handler is this one.
    bool is_of(const AnyHandler& handler) const noexcept { return &handler == handler_ && !alive_.expired(); }

   private:
    const AnyHandler* handler_;
    std::weak_ptr<const AnyHandler> alive_;

   public:
    const std::shared_ptr<const std::function<void(AnyConnection&)>> call;  ///< the function
};

}  // namespace wsserver
