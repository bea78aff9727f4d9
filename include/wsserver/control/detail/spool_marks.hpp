// The names of files in cur/. A command's name there says how far it is, so that each step is one rename.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace wsserver {

/// How far a command in cur/ is, in this order.
enum class SpoolMark : std::uint8_t {
    taken,   ///< NAME: from new/, not begun
    first,   ///< NAME~1: begun
    second,  ///< NAME~2: begun again, after the process ended during the first try
    done,    ///< NAME~done: executed, but its answer could not be written
};

/// The name of a command's file in cur/.
std::string marked_name(const std::string& name, SpoolMark mark);
/// The file for the answer, with its space, before the answer is complete.
std::string reserved_name(const std::string& name);
/// The complete answer, before it is moved to its folder. The command has been executed, whatever its mark is, and
/// its file is removed before the answer is moved.
std::string answer_name(const std::string& name);
/// The name of a rejected file in failed/, next to the reason. Not a name that a command file can have.
std::string refused_name(const std::string& name);

/// What cur/ has of one command.
struct SpoolTraces {
    std::optional<SpoolMark> mark{};  ///< of the command's file; not set: there is none
    bool answer = false;              ///< there is a complete answer
    bool reserved = false;            ///< there is a file for an answer that is not complete
};

/// By name of the command, in order.
using SpoolTraceMap = std::map<std::string, SpoolTraces>;

/// Adds one file in cur/ to `traces`. A file with any other name is one of a command of that name, so that it is
/// rejected.
void add_trace(SpoolTraceMap& traces, std::string_view file);

}  // namespace wsserver
