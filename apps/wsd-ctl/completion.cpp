#include "wsd-ctl/completion.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <vector>

#include "wsd-ctl/local_commands.hpp"
#include "wsserver/control/command.hpp"

namespace wsd::ctl {

namespace {

constexpr std::array<std::string_view, 3> shells{"bash", "zsh", "fish"};

struct Flag {
    std::string name;  ///< with its dashes
    std::string help{};
    bool takes_value = false;
};

/// A command, or the first word of several: `handler`.
struct Word {
    std::string name;
    std::string help{};
    std::vector<Flag> flags{};
    std::vector<std::string> next{};  ///< the words that may follow
};

void add(std::vector<Flag>& flags, const wsserver::CommandOption& option) {
    const std::string name{option.name};
    if (std::none_of(flags.begin(), flags.end(), [&](const Flag& flag) { return flag.name == name; })) {
        flags.push_back({name, std::string{option.help}, !option.value.empty()});
    }
}

/// The long flags that a help names.
std::vector<Flag> flags_in(const std::string& help) {
    std::vector<Flag> flags;
    for (std::size_t at = 0; (at = help.find(" --", at)) != std::string::npos; ++at) {
        const auto end = help.find_first_not_of("abcdefghijklmnopqrstuvwxyz-", at + 1);
        const auto name = help.substr(at + 1, end - at - 1);
        const bool is_new =
            std::none_of(flags.begin(), flags.end(), [&](const Flag& flag) { return flag.name == name; });
        if (name.size() > 2 && is_new) flags.push_back({name});
    }
    return flags;
}

std::vector<Word> all_words() {
    std::vector<Word> words;
    for (const auto& command : wsserver::commands()) {
        const auto blank = command.name.find(' ');
        const std::string first{command.name.substr(0, blank)};
        if (words.empty() || words.back().name != first) words.push_back({first, std::string{command.summary}});
        auto& word = words.back();
        if (blank != std::string_view::npos) {
            word.next.emplace_back(command.name.substr(blank + 1));
            word.help = fmt::format("{}", fmt::join(word.next, ", "));
        }
        for (const auto& option : command.options) add(word.flags, option);
        for (const auto& option : wsserver::common_command_options()) add(word.flags, option);
    }
    for (const auto& command : local_commands()) {
        const auto line = command.in_short();
        Word word{std::string{command.name}, line.substr(18, line.size() - 19), flags_in(command.help())};
        for (const auto argument : command.arguments) word.next.emplace_back(argument);
        words.push_back(std::move(word));
    }
    return words;
}

std::vector<std::string> names_of(const std::vector<Flag>& flags) {
    std::vector<std::string> names;
    names.reserve(flags.size());
    for (const auto& flag : flags) names.push_back(flag.name);
    return names;
}

/// In single quotes, as all three shells read it.
std::string quoted(std::string_view text) {
    std::string result{'\''};
    for (const char c : text) result += c == '\'' ? std::string{"'\\''"} : std::string{c};
    return result + '\'';
}

constexpr std::string_view origin = "# Completes the words of wsd-ctl. Made by `wsd-ctl completion {}`.\n";

std::string bash_script(const std::vector<Word>& words) {
    std::vector<std::string> first;
    first.reserve(words.size());
    for (const auto& word : words) first.push_back(word.name);
    auto text = fmt::format(fmt::runtime(origin), "bash");
    text +=
        "_wsd_ctl() {\n"
        "    local word=${COMP_WORDS[COMP_CWORD]} command='' candidates='' i\n"
        "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
        "        case ${COMP_WORDS[i]} in\n"
        "            --spool | --timeout) ((i++)) ;;\n"
        "            -*) ;;\n"
        "            *) command=${COMP_WORDS[i]}; break ;;\n"
        "        esac\n"
        "    done\n"
        "    case $command in\n";
    text += fmt::format("        '') candidates='{} {}' ;;\n", fmt::join(own_flags(), " "), fmt::join(first, " "));
    for (const auto& word : words) {
        std::vector<std::string> all = word.next;
        for (auto& name : names_of(word.flags)) all.push_back(std::move(name));
        if (!all.empty()) text += fmt::format("        {}) candidates='{}' ;;\n", word.name, fmt::join(all, " "));
    }
    return text +
           "    esac\n"
           "    COMPREPLY=($(compgen -W \"$candidates\" -- \"$word\"))\n"
           "}\n"
           "complete -o bashdefault -o default -F _wsd_ctl wsd-ctl\n";
}

std::string zsh_script(const std::vector<Word>& words) {
    auto text = "#compdef wsd-ctl\n" + fmt::format(fmt::runtime(origin), "zsh");
    text +=
        "local command='' i\n"
        "local -a candidates\n"
        "for ((i = 2; i < CURRENT; i++)); do\n"
        "    case ${words[i]} in\n"
        "        --spool|--timeout) ((i++)) ;;\n"
        "        -*) ;;\n"
        "        *) command=${words[i]}; break ;;\n"
        "    esac\n"
        "done\n"
        "case $command in\n"
        "    '') candidates=(\n";
    for (const auto& word : words) text += fmt::format("        {}\n", quoted(word.name + ':' + word.help));
    text += fmt::format("        {}) ;;\n", fmt::join(own_flags(), " "));
    for (const auto& word : words) {
        text += fmt::format("    {}) candidates=(", word.name);
        for (const auto& next : word.next) text += next + ' ';
        for (const auto& flag : word.flags) {
            text += flag.help.empty() ? flag.name + ' ' : quoted(flag.name + ':' + flag.help) + ' ';
        }
        if (text.back() == ' ') text.pop_back();
        text += ") ;;\n";
    }
    return text +
           "esac\n"
           "_describe wsd-ctl candidates\n"
           "_files\n";
}

std::string fish_flag(std::string_view condition, const Flag& flag) {
    const bool is_long = flag.name.starts_with("--");
    auto text = fmt::format("complete -c wsd-ctl -n {} -{} {}", quoted(condition), is_long ? 'l' : 's',
                            flag.name.substr(is_long ? 2 : 1));
    if (flag.takes_value) text += " -r";
    if (!flag.help.empty()) text += " -d " + quoted(flag.help);
    return text + '\n';
}

std::string fish_script(const std::vector<Word>& words) {
    auto text = fmt::format(fmt::runtime(origin), "fish");
    for (const auto flag : own_flags()) text += fish_flag("__fish_use_subcommand", {std::string{flag}});
    for (const auto& word : words) {
        text +=
            fmt::format("complete -c wsd-ctl -n __fish_use_subcommand -f -a {} -d {}\n", word.name, quoted(word.help));
    }
    for (const auto& word : words) {
        const auto condition = "__fish_seen_subcommand_from " + word.name;
        if (!word.next.empty()) {
            text += fmt::format("complete -c wsd-ctl -n {} -a {}\n", quoted(condition),
                                quoted(fmt::format("{}", fmt::join(word.next, " "))));
        }
        for (const auto& flag : word.flags) text += fish_flag(condition, flag);
    }
    return text;
}

}  // namespace

std::span<const std::string_view> completion_shells() { return shells; }

std::optional<std::string> completion_script(std::string_view shell) {
    if (shell == "bash") return bash_script(all_words());
    if (shell == "zsh") return zsh_script(all_words());
    if (shell == "fish") return fish_script(all_words());
    return std::nullopt;
}

std::string completion_in_short() {
    return "  completion      a script that completes words in a shell: bash, zsh or fish\n";
}

std::string completion_help() {
    return "usage: completion bash|zsh|fish\n"
           "\n"
           "  Prints a script that completes the words of wsd-ctl in that shell. An installed wsd-ctl has them "
           "already.\n"
           "\n"
           "example: source <(wsd-ctl completion bash)\n"
           "         wsd-ctl completion fish > ~/.config/fish/completions/wsd-ctl.fish\n";
}

}  // namespace wsd::ctl
