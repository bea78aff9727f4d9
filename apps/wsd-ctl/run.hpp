// Executes the words of `wsd-ctl` and `wsd`, after flags have been read.
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
    bool no_answer = false;  ///< do not wait for the answer
    bool quiet = false;
    bool verbose = false;
    std::optional<std::chrono::milliseconds> timeout{std::chrono::seconds{10}};  ///< none: forever
};

/// Executes `words`: sends a command to the daemon and prints its answer, shows help, or connects as a client.
/// Returns the exit code. Precondition: `words` is not empty.
int run_words(const Options& options, std::vector<std::string> words, const Terminal& terminal);

/// The terminal, with errors as JSON if `words` have `--json` before any `--`.
Terminal with_json_if_wanted(const Terminal& terminal, const std::vector<std::string>& words);

/// All of wsd-ctl: flags and words, without the program's name. Returns the exit code.
int run_command_line(const std::vector<std::string>& arguments, const Terminal& terminal);

}  // namespace wsd::ctl
