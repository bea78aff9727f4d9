// The content of command files with any bytes. Each is answered in the form that docs/spool-format.md describes, and a
// parsed command is written and parsed again with the same result.
#include <algorithm>
#include <string>
#include <vector>

#include "fuzz_input.hpp"
#include "support/fake_target.hpp"
#include "wsserver/base/shell_words.hpp"
#include "wsserver/base/utf8.hpp"
#include "wsserver/control/command.hpp"

using namespace wsserver;
using fuzz::require;

namespace {

/// The words of all commands and options, and what else a line may have.
std::vector<std::string_view> words_of_lines() {
    std::vector<std::string_view> words{" ",  "\n", "\t",    "'",     "\"",   "\\", "--json", "--no-answer",  "-- ",
                                        "--", "=",  "0-1-1", "1-2-3", "1000", "hi", "\r\n",   "\xef\xbb\xbf", "\xff"};
    for (const Command& command : commands()) {
        words.push_back(command.name);
        for (const auto& option : command.options) words.push_back(option.name);
    }
    return words;
}

bool is_code(std::string_view word) {
    for (auto code = CommandErrc::usage; code <= CommandErrc::crashed;
         code = static_cast<CommandErrc>(static_cast<std::uint8_t>(code) + 1)) {
        if (word == to_string(code)) return true;
    }
    return false;
}

void check_answer(const Answer& answer) {
    const auto text = to_text(answer);
    if (!answer.error) return require(text.starts_with("ok\n"), "an answer begins with ok or error");
    require(text.starts_with("error ") && text.find('\n') == text.size() - 1, "an error is one line");
    require(is_valid_utf8(bytes_of(text)), "an error is UTF-8");
    require(is_code(text.substr(6, text.find(' ', 6) - 6)), "an error has a known code");
}

/// What wsd-ctl does with a command: it parses the words, and sends a line that wsd parses.
void check_words(const std::vector<std::string>& words) {
    const auto parsed = parse_command(words);
    if (!parsed) return require(parsed.error().error == CommandErrc::usage, "a line that is not a command is refused");
    require(parsed->command->name == name_of_command(join_words(parsed->words_without_text())),
            "a log shows the name of a command that wsd-ctl sends");
    const auto again = parse_command(parsed->words_without_text());
    require(again && again->command == parsed->command, "a command is sent as itself");
    require(again->options == parsed->options && again->arguments == parsed->arguments,
            "a command keeps its arguments");
    if (parsed->command->rest == Command::Rest::words)
        require(again->rest == parsed->rest, "a command keeps its words");
}

void check_file(std::string_view content) {
    test::FakeTarget target;
    const Command* asked = nullptr;
    const auto refused = execute_command_file(target, content, {}, [&](const Command& command) {
        asked = &command;
        return Answer::failed(CommandErrc::forbidden, "not this one");
    });
    check_answer(refused);
    require(refused.error && (asked != nullptr) == (refused.error == CommandErrc::forbidden), "a rule is obeyed");
    require(target.calls.all().empty() && target.fake_hub->calls.all().empty(), "a refused command does nothing");

    const auto answer = execute_command_file(target, content);
    check_answer(answer);
    require(asked != nullptr || answer.error == CommandErrc::usage, "what is not a command is refused");
    const auto line = content.substr(0, content.find('\n'));
    const auto words = split_words(line);
    if (words) check_words(*words);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const auto pieces = words_of_lines();
    fuzz::FuzzInput input{{data, size}};
    const auto text = fuzz::text_from(input, pieces);
    const fuzz::ExactCopy copy{bytes_of(text)};
    check_file(text_of(copy.bytes()));
    return 0;
}
