// The one table of settings: file, environment, flags, `--help`, `--print-config` and the example are all read off it.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "common/config.hpp"
#include "wsserver/base/result.hpp"

namespace wsd {

/// In which of TOML's types a value is written.
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
    std::string_view placeholder{};  ///< `SIZE`, for the help
    std::string_view group{};        ///< the heading in the help
    std::string_view help{};         ///< what it does, without its default
    bool at_start_only = false;      ///< a change needs a restart

    /// Takes all values that one source gives (one, but for lists and pairs). An error says what is wanted.
    std::function<wsserver::Result<void, std::string>(Config&, std::span<const std::string>)> set{};
    /// The pairs, if it is a table.
    std::function<const std::map<std::string, std::string>&(const Config&)> pairs{};
    /// The value as TOML writes it, on one line.
    std::function<std::string(const Config&)> print{};

    /// `WSD_MAX_MESSAGE`; a list's values are separated by commas there.
    std::string variable() const;
    bool repeats() const noexcept { return kind == Kind::list || kind == Kind::pairs; }
};

/// All of them, in the order in which they are shown.
std::span<const Setting> settings();

/// The setting of this key, or null.
const Setting* find_setting(std::string_view key);

/// The key that was probably meant: by its whole name or by its last word. Empty if none is near.
std::string nearest_key(std::string_view key);

}  // namespace wsd
