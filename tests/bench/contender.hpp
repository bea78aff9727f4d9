// A server in the comparison: its name in the table and how it is started.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "server_process.hpp"

namespace wsserver::bench {

struct WrongUsage : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Contender {
    std::string name;
    std::vector<std::string> command;     ///< `{port}` in a word stands for a free port
    std::optional<std::uint16_t> port{};  ///< where it listens; else where it says that it does, or on `{port}`
    bool websocket = true;                ///< else a raw server, which takes bytes without an opening handshake

    /// Throws std::runtime_error if it doesn't listen.
    ServerProcess start(std::optional<int> core) const;
};

enum class Serves { echo, fan_out };

/// One of those that are built with this program: `wsserver`, `raw-epoll`, `beast`, ... Throws WrongUsage if there is
/// no such that serves this, or it wasn't built.
Contender own_contender(std::string_view name, Serves what);

/// All of them that serve this and were built.
std::vector<Contender> own_contenders(Serves what);

/// `NAME=ARGUMENTS`: the library's server with these arguments.
Contender library_contender(std::string_view text, Serves what);

/// `NAME=COMMAND` or `NAME@PORT=COMMAND`: any command that becomes one process.
Contender foreign_contender(std::string_view text);

}  // namespace wsserver::bench
