// Which connections `list` shows, and in which order.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wsserver/base/result.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/control/command.hpp"

namespace wsserver {

/// The options of `list`. Each condition that is set must hold.
struct ListQuery {
    std::optional<std::string> subprotocol{};  ///< empty: only connections without one
    std::optional<std::string> handler{};      ///< the name of the handler
    std::optional<std::string> peer{};         ///< an address without port, or all of ConnectionInfo::peer

    /// True if `a` is shown before `b`. Null: in order of id.
    bool (*before)(const ConnectionInfo& a, const ConnectionInfo& b) = nullptr;
    bool reverse = false;                                         ///< the last one first
    std::size_t limit = std::numeric_limits<std::size_t>::max();  ///< the most connections
};

/// Reads the options of a command line. An error says which one is wrong and what it may be.
Result<ListQuery, std::string> parse_list_query(const Invocation& line);

/// The connections of `all` that the query selects, without the limit. `all` is in order of id.
std::vector<ConnectionInfo> select_connections(std::vector<ConnectionInfo> all, const ListQuery& query);

/// The words that `--sort` takes, with commas between them.
std::string sort_keys_in_words();

}  // namespace wsserver
