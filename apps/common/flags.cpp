#include "common/flags.hpp"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <utility>

namespace wsd {

namespace {

using Words = std::vector<std::string>;

/// The last one first. CLI11 would take the word after `--flag=` for its value; that is the empty text, so it gets a
/// word of its own, as in `--flag ''`. Where the first word that is not a flag begins a command, the command stays as
/// it is.
Words words_for(const CLI::App& app, const Words& words) {
    const auto takes_value = [&app](const std::string& flag) {
        const CLI::Option* option = app.get_option_no_throw(flag);
        return option != nullptr && option->get_items_expected_max() > 0;
    };
    Words result;
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

}  // namespace

Flags::Flags(OtherWords others) : app_(std::make_unique<CLI::App>()) {
    app_->set_help_flag("");
    if (others == OtherWords::begin_command) {
        app_->prefix_command();
    } else {
        app_->allow_extras();
    }
}

Flags::~Flags() = default;

void Flags::add_switch(const std::string& names, bool& given) { app_->add_flag(names, given); }

void Flags::add_switch(const std::string& names, std::function<void()> given) {
    app_->add_flag_callback(names, std::move(given));
}

void Flags::add_boolean(const std::string& name, std::function<void(bool)> take) {
    app_->add_flag_function(name + ",!--no-" + name.substr(2),
                            [take = std::move(take)](std::int64_t count) { take(count > 0); });
}

void Flags::add_value(const std::string& names, std::string& value) { app_->add_option(names, value)->take_last(); }

void Flags::add_values(const std::string& names, Words& values) {
    app_->add_option(names, values)->allow_extra_args(false);
}

void Flags::add_values(const std::string& names, const std::string& placeholder,
                       const std::function<void(const Words&)>& take) {
    app_->add_option_function<Words>(names, take)->allow_extra_args(false)->type_name(placeholder);
}

void Flags::add_word(const std::string& name, std::string& word) { app_->add_option(name, word); }

wsserver::Result<Words, std::string> Flags::parse(const Words& words) {
    try {
        app_->parse(words_for(*app_, words));
    } catch (const CLI::ParseError& error) {
        return wsserver::Unexpected{std::string{error.what()}};
    }
    return app_->remaining();
}

}  // namespace wsd
