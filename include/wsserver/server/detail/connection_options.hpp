// Derives the options of a server's connections from the server's options.
#pragma once

#include "wsserver/connection/connection_options.hpp"
#include "wsserver/server.hpp"

namespace wsserver {

ConnectionOptions connection_options(const ServerOptions& options);

}  // namespace wsserver
