// The commands that operators, scripts and command files share: one table has the name, the arguments, the function and
// the help of each.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/control/control_target.hpp"

namespace wsserver {

/// Why a command failed. Answers contain the word that to_string() returns.
enum class CommandErrc : std::uint8_t {
    usage,          ///< an unknown word, or an argument that is missing or wrong
    not_yet,        ///< known, but not implemented
    gone,           ///< no open connection has that id
    dropped,        ///< the connection's send queue is full and its policy dropped the message
    refused,        ///< RFC 6455 or the program forbids it
    bad_utf8,       ///< a text message must be UTF-8
    no_handler,     ///< nothing serves that subprotocol
    failed,         ///< it was tried and did not work
    busy,           ///< too many calls of handlers have not returned
    timeout,        ///< no answer in time; whether the command took effect is not known
    bad_name,       ///< the name of a command file has characters that are not allowed
    bad_file,       ///< a link, a folder, a device, or a file with several names
    foreign_owner,  ///< the command file belongs to a user who may not give commands
    too_big,        ///< the command file is over the spool's limit
    unreadable,     ///< the command file cannot be read by the user of the daemon
    forbidden,      ///< the command file's owner may not give this command
    stopping,       ///< the daemon stops and no longer waits for the result
    crashed,        ///< the daemon ended while it executed the command; whether it took effect is not known
};

/// `usage`, `not-yet`, `gone`, ...
std::string_view to_string(CommandErrc code) noexcept;

/// The exit status of a program that prints an answer with that code: 2 for usage, 7 for timeout, otherwise 1. Unknown
/// codes are allowed, since they may come from a newer version.
int exit_status_of(std::string_view code) noexcept;

/// The result of a command.
struct Answer {
    std::optional<CommandErrc> error{};  ///< not set: the command succeeded
    std::string text{};                  ///< the output; with an error: what is wrong, where, and what to do
    bool wanted = true;                  ///< false: the command has the option `--no-answer`
    bool logged = false;                 ///< the target has logged why it failed (ControlTarget::logs_failures())
    bool again = false;  ///< a daemon that ended had begun the command, so it may have taken effect twice

    /// Success with that output, which may have several lines.
    static Answer done(std::string output = {}) { return {.error = std::nullopt, .text = std::move(output)}; }
    /// An error. `text` says what is wrong, where, and what to do.
    static Answer failed(CommandErrc code, std::string text) { return {.error = code, .text = std::move(text)}; }
};

/// `error CODE TEXT` and a newline. `text` is escaped, so the result is always one line.
std::string error_line(CommandErrc code, std::string_view text);

/// The content of an answer file: `ok`, a newline and the output, or error_line(). With `again`, `ok again` and
/// `error CODE again: TEXT`.
std::string to_text(const Answer& answer);

/// An option of a command.
struct CommandOption {
    std::string_view name;     ///< `--code`
    std::string_view value{};  ///< the name of its value in the help, such as `N`; empty: the option takes no value
    std::string_view help{};   ///< one line for `help WORD`
};

struct Command;

/// A parsed command line.
struct Invocation {
    const Command* command = nullptr;                           ///< an element of commands()
    std::map<std::string, std::string, std::less<>> options{};  ///< by name; empty for an option without a value
    std::vector<std::string> arguments{};  ///< in order, as many as the command has; none with `instead_of_argument`
    std::vector<std::string> rest{};       ///< the words of the text, or the words for a handler
    bool literal = false;                  ///< the text came after `--`

    /// Whether the option was given. `option` is its name with the dashes.
    bool has(std::string_view option) const { return options.find(option) != options.end(); }
    /// The option's value, or nothing if it was not given. Valid as long as this object.
    std::optional<std::string_view> value(std::string_view option) const;
    /// Whether `--json` was given: the output must be one line of JSON.
    bool json() const { return has("--json"); }
    /// The words of `rest`, joined with single blanks.
    std::string text() const;
    /// The words of the command line without its text, for a command whose text follows as a payload.
    std::vector<std::string> words_without_text() const;
};

/// What the function of a command receives. References and views are valid during the call only.
struct CommandCall {
    ControlTarget& target;   ///< what the command acts on
    const Invocation& line;  ///< the parsed command line
    Bytes payload{};         ///< the text of the line, or the bytes after the line
    std::stop_token stop{};  ///< a command that waits must give up when this is requested
};

/// One row of the table of commands.
struct Command {
    /// What may follow the arguments.
    enum class Rest : std::uint8_t {
        none,   ///< nothing
        text,   ///< the payload as one or more words; without them it must follow the line
        words,  ///< any words, including options: they are for the handler
    };

    std::string_view name;                      ///< one word or two: `handler load`
    std::vector<std::string_view> arguments{};  ///< their names in the help, such as `ID`; all are required
    Rest rest = Rest::none;                     ///< what follows the arguments
    std::vector<CommandOption> options{};       ///< without `--json` and `--no-answer`, which every command has
    /// An option that replaces the argument: `--all`.
    std::string_view instead_of_argument{};
    std::string_view summary{};  ///< one line for the list of commands
    std::string_view details{};  ///< lines of explanation and examples for `help WORD`
    /// Whether a new daemon may execute it again if the previous one ended during it. Not if it ends or changes the
    /// daemon, or loads code: the new one is another, and perhaps the command has ended the old one.
    bool repeatable = true;
    /// Whether the group of a spool may give it, by default. Not if it ends or changes the daemon or loads code, which
    /// a hole in a web page must not be able to do.
    bool for_group = true;
    bool only_reports = false;  ///< it changes nothing and sends nothing, so a log need not show it
    /// Executes the command. Not null in commands(). May throw; see execute_line().
    Answer (*run)(const CommandCall& call) = nullptr;

    /// `close ID|--all [--code N] [--reason R]`
    std::string usage() const;
};

/// All commands, in the order in which help lists them. From any thread; valid until the program ends.
std::span<const Command> commands();

/// The options that every command has: `--json` and `--no-answer`. As commands().
std::span<const CommandOption> common_command_options();

/// The names of the commands that the group of a spool may give by default.
std::vector<std::string> commands_for_group();

/// Finds the command that `words` name and assigns its options and arguments.
///
/// returns  Invocation  ready to be executed
///          Answer      CommandErrc::usage; names the word at fault and the closest one that exists
Result<Invocation, Answer> parse_command(std::span<const std::string> words);

/// The output of `help WORDS`; without words a list of all commands. CommandErrc::usage if there is no such command.
Answer help_on(std::span<const std::string> words);

/// Decides whether a command may be executed; an answer refuses it. It sees the command as it was parsed, so quoting
/// hides nothing from it.
using CommandRule = std::function<std::optional<Answer>(const Command&)>;

/// Executes one command line.
///
/// line     at most 64 KiB, without a newline; quoting as for split_words()
/// payload  the bytes after the line; empty: the text in the line is the payload, if the command takes one
/// stop     ends waiting for reactors and handlers early; the answer is then CommandErrc::stopping
/// rule     asked first if it is set
///
/// May block for about 5 s if a handler blocks. Exceptions of `target` become CommandErrc::failed.
Answer execute_line(ControlTarget& target, std::string_view line, Bytes payload = {}, std::stop_token stop = {},
                    const CommandRule& rule = {});

/// Executes the content of a command file: a line, a newline, and the payload up to the last byte. As execute_line().
Answer execute_command_file(ControlTarget& target, std::string_view content, std::stop_token stop = {},
                            const CommandRule& rule = {});

/// The command at the beginning of `content`, or null if there is no such command. An element of commands().
const Command* command_at(std::string_view content);

/// The name of that command, without arguments and payload, so that a log may show it. `?` if there is no such command.
std::string_view name_of_command(std::string_view content);

}  // namespace wsserver
