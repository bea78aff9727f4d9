// `wsd-ctl completion SHELL`: scripts by which a shell completes the words of wsd-ctl.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace wsd::ctl {

/// `bash`, `zsh` and `fish`.
std::span<const std::string_view> completion_shells();

/// The script, from the tables of commands and flags. Nothing if the shell is not known.
std::optional<std::string> completion_script(std::string_view shell);

/// The output of `wsd-ctl help completion`.
std::string completion_help();

/// `  completion ...`: one line for the list of commands.
std::string completion_in_short();

}  // namespace wsd::ctl
