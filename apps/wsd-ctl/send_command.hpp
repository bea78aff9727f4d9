// Sends a command through the spool: writes the file, renames it into new/ and waits for the answer.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "wsserver/base/result.hpp"

namespace wsd::ctl {

/// A unique name. Names sort by time.
std::string unique_command_file_name();

/// The content of an answer file.
struct SpoolAnswer {
    std::string error{};  ///< the code, as to_string(CommandErrc) writes it; empty: success
    std::string text{};   ///< the output, or what is wrong
    bool again = false;   ///< a wsd that ended had begun the command, and a new one has executed it again
};

/// Why there is no answer.
struct NoAnswer {
    enum class Why : std::uint8_t {
        failed,       ///< the command could not be written
        timeout,      ///< no answer in time
        ended,        ///< the daemon has ended
        interrupted,  ///< by a signal
    };
    Why why = Why::failed;
    std::string text{};  ///< whether the command was withdrawn, or is still going to be executed
    int signal = 0;      ///< with interrupted
};

/// A command file to be written.
struct CommandFile {
    std::string spool;  ///< path of the folder
    std::string name;   ///< unique_command_file_name()
    std::string line;   ///< the command line
    std::string_view payload{};
    std::optional<std::chrono::milliseconds> timeout{};  ///< none: forever
    bool wants_answer = true;
};

/// Sends the command and waits for its answer, if one is wanted; otherwise the answer is empty. After a timeout, or on
/// SIGINT, SIGTERM or SIGHUP, withdraws the command if it is still in new/.
wsserver::Result<SpoolAnswer, NoAnswer> send_command(const CommandFile& command);

}  // namespace wsd::ctl
