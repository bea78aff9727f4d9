// Words of a command line, as CLI11 takes them.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace wsd {

/// The last one first. CLI11 would take the word behind `--flag=` for its value; that is the empty text, so it gets a
/// word of its own, as in `--flag ''`. Where the first word that is no flag begins an order, the order stays as it is.
inline std::vector<std::string> words_for(const CLI::App& app, const std::vector<std::string>& words) {
    const auto takes_value = [&app](const std::string& flag) {
        const CLI::Option* option = app.get_option_no_throw(flag);
        return option != nullptr && option->get_items_expected_max() > 0;
    };
    std::vector<std::string> result;
    bool is_value = false;
    bool flags_ended = false;
    for (const auto& word : words) {
        const bool is_flag = !is_value && !flags_ended && word.starts_with('-');
        if (!is_value && (word == "--" || (!is_flag && app.get_prefix_command()))) flags_ended = true;
        is_value = is_flag && takes_value(word);
        const auto name = is_flag && word.ends_with('=') ? word.substr(0, word.size() - 1) : std::string{};
        if (takes_value(name)) {
            result.insert(result.end(), {name, ""});
        } else {
            result.push_back(word);
        }
    }
    return {result.rbegin(), result.rend()};
}

}  // namespace wsd
