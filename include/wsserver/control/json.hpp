// JSON as wsd and wsd-ctl write it: one set of rules, on one line.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <chrono>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wsserver {

/// `text` as a JSON string, with its quotes. Always valid UTF-8 and safe to show in a terminal: bytes that are not
/// UTF-8 become `\ufffd`; control characters and characters that disguise a text are escaped.
std::string json_string(std::string_view text);

/// `[...]` of elements that are JSON already.
std::string json_array(const std::vector<std::string>& elements);

/// Builds `{"a":1,"b":"x"}`. Members keep the order in which they are added; a key must not be added twice.
class JsonObject {
   public:
    /// `value` becomes a string by the rules of json_string().
    JsonObject& add(std::string_view key, std::string_view value);
    /// Same, for a literal, which would otherwise become `true`. `value` is not null.
    JsonObject& add(std::string_view key, const char* value) { return add(key, std::string_view{value}); }
    /// A number, or `true` or `false`.
    template <std::integral Number>
    JsonObject& add(std::string_view key, Number value) {
        if constexpr (std::same_as<Number, bool>) return raw(key, value ? "true" : "false");
        return raw(key, std::to_string(value));
    }
    /// Milliseconds with three decimals, or `null`.
    JsonObject& add(std::string_view key, std::optional<std::chrono::microseconds> time);
    /// A number with that many decimals, which must be finite.
    JsonObject& add(std::string_view key, double value, int decimals);
    /// `json` is JSON already.
    JsonObject& raw(std::string_view key, std::string_view json);

    /// The members without the braces.
    const std::string& members() const noexcept { return members_; }
    /// The object with its braces, on one line.
    std::string text() const { return '{' + members_ + '}'; }

   private:
    std::string members_;
};

}  // namespace wsserver
