// The arguments of the benchmark.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "contender.hpp"

namespace wsserver::bench {

struct Options {
    std::string mode = "echo";          ///< or fan-out, memory, handshake, fairness
    std::vector<Contender> contenders;  ///< in the order of the table
    std::string base;                   ///< the contender that ratios refer to
    std::vector<std::size_t> connections, in_flight, sizes;
    std::vector<std::size_t> neighbours{1};  ///< connections that disturb the quiet ones
    std::size_t bystanders = 0;              ///< connections in another room
    bool text = true, json = false;
    std::string cores;
    std::size_t rounds = 5;
    std::chrono::milliseconds window{1000}, warm_up{300};
    std::string target = "/";

    std::optional<int> server_core() const;
    std::optional<int> load_core() const;
};

/// Parses the arguments. Throws WrongUsage. With `--help` it prints the usage and ends the program.
Options parse_options(const std::vector<std::string>& arguments);

}  // namespace wsserver::bench
