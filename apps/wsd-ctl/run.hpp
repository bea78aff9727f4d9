// The words of `wsd-ctl` and of `wsd`, once flags are out of the way.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "wsd-ctl/terminal.hpp"

namespace wsd::ctl {

struct Options {
    std::string spool{};  ///< empty: find_spool()
    bool json = false;
    bool quiet = false;
    bool verbose = false;
    std::optional<std::chrono::milliseconds> timeout{std::chrono::seconds{10}};  ///< none: waits for ever
};

/// Does what `words` say: gives a command to the daemon and prints its answer, shows help, or connects as a client.
/// Returns the exit code. Precondition: there is a word.
int run_words(const Options& options, std::vector<std::string> words, const Terminal& terminal);

/// The whole of wsd-ctl: flags and words, without the program's name.
int run_command_line(const std::vector<std::string>& arguments, const Terminal& terminal);

}  // namespace wsd::ctl
