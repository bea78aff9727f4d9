// What the raw servers have in common.
#pragma once

namespace wsserver::bench {

/// A listening socket on a free port of 127.0.0.1, which it announces as `listening on tcp://127.0.0.1:PORT`. What it
/// accepts has TCP_NODELAY. Ends the process if that fails.
int listen_on_loopback(int socket_flags);

/// What a raw server does with what it receives. `--broadcast` asks for the second.
enum class Sends { back, to_all };

/// Ends the process if the words say anything else.
Sends parse_words(int count, char** words);

[[noreturn]] void fail(const char* what);

}  // namespace wsserver::bench
