#include "common/config_file.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <system_error>

#include "common/settings.hpp"
#include "wsserver/base/shell_words.hpp"

namespace wsd {

namespace {

/// One line, whatever the file contains.
std::string error_at(const std::string& path, const toml::source_position& at, std::string_view text) {
    return fmt::format("{}:{}:{}: {}", path, at.line, at.column, wsserver::escape_control(text));
}

/// TOML allows no control characters except tabs and line ends, not even in strings. toml++ 3.3 with assertions aborts
/// at some of them, so they are found first.
std::string_view::size_type find_control_character(std::string_view text) {
    const auto forbidden = [](unsigned char c) {
        return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
    };
    const auto found = std::find_if(text.begin(), text.end(), forbidden);
    return found == text.end() ? std::string_view::npos : static_cast<std::size_t>(found - text.begin());
}

/// The line and the column, in characters, of the byte `at` of `text`.
toml::source_position position_of(std::string_view text, std::size_t at) {
    const auto before = text.substr(0, at);
    const auto line = before.substr(before.rfind('\n') + 1);
    const auto is_first = [](unsigned char c) { return c >> 6 != 2; };  // bytes of UTF-8 that begin a character
    return {static_cast<toml::source_index>(1 + std::count(before.begin(), before.end(), '\n')),
            static_cast<toml::source_index>(1 + std::count_if(line.begin(), line.end(), is_first))};
}

std::string_view name_of(Kind kind) {
    switch (kind) {
        case Kind::text:
            return "a string";
        case Kind::size:
            return "a size such as \"16MiB\"";
        case Kind::time:
            return "a time such as \"25s\"";
        case Kind::number:
            return "an integer";
        case Kind::boolean:
            return "true or false";
        case Kind::list:
            return "a list of strings";
        case Kind::pairs:
            return "a table of strings";
    }
    return "something else";
}

/// The values of a node as text for Setting::set; nothing if the node has another type.
std::optional<std::vector<std::string>> values_of(Kind kind, const toml::node& node) {
    using Values = std::vector<std::string>;
    const auto* string = node.as_string();
    const auto* integer = node.as_integer();
    switch (kind) {
        case Kind::text:
            if (string != nullptr) return Values{string->get()};
            break;
        case Kind::size:
        case Kind::time:
            if (string != nullptr) return Values{string->get()};
            [[fallthrough]];
        case Kind::number:
            if (integer != nullptr) return Values{std::to_string(integer->get())};
            break;
        case Kind::boolean:
            if (const auto* boolean = node.as_boolean()) return Values{boolean->get() ? "true" : "false"};
            break;
        case Kind::list:
            if (string != nullptr) return Values{string->get()};
            if (const auto* array = node.as_array()) {
                Values values;
                for (const auto& entry : *array) {
                    if (!entry.is_string()) return std::nullopt;
                    values.push_back(entry.as_string()->get());
                }
                return values;
            }
            break;
        case Kind::pairs:
            break;
    }
    return std::nullopt;
}

bool is_group(std::string_view name) {
    const auto all = settings();
    return std::any_of(all.begin(), all.end(), [&](const Setting& s) {
        return s.key.size() > name.size() && s.key.starts_with(name) && s.key[name.size()] == '.';
    });
}

class Reader {
   public:
    Reader(const std::string& path, Config& config, ConfigErrors& errors)
        : path_(path), config_(config), errors_(errors) {}

    void read(const toml::table& table, const std::string& prefix = {}) {
        for (const auto& [key, node] : table) {
            const std::string name = prefix + std::string{key.str()};
            if (const Setting* setting = find_setting(name)) {
                setting->kind == Kind::pairs ? read_pairs(*setting, node) : read_value(*setting, name, node);
            } else if (is_group(name) && node.is_table()) {
                read(*node.as_table(), name + ".");
            } else if (is_group(name)) {
                complain(node.source().begin,
                         fmt::format("{} is a table: write [{}] and its keys below it", name, name));
            } else {
                unknown(name, key.source().begin);
            }
        }
    }

   private:
    void read_value(const Setting& setting, const std::string& name, const toml::node& node) {
        const auto values = values_of(setting.kind, node);
        if (!values) {
            return complain(node.source().begin, fmt::format("{}: expected {}", name, name_of(setting.kind)));
        }
        take(setting, name, *values, node);
    }

    void read_pairs(const Setting& setting, const toml::node& node) {
        const auto* table = node.as_table();
        if (table == nullptr) {
            return complain(node.source().begin, fmt::format("{}: expected {}", setting.key, name_of(Kind::pairs)));
        }
        for (const auto& [key, value] : *table) {
            const auto name = fmt::format("{}.{}", setting.key, key.str());
            if (key.str().find('=') != std::string_view::npos) {  // a pair is split at its first
                complain(key.source().begin, fmt::format("{}: a subprotocol name cannot contain `=`", name));
                continue;
            }
            if (!value.is_string()) {
                complain(value.source().begin, fmt::format("{}: expected a string", name));
                continue;
            }
            take(setting, name, {std::string{key.str()} + "=" + value.as_string()->get()}, value);
        }
    }

    void take(const Setting& setting, const std::string& name, const std::vector<std::string>& values,
              const toml::node& node) {
        if (const auto done = setting.set(config_, values); !done) {
            return complain(node.source().begin, fmt::format("{}: {}", name, done.error()));
        }
        config_.sources.insert_or_assign(name, fmt::format("{}:{}", path_, node.source().begin.line));
    }

    void unknown(const std::string& name, const toml::source_position& at) {
        const auto meant = nearest_key(name);
        complain(at,
                 fmt::format("{}: unknown key{}", name,
                             meant.empty() ? "; wsd --print-config shows all keys" : "; did you mean " + meant + "?"));
    }

    void complain(const toml::source_position& at, const std::string& text) {
        errors_.push_back(error_at(path_, at, text));
    }

    const std::string& path_;
    Config& config_;
    ConfigErrors& errors_;
};

}  // namespace

void read_config_text(std::string_view text, const std::string& path, Config& config, ConfigErrors& errors) {
    if (const auto at = find_control_character(text); at != std::string_view::npos) {
        errors.push_back(error_at(path, position_of(text, at),
                                  fmt::format("the control character {} is not allowed in TOML",
                                              wsserver::escape_control(text.substr(at, 1)))));
        return;
    }
    try {
        const toml::table table = toml::parse(text, path);
        Reader{path, config, errors}.read(table);
    } catch (const toml::parse_error& error) {
        errors.push_back(error_at(path, error.source().begin, error.description()));
    }
}

void read_config_file(const std::string& path, Config& config, ConfigErrors& errors) {
    errno = 0;
    std::ifstream file{path, std::ios::binary};
    std::ostringstream text;
    if (file) text << file.rdbuf();
    // A folder can be opened, but not read. Reading nothing from an empty file is fine.
    if (!file || file.bad() || (text.fail() && errno != 0)) {
        errors.push_back(fmt::format("{}: cannot be read: {}", path, std::generic_category().message(errno)));
        return;
    }
    read_config_text(text.str(), path, config, errors);
}

}  // namespace wsd
