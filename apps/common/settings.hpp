// The table of settings. File, environment, flags, `--help`, `--print-config` and the example all come from it.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "common/config.hpp"
#include "wsserver/base/result.hpp"

namespace wsd {

/// The type of a value in TOML.
enum class Kind : std::uint8_t {
    text,     ///< a string
    size,     ///< a string with a unit, or an integer (bytes)
    time,     ///< a string with a unit
    number,   ///< an integer
    boolean,  ///< true or false
    list,     ///< an array of strings; a flag that may be repeated
    pairs,    ///< a table of strings; a flag NAME=VALUE that may be repeated
};

struct Setting {
    Kind kind = Kind::text;
    std::string_view key{};          ///< `limits.max_message`
    std::string_view flag{};         ///< `--max-message`
    std::string_view placeholder{};  ///< of its value in the help: `SIZE`
    std::string_view group{};        ///< the heading in the help
    std::string_view help{};         ///< what it does; without its default
    bool at_start_only = false;      ///< a change needs a restart

    /// Sets all values that one source gives: exactly one, except for lists and pairs. An error says what is expected.
    std::function<wsserver::Result<void, std::string>(Config&, std::span<const std::string>)> set{};
    /// The pairs, if the kind is `pairs`; otherwise not set.
    std::function<const std::map<std::string, std::string>&(const Config&)> pairs{};
    /// The value as TOML writes it, on one line.
    std::function<std::string(const Config&)> print{};

    /// `WSD_MAX_MESSAGE`. In the variable the values of a list are separated by commas.
    std::string variable() const;
    bool repeats() const noexcept { return kind == Kind::list || kind == Kind::pairs; }
};

/// All settings, in the order in which they are shown.
std::span<const Setting> settings();

/// The setting of this key, or null.
const Setting* find_setting(std::string_view key);

/// The existing key that is closest to `key`, by its whole name or by its last word. Empty if none is close.
std::string nearest_key(std::string_view key);

}  // namespace wsd
