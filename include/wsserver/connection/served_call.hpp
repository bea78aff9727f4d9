// A function for all connections of a handler.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <functional>
#include <memory>

#include "wsserver/connection/any_handler.hpp"

namespace wsserver {

/// A function that is called with each open connection that a handler serves. Reactors share it.
struct ServedCall {
    std::shared_ptr<const AnyHandler> handler;
    std::shared_ptr<const std::function<void(AnyConnection&)>> call;
};

}  // namespace wsserver
