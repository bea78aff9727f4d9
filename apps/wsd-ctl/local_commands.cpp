#include "wsd-ctl/local_commands.hpp"

#include <algorithm>
#include <array>

#include "wsd-ctl/bench/options.hpp"
#include "wsd-ctl/completion.hpp"
#include "wsd-ctl/connect/connect_options.hpp"

namespace wsd::ctl {

namespace {

constexpr std::array<std::string_view, 8> flags_before_command{"--spool", "--json",    "--timeout", "--no-answer",
                                                               "--quiet", "--verbose", "--version", "--help"};

std::string spool_in_short() { return "  spool           the folder of the spool\n"; }

std::string spool_help() {
    return "usage: spool\n"
           "\n"
           "  Prints the folder of the spool that wsd-ctl uses, for scripts that write command files themselves. It "
           "need not\n"
           "  exist. --spool, WSD_SPOOL or the configuration name it; otherwise it is the spool of the user's own wsd "
           "if\n"
           "  one is running, or that of the system's wsd.\n"
           "\n"
           "options:\n"
           "  --json  answer with JSON: {\"spool\":\"/var/spool/wsd\"}\n"
           "\n"
           "example: WSD_SPOOL=$(wsd-ctl spool)\n";
}

}  // namespace

std::span<const std::string_view> own_flags() { return flags_before_command; }

std::span<const LocalCommand> local_commands() {
    static const std::array table{
        LocalCommand{"connect", connect_in_short, connect_help},
        LocalCommand{"bench", bench::help_in_short, bench::help},
        LocalCommand{"spool", spool_in_short, spool_help},
        LocalCommand{"completion", completion_in_short, completion_help, completion_shells()},
    };
    return table;
}

const LocalCommand* find_local_command(std::string_view name) {
    const auto table = local_commands();
    const auto found =
        std::find_if(table.begin(), table.end(), [name](const LocalCommand& command) { return command.name == name; });
    return found == table.end() ? nullptr : &*found;
}

std::string local_commands_in_short() {
    std::string text;
    for (const auto& command : local_commands()) text += command.in_short();
    return text;
}

}  // namespace wsd::ctl
