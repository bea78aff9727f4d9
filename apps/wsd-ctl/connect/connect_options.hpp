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
    std::vector<std::string> texts{};  ///< sent instead of lines from standard input
    bool binary = false;
    std::optional<std::size_t> count{};                           ///< ends after this many messages
    std::optional<std::chrono::milliseconds> wait{};              ///< after the end of the input; none: forever
    std::chrono::milliseconds timeout{std::chrono::seconds{10}};  ///< to connect; max(): forever
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
