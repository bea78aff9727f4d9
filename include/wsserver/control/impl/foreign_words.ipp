#pragma once

#include "wsserver/control/detail/foreign_words.hpp"

#include <algorithm>
#include <array>

namespace wsserver {

namespace {

struct ForeignWords {
    std::string_view hint;
    std::array<std::string_view, 12> words;  ///< the rest is empty
};

constexpr std::array foreign_words{
    ForeignWords{"`list` shows all connections, and `status` what the server does",
                 {"top", "ls", "ps", "clients", "connections", "sessions", "users", "peers", "who", "netstat"}},
    ForeignWords{"`show ID` shows one connection, and `status` the server", {"info", "get", "inspect", "describe"}},
    ForeignWords{"`close ID` ends a connection, and `close --all` all of them",
                 {"kick", "kill", "disconnect", "drop", "ban", "terminate", "abort"}},
    ForeignWords{"`status` shows what the server does",
                 {"stats", "stat", "statistics", "metrics", "health", "uptime", "counters", "monitor"}},
    ForeignWords{"`send ID TEXT` sends to one connection, and `broadcast TEXT` to all",
                 {"say", "message", "msg", "write", "push", "publish", "pub", "notify", "emit", "echo", "wall"}},
    ForeignWords{"`stop` ends the server and closes all connections",
                 {"quit", "exit", "shutdown", "halt", "down", "end", "poweroff"}},
    ForeignWords{"`reload` reads the configuration again; a restart is `stop` and a new start",
                 {"restart", "rehash", "refresh", "hup"}},
    ForeignWords{"`drain` accepts no new connections, and `undrain` accepts them again",
                 {"pause", "resume", "accept", "maintenance"}},
    ForeignWords{"`wsd` starts a server", {"start", "run", "serve", "up"}},
    ForeignWords{"`handler list` shows all handlers, and `handler load` adds one",
                 {"handlers", "modules", "plugins", "load", "unload"}},
    ForeignWords{"`log-level LEVEL` sets how much is logged", {"loglevel", "log", "verbose", "debug", "verbosity"}},
    ForeignWords{"`help` lists all commands", {"?", "h", "man", "usage", "commands"}},
};

}  // namespace

std::string_view hint_for_foreign_word(std::string_view word) noexcept {
    if (word.empty()) return {};
    for (const auto& [hint, words] : foreign_words) {
        if (std::find(words.begin(), words.end(), word) != words.end()) return hint;
    }
    return {};
}

}  // namespace wsserver
