// The commands of wsd-ctl that need no wsd.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace wsd::ctl {

struct LocalCommand {
    std::string_view name;
    std::string (*in_short)();                      ///< a line for the list of commands; 18 columns before the summary
    std::string (*help)();                          ///< the output of `help NAME`, which has all of its flags
    std::span<const std::string_view> arguments{};  ///< the words that may follow, if they are known
};

std::span<const LocalCommand> local_commands();

/// Null if there is none.
const LocalCommand* find_local_command(std::string_view name);

/// A line for each of them, for the list of commands.
std::string local_commands_in_short();

/// wsd-ctl's own flags, which come before the command.
std::span<const std::string_view> own_flags();

}  // namespace wsd::ctl
