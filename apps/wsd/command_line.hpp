// What stands behind `wsd` on the command line.
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
        command,  ///< `wsd status`: what wsd-ctl would do with `command`
    };
    Wants wants = Wants::serve;
    std::string config_file{};  ///< `--config`
    Given flags{};
    std::vector<std::string> command{};
};

/// Reads the words behind the program's name. An error is one line that says which flag is wrong, why, and which
/// was probably meant.
wsserver::Result<CommandLine, std::string> parse_command_line(const std::vector<std::string>& words);

/// What `--help` prints.
std::string help_text(const Places& places);

}  // namespace wsd
