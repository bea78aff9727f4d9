// From a server's options to those of its connections.
#pragma once

#include "wsserver/connection/connection_options.hpp"
#include "wsserver/server.hpp"

namespace wsserver {

ConnectionOptions connection_options(const ServerOptions& options);

}  // namespace wsserver
