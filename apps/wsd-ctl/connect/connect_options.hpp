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
    std::vector<std::string> texts{};  ///< to be sent instead of lines from standard input
    bool binary = false;
    std::optional<std::size_t> count{};                           ///< ends when so many messages have come
    std::optional<std::chrono::milliseconds> wait{};              ///< after the end of input; none: for ever
    std::chrono::milliseconds timeout{std::chrono::seconds{10}};  ///< to connect; max(): for ever
    bool verbose = false;
    bool wants_help = false;
};

/// Reads the words behind `connect`, over what is said in `options`. An error says which flag is wrong and why.
wsserver::Result<ConnectOptions, std::string> parse_connect_options(const std::vector<std::string>& words,
                                                                    ConnectOptions options = {});

/// What `wsd-ctl help connect` says.
std::string connect_help();

/// `  connect URL ...` for the list of words.
std::string connect_in_short();

}  // namespace wsd::ctl
