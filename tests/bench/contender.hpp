// A server in the comparison: its name in the table and the command that starts it.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "server_process.hpp"

namespace wsserver::bench {

/// An error in the arguments of the benchmark.
struct WrongUsage : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Contender {
    std::string name;
    std::vector<std::string> command;     ///< `{port}` in a word is replaced by a free port
    std::optional<std::uint16_t> port{};  ///< the port it listens on; otherwise `{port}`, or the port that it prints
    bool websocket = true;                ///< false: a raw server, which takes bytes without an opening handshake

    /// Starts the server, on `core` if there is one. Throws std::runtime_error if it does not listen.
    ServerProcess start(std::optional<int> core) const;
};

/// What the server has to do: echo, send each message to all, or answer plain HTTP requests.
enum class Serves { echo, fan_out, http };

/// One of the servers that are built with this program: `wsserver`, `raw-epoll`, `beast`, ... Throws WrongUsage if the
/// name is unknown, the server cannot serve this, or it was not built.
Contender own_contender(std::string_view name, Serves what);

/// All of these servers that can serve this and were built.
std::vector<Contender> own_contenders(Serves what);

/// Parses `NAME=ARGUMENTS`: the library's server with these arguments.
Contender library_contender(std::string_view text, Serves what);

/// Parses `NAME=COMMAND` or `NAME@PORT=COMMAND`: a command that runs as one process.
Contender foreign_contender(std::string_view text);

}  // namespace wsserver::bench
