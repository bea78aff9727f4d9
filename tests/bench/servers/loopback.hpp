// The common parts of the raw servers.
#pragma once

namespace wsserver::bench {

/// Listens on a free port of 127.0.0.1 and prints `listening on tcp://127.0.0.1:PORT`. Accepted sockets have
/// TCP_NODELAY. Ends the process on failure.
int listen_on_loopback(int socket_flags);

/// Where a raw server sends what it receives. `--broadcast` selects `to_all`.
enum class Sends { back, to_all };

/// Parses the arguments. Ends the process if they are wrong.
Sends parse_words(int count, char** words);

/// Prints errno and ends the process.
[[noreturn]] void fail(const char* what);

}  // namespace wsserver::bench
