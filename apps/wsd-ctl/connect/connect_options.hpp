// The flags of `wsd-ctl connect`.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "wsserver/base/result.hpp"
#include "wsserver/handshake/http.hpp"

namespace wsd::ctl {

struct ConnectOptions {
    std::string url{};
    std::vector<wsserver::HttpField> fields{};
    std::vector<std::string> subprotocols{};
    std::string origin{};
    std::string host{};                ///< the Host field; empty: the URL's host
    std::vector<std::string> texts{};  ///< sent instead of standard input; `@FILE` is a file, `@@` a literal `@`
    bool binary = false;
    bool whole = false;               ///< all of standard input is one message
    std::optional<char> delimiter{};  ///< ends the messages of standard input; none: newline, or the end with `binary`
    bool slash = false;               ///< lines that begin with a slash are commands, even if no person types them
    std::optional<std::size_t> count{};                           ///< ends after this many messages
    std::optional<std::chrono::milliseconds> wait{};              ///< after the end of the input; none: forever
    std::chrono::milliseconds timeout{std::chrono::seconds{10}};  ///< to connect; max(): forever
    bool hex = false;                                             ///< messages are shown as hex dumps
    bool json = false;                                            ///< each event is a JSON object on standard output
    bool verbose = false;
    bool wants_help = false;
};

/// Reads the words after `connect`; they override `options`. An error says which flag is wrong and why.
wsserver::Result<ConnectOptions, std::string> parse_connect_options(const std::vector<std::string>& words,
                                                                    ConnectOptions options = {});

/// The output of `wsd-ctl help connect`.
std::string connect_help();

/// `  connect ...`: one line for the list of commands.
std::string connect_in_short();

}  // namespace wsd::ctl
