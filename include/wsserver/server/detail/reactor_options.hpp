// The options of a reactor, as derived from those of the server.
#pragma once

#include <cstddef>
#include <string>

#include "wsserver/connection/connection_options.hpp"
#include "wsserver/connection/handler_chooser.hpp"
#include "wsserver/connection/limits.hpp"
#include "wsserver/protocol/protocol.hpp"

namespace wsserver {

struct ServerOptions;

struct ReactorOptions {
    ConnectionOptions connection{};  ///< of its connections
    std::size_t memory_limit = 0;    ///< most bytes that the connections of all reactors may hold; 0: unlimited
    std::string server_name{};       ///< the Server field of responses; empty: no such field
    GroupLimits per_address{};       ///< of all clients of one address together
    GroupLimits per_user{};          ///< the same for a user
    std::size_t fragment_size = ProtocolOptions{}.fragment_size;  ///< see ProtocolOptions
};

ReactorOptions reactor_options(const ServerOptions& options);
ChooserRules chooser_rules(const ServerOptions& options);

}  // namespace wsserver
