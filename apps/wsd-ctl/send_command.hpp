// A command on its way through the spool: written, renamed into new/, waited for.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "wsserver/base/result.hpp"

namespace wsd::ctl {

/// A name of its own: names sort by time.
std::string unique_command_file_name();

struct SpoolAnswer {
    std::string error{};  ///< the code; empty: done
    std::string text{};   ///< the output, or what was wrong
};

/// Why there is no answer.
struct NoAnswer {
    enum class Why : std::uint8_t {
        failed,       ///< the command could not be given
        timeout,      ///< nobody took it in time: it was taken back; or it is being executed and `text` says so
        ended,        ///< the daemon ended before it took the command: taken back, or left for the next one
        interrupted,  ///< a signal: taken back if that was possible
    };
    Why why = Why::failed;
    std::string text{};
    int signal = 0;
};

struct CommandFile {
    std::string spool;  ///< its folder
    std::string name;   ///< unique_command_file_name()
    std::string line;   ///< words
    std::string_view payload{};
    std::optional<std::chrono::milliseconds> timeout{};  ///< none: waits for ever
};

/// Gives the command and waits for its answer. While it waits, SIGINT, SIGTERM and SIGHUP take the command back, if it
/// still lies in new/.
wsserver::Result<SpoolAnswer, NoAnswer> send_command(const CommandFile& command);

}  // namespace wsd::ctl
