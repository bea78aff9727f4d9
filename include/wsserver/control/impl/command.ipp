#pragma once

#include "wsserver/control/command.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <exception>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/base/utf8.hpp"
#include "wsserver/control/detail/foreign_words.hpp"
#include "wsserver/control/text_format.hpp"

namespace wsserver {

namespace {

constexpr std::array<std::pair<CommandErrc, std::string_view>, 18> code_names{{
    {CommandErrc::usage, "usage"},
    {CommandErrc::not_yet, "not-yet"},
    {CommandErrc::gone, "gone"},
    {CommandErrc::dropped, "dropped"},
    {CommandErrc::refused, "refused"},
    {CommandErrc::bad_utf8, "bad-utf8"},
    {CommandErrc::no_handler, "no-handler"},
    {CommandErrc::failed, "failed"},
    {CommandErrc::busy, "busy"},
    {CommandErrc::timeout, "timeout"},
    {CommandErrc::bad_name, "bad-name"},
    {CommandErrc::bad_file, "bad-file"},
    {CommandErrc::foreign_owner, "foreign-owner"},
    {CommandErrc::too_big, "too-big"},
    {CommandErrc::unreadable, "unreadable"},
    {CommandErrc::forbidden, "forbidden"},
    {CommandErrc::stopping, "stopping"},
    {CommandErrc::crashed, "crashed"},
}};

/// A line holds words; a long text follows it. So a file of 64 MiB without a newline is not split into words.
constexpr std::size_t max_line = 64 * 1024;

constexpr CommandOption json_option{"--json", "", "answer with JSON, one object a line"};
constexpr CommandOption no_answer_option{"--no-answer", "", "write no answer, not even an error"};

/// Options of every command. They may also be before its name.
constexpr std::array<CommandOption, 2> common_options{json_option, no_answer_option};

const CommandOption* find_common_option(std::string_view name) {
    const auto* const found = std::find_if(common_options.begin(), common_options.end(),
                                           [name](const CommandOption& option) { return option.name == name; });
    return found == common_options.end() ? nullptr : found;
}

Unexpected<Answer> usage_error(std::string text) {
    return Unexpected{Answer::failed(CommandErrc::usage, std::move(text))};
}

/// Editors and PowerShell write this mark before UTF-8. It cannot be seen, so an error about it would not help.
std::string_view without_byte_order_mark(std::string_view text) {
    return text.starts_with("\xEF\xBB\xBF") ? text.substr(3) : text;
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates) {
    const auto nearest = closest_match(word, candidates);
    return nearest.empty() ? "" : fmt::format(" (did you mean `{}`?)", nearest);
}

std::string_view first_word(std::string_view name) { return name.substr(0, name.find(' ')); }
std::string_view second_word(std::string_view name) {
    const auto blank = name.find(' ');
    return blank == std::string_view::npos ? std::string_view{} : name.substr(blank + 1);
}

Unexpected<Answer> unknown_command(std::string_view word, std::span<const std::string_view> candidates) {
    const auto hint = hint_for_foreign_word(word);
    if (!hint.empty()) return usage_error(fmt::format("there is no command {}: {}", quoted_word(word), hint));
    return usage_error(fmt::format("there is no command {}{}: `help` lists all commands", quoted_word(word),
                                   did_you_mean(word, candidates)));
}

/// Whether "did you mean" may name the command. Not if it ends or changes the daemon: a user in a hurry may follow a
/// wrong guess.
bool may_be_guessed(const Command& command) { return command.for_group; }

/// The command at the front of `words` and how many words its name has.
Result<std::pair<const Command*, std::size_t>, Answer> find_command(std::span<const std::string> words) {
    if (words.empty()) return usage_error("there is no command: `help` lists all commands");
    std::vector<std::string_view> firsts, seconds, guesses;  // guesses: for a wrong second word
    for (const Command& command : commands()) {
        const auto first = first_word(command.name);
        const auto second = second_word(command.name);
        if (may_be_guessed(command)) firsts.push_back(first);
        if (first != words[0]) continue;
        if (second.empty()) return std::pair{&command, std::size_t{1}};
        if (words.size() > 1 && words[1] == second) return std::pair{&command, std::size_t{2}};
        seconds.push_back(second);
        if (may_be_guessed(command)) guesses.push_back(second);
    }
    if (seconds.empty()) return unknown_command(words[0], firsts);
    std::string choice;
    for (const auto second : seconds) choice += (choice.empty() ? "" : ", ") + std::string{second};
    if (words.size() == 1) return usage_error(fmt::format("`{}` needs a second word: {}", words[0], choice));
    return usage_error(fmt::format("`{}` has no {}{}: it has {}", words[0], quoted_word(words[1]),
                                   did_you_mean(words[1], guesses), choice));
}

/// Assigns the words after the command's name to options, arguments and the rest.
class ArgumentParser {
   public:
    ArgumentParser(const Command& command, std::span<const std::string> words) : command_(command), words_(words) {
        line_.command = &command;
    }

    Result<Invocation, Answer> parse() {
        for (; at_ < words_.size(); ++at_) {
            if (auto taken = take(words_[at_]); !taken) return Unexpected{taken.error()};
        }
        if (line_.arguments.size() < wanted()) {
            return usage_error(
                fmt::format("{} is missing. Usage: {}", command_.arguments[line_.arguments.size()], command_.usage()));
        }
        if (line_.arguments.size() > wanted()) {
            // The argument came first, so the user hardly meant all connections.
            return usage_error(fmt::format("{} and `{}` exclude each other. Usage: {}",
                                           quoted_word(line_.arguments.front()), command_.instead_of_argument,
                                           command_.usage()));
        }
        return std::move(line_);
    }

   private:
    using Taken = Result<void, Answer>;

    /// How many arguments the command needs.
    std::size_t wanted() const {
        const bool replaced = !command_.instead_of_argument.empty() && line_.has(command_.instead_of_argument);
        return replaced ? 0 : command_.arguments.size();
    }

    bool in_the_rest() const {
        if (!line_.rest.empty()) return true;
        return command_.rest == Command::Rest::words && line_.arguments.size() >= wanted();
    }

    Taken take(const std::string& word) {
        if (!line_.literal && !in_the_rest()) {
            if (word == "--") {
                line_.literal = true;
                return {};
            }
            if (word.starts_with("--")) return take_option(word);
        }
        if (line_.arguments.size() < wanted() && line_.rest.empty()) {
            line_.arguments.push_back(word);
            return {};
        }
        if (command_.rest == Command::Rest::none) {
            return usage_error(fmt::format("{} is too much. Usage: {}", quoted_word(word), command_.usage()));
        }
        if (command_.rest == Command::Rest::text && !line_.literal && find_option(word) != nullptr) {
            // The user hardly meant it as a part of the text, least of all if it chooses the receivers.
            return usage_error(
                fmt::format("the option {} comes after the text: put it before the text, or put `--` before a text "
                            "that contains it",
                            quoted_word(word)));
        }
        line_.rest.push_back(word);
        return {};
    }

    const CommandOption* find_option(std::string_view word) const {
        const auto name = word.substr(0, word.find('='));
        if (const auto* const common = find_common_option(name)) return common;
        const auto found = std::find_if(command_.options.begin(), command_.options.end(),
                                        [name](const CommandOption& option) { return option.name == name; });
        return found == command_.options.end() ? nullptr : &*found;
    }

    Taken take_option(std::string_view word) {
        const auto equals = word.find('=');
        const CommandOption* option = find_option(word);
        if (option == nullptr) return usage_error(unknown_option(word.substr(0, equals)));
        if (line_.has(option->name)) return usage_error(fmt::format("`{}` is given twice", option->name));
        std::string value;
        if (option->value.empty()) {
            if (equals != std::string_view::npos) {
                return usage_error(fmt::format("`{}` takes no value", option->name));
            }
        } else if (equals != std::string_view::npos) {
            value = word.substr(equals + 1);
        } else if (at_ + 1 < words_.size()) {
            value = words_[++at_];
        } else {
            return usage_error(fmt::format("`{0}` needs its {1}: {0} {1}", option->name, option->value));
        }
        line_.options.emplace(option->name, std::move(value));
        return {};
    }

    std::string unknown_option(std::string_view word) const {
        std::vector<std::string_view> names;
        names.reserve(common_options.size() + command_.options.size());
        for (const CommandOption& option : common_options) names.push_back(option.name);
        for (const CommandOption& option : command_.options) names.push_back(option.name);
        auto text = fmt::format("`{}` has no option {}{}. Usage: {}", command_.name, quoted_word(word),
                                did_you_mean(word, names), command_.usage());
        if (command_.rest == Command::Rest::text) text += "; put `--` before a text that begins with `--`";
        return text;
    }

    const Command& command_;
    std::span<const std::string> words_;
    std::size_t at_ = 0;
    Invocation line_;
};

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

/// The text of the line, if that is the payload; empty if the bytes after the line are.
Result<std::string, Answer> text_of_line(const Invocation& line, Bytes after) {
    const auto rest = line.command->rest;
    if (rest == Command::Rest::none && !is_blank(text_of(after))) {
        return usage_error(
            fmt::format("`{}` takes no text, but {} bytes follow its line", line.command->name, after.size()));
    }
    if (rest != Command::Rest::text) return std::string{};
    if (line.rest.empty()) {
        if (!after.empty()) return std::string{};
        return usage_error(
            fmt::format("there is nothing to send: put the text after the words or on the lines after them ('' is an "
                        "empty message). Usage: {}",
                        line.command->usage()));
    }
    if (!after.empty()) {
        return usage_error(
            fmt::format("there are two texts, one in the line and {} bytes after it: leave one out", after.size()));
    }
    const auto& first = line.rest.front();
    if (!line.literal && line.rest.size() == 1 && (first == "-" || first.starts_with('@'))) {
        // The right to give commands is not the right to read every file that the daemon may read.
        return usage_error(fmt::format(
            "{} works on the command line of wsd-ctl only, which reads standard input and files; here the text "
            "itself is needed (after `--` it is sent as it is)",
            quoted_word(first)));
    }
    return line.text();
}

std::string describe(const Command& command) {
    std::string text = fmt::format("usage: {}\n\n  {}\n", command.usage(), command.summary);
    std::size_t width = no_answer_option.name.size();
    const auto shown = [](const CommandOption& option) {
        return option.value.empty() ? std::string{option.name} : fmt::format("{} {}", option.name, option.value);
    };
    for (const CommandOption& option : command.options) width = std::max(width, shown(option).size());
    text += "\noptions:\n";
    for (const CommandOption& option : command.options) {
        text += fmt::format("  {:{}}  {}\n", shown(option), width, option.help);
    }
    for (const CommandOption& option : common_options) {
        text += fmt::format("  {:{}}  {}\n", option.name, width, option.help);
    }
    if (!command.details.empty()) text += fmt::format("\n{}", command.details);
    return text;
}

std::string overview() {
    std::size_t width = 0;
    for (const Command& command : commands()) width = std::max(width, command.name.size());
    std::string text;
    for (const Command& command : commands()) {
        text += fmt::format("  {:{}}  {}\n", command.name, width, command.summary);
    }
    return text + "`help WORD` explains one of them.\n";
}

}  // namespace

std::string_view to_string(CommandErrc code) noexcept {
    for (const auto& [known, name] : code_names) {
        if (known == code) return name;
    }
    return "failed";
}

int exit_status_of(std::string_view code) noexcept {
    if (code == to_string(CommandErrc::usage)) return 2;
    if (code == to_string(CommandErrc::timeout)) return 7;
    return 1;
}

std::string error_line(CommandErrc code, std::string_view text) {
    return fmt::format("error {} {}\n", to_string(code), escape_control(text));
}

std::string to_text(const Answer& answer) {
    if (answer.error) return error_line(*answer.error, (answer.again ? "again: " : "") + answer.text);
    return (answer.again ? "ok again\n" : "ok\n") + answer.text;
}

std::optional<std::string_view> Invocation::value(std::string_view option) const {
    const auto found = options.find(option);
    if (found == options.end()) return std::nullopt;
    return found->second;
}

std::string Invocation::text() const {
    std::string text;
    for (const std::string& word : rest) {
        if (&word != &rest.front()) text += ' ';
        text += word;
    }
    return text;
}

std::vector<std::string> Invocation::words_without_text() const {
    std::vector<std::string> words;
    for (const auto& option : options) {  // first: after `help`, they would be words of the rest
        if (find_common_option(option.first) != nullptr) words.push_back(option.first);
    }
    words.emplace_back(first_word(command->name));
    if (const auto second = second_word(command->name); !second.empty()) words.emplace_back(second);
    for (const auto& option : options) {
        const std::string& name = option.first;  // clang 14 captures no structured bindings
        if (find_common_option(name) != nullptr) continue;
        const bool is_switch = std::any_of(command->options.begin(), command->options.end(),
                                           [&](const CommandOption& o) { return o.name == name && o.value.empty(); });
        // As one word, so that a value that begins with dashes stays a value.
        words.push_back(is_switch ? name : name + '=' + option.second);
    }
    const bool dashes = std::any_of(arguments.begin(), arguments.end(),
                                    [](const std::string& argument) { return argument.starts_with("--"); });
    if (dashes) words.emplace_back("--");
    words.insert(words.end(), arguments.begin(), arguments.end());
    if (command->rest == Command::Rest::words) words.insert(words.end(), rest.begin(), rest.end());
    return words;
}

std::span<const CommandOption> common_command_options() { return common_options; }

std::vector<std::string> commands_for_group() {
    std::vector<std::string> names;
    for (const Command& command : commands()) {
        if (command.for_group) names.emplace_back(command.name);
    }
    return names;
}

std::string Command::usage() const {
    std::string text{name};
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        text += fmt::format(" {}", arguments[i]);
        if (i == 0 && !instead_of_argument.empty()) text += fmt::format("|{}", instead_of_argument);
    }
    for (const CommandOption& option : options) {
        if (option.name == instead_of_argument) continue;
        text += option.value.empty() ? fmt::format(" [{}]", option.name)
                                     : fmt::format(" [{} {}]", option.name, option.value);
    }
    if (rest == Rest::text) text += " [TEXT]";
    if (rest == Rest::words) text += " [WORDS...]";
    return text;
}

Result<Invocation, Answer> parse_command(std::span<const std::string> words) {
    const auto begin = std::find_if(words.begin(), words.end(),
                                    [](const std::string& word) { return find_common_option(word) == nullptr; });
    const auto first = words.first(static_cast<std::size_t>(begin - words.begin()));
    words = words.subspan(first.size());
    const auto found = find_command(words);
    if (!found) return Unexpected{found.error()};
    auto line = ArgumentParser{*found->first, words.subspan(found->second)}.parse();
    if (!line) return line;
    for (const std::string& option : first) {
        if (!line->options.emplace(option, "").second) return usage_error(fmt::format("`{}` is given twice", option));
    }
    return line;
}

Answer help_on(std::span<const std::string> words) {
    if (words.empty()) return Answer::done(overview());
    std::string text;
    for (const Command& command : commands()) {
        const bool whole_family = words.size() == 1 && first_word(command.name) == words[0];
        const bool this_one =
            words.size() == 2 && first_word(command.name) == words[0] && second_word(command.name) == words[1];
        if (!whole_family && !this_one) continue;
        if (!text.empty()) text += '\n';
        text += describe(command);
    }
    if (!text.empty()) return Answer::done(std::move(text));
    const auto found = find_command(words);
    if (!found) return found.error();
    return Answer::done(describe(*found->first));
}

namespace {

Answer execute_parsed(ControlTarget& target, const Invocation& line, Bytes payload, std::stop_token stop) {
    const auto text = text_of_line(line, payload);
    if (!text) return text.error();
    if (payload.empty()) payload = bytes_of(*text);
    try {
        return line.command->run({target, line, payload, std::move(stop)});
    } catch (const std::exception& error) {
        return Answer::failed(CommandErrc::failed, fmt::format("`{}`: {}", line.command->name, error.what()));
    }
}

}  // namespace

Answer execute_line(ControlTarget& target, std::string_view line, Bytes payload, std::stop_token stop,
                    const CommandRule& rule) {
    line = without_byte_order_mark(line);
    if (line.size() > max_line) {
        return Answer::failed(
            CommandErrc::usage,
            fmt::format("the command line has {} bytes, the limit is {}: put a long text on the lines after the "
                        "words",
                        line.size(), max_line));
    }
    const auto words = split_words(line);
    if (!words) {
        return Answer::failed(
            CommandErrc::usage,
            fmt::format("column {}: {}; put a backslash before it to use it as a character, or put the text on the "
                        "lines after the words, where nothing is quoted",
                        words.error().column, words.error().text));
    }
    const auto parsed = parse_command(*words);
    if (!parsed) return parsed.error();
    auto refused = rule ? rule(*parsed->command) : std::nullopt;
    auto answer = refused ? *std::move(refused) : execute_parsed(target, *parsed, payload, std::move(stop));
    answer.wanted = !parsed->has(no_answer_option.name);
    return answer;
}

Answer execute_command_file(ControlTarget& target, std::string_view content, std::stop_token stop,
                            const CommandRule& rule) {
    const auto newline = content.find('\n');
    const auto payload = newline == std::string_view::npos ? std::string_view{} : content.substr(newline + 1);
    return execute_line(target, content.substr(0, newline), bytes_of(payload), std::move(stop), rule);
}

const Command* command_at(std::string_view content) {
    content = without_byte_order_mark(content);
    // Longer than any command's name, and short enough to scan whatever the file contains.
    const auto begin = content.substr(0, std::min<std::size_t>(content.find('\n'), 64));
    std::vector<std::string> words;
    for (std::size_t at = begin.find_first_not_of(" \t"); at < begin.size() && words.size() < 2;) {
        const auto end = std::min(begin.find_first_of(" \t\r", at), begin.size());
        const auto word = begin.substr(at, end - at);
        if (!words.empty() || find_common_option(word) == nullptr) words.emplace_back(word);
        at = begin.find_first_not_of(" \t\r", end);
    }
    const auto found = find_command(words);
    return found ? found->first : nullptr;
}

std::string_view name_of_command(std::string_view content) {
    const auto* const command = command_at(content);
    return command == nullptr ? "?" : command->name;
}

}  // namespace wsserver
