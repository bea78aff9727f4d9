// The handlers of paths, as a program sees them.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <memory>
#include <string>

namespace wsserver {

class AnyHandler;
class PathPattern;

/// A handler of a path: see ServerHandlers::handle_path().
struct Route {
    std::string pattern;                  ///< as it was first given to handle_path()
    std::string subprotocol;              ///< empty: the default handler of the path
    std::shared_ptr<AnyHandler> handler;  ///< serves it
};

/// A handler that new clients do not get any more.
struct RemovedHandler {
    std::shared_ptr<AnyHandler> handler;         ///< serves its open connections
    std::string subprotocol;                     ///< empty: it was a default handler
    std::shared_ptr<const PathPattern> route{};  ///< null: it served all paths that have no route
};

}  // namespace wsserver
