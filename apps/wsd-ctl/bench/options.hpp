// The flags of `wsd-ctl bench`.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wsserver/base/result.hpp"
#include "wsserver/handshake/http.hpp"

namespace wsd::ctl::bench {

enum class Mode : std::uint8_t { echo, fan_out, idle, handshake };

/// The word for `--mode`.
std::string_view to_string(Mode mode) noexcept;

struct Options {
    std::string url{};
    Mode mode = Mode::echo;
    std::uint32_t connections = 64;
    std::size_t size = 125;        ///< bytes of a payload
    std::uint32_t in_flight = 1;   ///< unanswered messages of each connection, or of the publisher
    std::optional<double> rate{};  ///< messages a second of all connections together; none: a closed loop
    std::chrono::milliseconds duration{std::chrono::seconds{10}};
    std::chrono::milliseconds warm_up{std::chrono::seconds{1}};
    std::chrono::milliseconds timeout{std::chrono::seconds{10}};  ///< of an opening handshake; of the last answers
    bool binary = false;
    std::vector<wsserver::HttpField> fields{};
    std::vector<std::string> subprotocols{};
    std::string origin{};
    std::optional<int> server_pid{};
    bool json = false;
    bool quiet = false;
    bool wants_help = false;
};

/// Reads the words after `bench`; they override `options`. An error says which flag is wrong and why.
wsserver::Result<Options, std::string> parse_options(const std::vector<std::string>& words, Options options = {});

/// The output of `wsd-ctl help bench`.
std::string help();

/// `  bench ...`: one line for the list of commands.
std::string help_in_short();

}  // namespace wsd::ctl::bench
