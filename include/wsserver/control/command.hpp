// The words that an operator, a script and a file in the spool share: one table says what each command is called,
// what it takes, what it does and how that is explained.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstdint>
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

/// Why a command was not done. In an answer it is written as to_string() gives it.
enum class CommandErrc : std::uint8_t {
    usage,          ///< a word that doesn't exist, an argument that is missing or makes no sense
    not_yet,        ///< known, not built
    gone,           ///< no connection has that id, or no longer
    dropped,        ///< the connection's send queue is full and its policy dropped the message
    refused,        ///< RFC 6455 forbids it, or the program does
    bad_utf8,       ///< a text message must be UTF-8
    no_handler,     ///< nothing serves that subprotocol
    failed,         ///< it was tried
    busy,           ///< too many calls hang already
    timeout,        ///< no answer in time; whether it was done is not known
    bad_name,       ///< of a file in the spool: name outside the alphabet
    bad_file,       ///< a link, a folder, a device, a file with several names
    foreign_owner,  ///< of somebody who may not give commands
    too_big,        ///< over the spool's limit
    unreadable,     ///< the spool's owner may not read it
};

/// `usage`, `not-yet`, `gone`, ...
std::string_view to_string(CommandErrc code) noexcept;

/// What a shell is told about an answer with that code: 2 usage, 7 timeout, else 1. For codes of a newer version too.
int exit_status_of(std::string_view code) noexcept;

/// What became of a command.
struct Answer {
    std::optional<CommandErrc> error{};  ///< none: it was done
    std::string text{};                  ///< the output; with an error what is wrong, where, and what to do

    static Answer done(std::string output = {}) { return {std::nullopt, std::move(output)}; }
    static Answer failed(CommandErrc code, std::string text) { return {code, std::move(text)}; }
};

/// `error CODE TEXT` and a newline, on one line whatever the text holds.
std::string error_line(CommandErrc code, std::string_view text);

/// As written into the spool: `ok`, newline, output; or error_line().
std::string to_text(const Answer& answer);

struct CommandOption {
    std::string_view name;     ///< `--code`
    std::string_view value{};  ///< `N` for the help; empty: a switch
    std::string_view help{};
};

struct Command;

/// A command line taken apart. `command` points into the table.
struct Invocation {
    const Command* command = nullptr;
    std::map<std::string, std::string, std::less<>> options{};  ///< a switch has an empty value
    std::vector<std::string> arguments{};
    std::vector<std::string> rest{};  ///< words of the text, or words that belong to a handler
    bool literal = false;             ///< `--` came before the text

    bool has(std::string_view option) const { return options.find(option) != options.end(); }
    /// The option's value; nothing if it wasn't given.
    std::optional<std::string_view> value(std::string_view option) const;
    bool json() const { return has("--json"); }
    /// `rest` as text, with one blank between words.
    std::string text() const;
    /// The command line without its text, to be followed by a payload.
    std::vector<std::string> words_without_text() const;
};

/// A command about to be executed.
struct CommandCall {
    ControlTarget& target;
    const Invocation& line;
    Bytes payload{};         ///< the text of the line, or what followed the line
    std::stop_token stop{};  ///< who waits gives up when it is asked to
};

struct Command {
    /// What may follow the arguments.
    enum class Rest : std::uint8_t {
        none,
        text,   ///< the payload, one word or many; or else it comes behind the line
        words,  ///< anything, options too: it belongs to the handler
    };

    std::string_view name;  ///< one word or two: `handler load`
    std::vector<std::string_view> arguments{};
    Rest rest = Rest::none;
    std::vector<CommandOption> options{};  ///< besides `--json`, which all have
    /// An option that stands in for the argument: `--all`.
    std::string_view instead_of_argument{};
    std::string_view summary{};
    std::string_view details{};  ///< lines of explanation and examples for `help WORD`
    Answer (*run)(const CommandCall& call) = nullptr;

    /// `close ID|--all [--code N] [--reason R]`
    std::string usage() const;
};

/// All of them, in the order in which help shows them.
std::span<const Command> commands();

/// Finds the command and sorts its words. An error is the answer to be given: it names the word at fault, and the
/// nearest right one.
Result<Invocation, Answer> parse_command(std::span<const std::string> words);

/// What `help WORDS` says; without words a list of all commands. An error if there is no such command.
Answer help_on(std::span<const std::string> words);

/// Executes one line. `payload`: what came behind it; empty: the text in the line, if it has one, is the payload.
Answer execute_line(ControlTarget& target, std::string_view line, Bytes payload = {}, std::stop_token stop = {});

/// Executes a command as files in the spool hold it: a line, a newline, and the payload to the last byte.
Answer execute_command_file(ControlTarget& target, std::string_view command, std::stop_token stop = {});

/// The command's words at the beginning of `command`, without arguments and payload: what a log may show of it.
std::string name_of_command(std::string_view command);

}  // namespace wsserver
