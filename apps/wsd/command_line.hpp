// wsd's command line.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/config.hpp"
#include "wsserver/base/result.hpp"

namespace wsd {

struct CommandLine {
    enum class Wants : std::uint8_t {
        serve,
        check_config,
        print_config,
        version,
        help,
        try_handler,
        command,  ///< `wsd status`: do what wsd-ctl does with `command`
    };
    Wants wants = Wants::serve;
    std::string config_file{};  ///< `--config`
    std::string try_handler{};  ///< `--try-handler`: a path
    Given flags{};
    std::vector<std::string> command{};
};

/// Reads the words after the program's name. An error is one line: which flag is wrong, why, and which one was probably
/// meant.
wsserver::Result<CommandLine, std::string> parse_command_line(const std::vector<std::string>& words);

/// The output of `--help`.
std::string help_text(const Places& places);

}  // namespace wsd
