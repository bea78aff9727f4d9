// How answers look: aligned tables, sizes and times for people, objects on one line for programs.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wsserver {

/// `512 B`, `1.2 KiB`, `34 MiB`: three digits at most, powers of 1024.
std::string readable_size(std::uint64_t bytes);

/// `350 us`, `12.3 ms`, `4.2 s`, `3m 12s`, `2h 05m`, `3d 04h`.
std::string readable_time(std::chrono::microseconds time);

/// `{"a":1,"b":"x"}`. What is no UTF-8 in a string becomes U+FFFD, for JSON can't hold it.
class JsonObject {
   public:
    JsonObject& add(std::string_view key, std::string_view value);
    JsonObject& add(std::string_view key, const char* value) { return add(key, std::string_view{value}); }
    template <std::integral Number>
    JsonObject& add(std::string_view key, Number value) {
        if constexpr (std::same_as<Number, bool>) return raw(key, value ? "true" : "false");
        return raw(key, std::to_string(value));
    }
    /// Milliseconds, or null.
    JsonObject& add(std::string_view key, std::optional<std::chrono::microseconds> time);
    /// `json` is JSON already.
    JsonObject& raw(std::string_view key, std::string_view json);

    std::string text() const { return '{' + members_ + '}'; }

   private:
    std::string members_;
};

/// `text` as a JSON string, with its quotes.
std::string json_string(std::string_view text);

/// `[...]` of things that are JSON already.
std::string json_array(const std::vector<std::string>& elements);

/// Rows under headings; each column as wide as its widest cell. Cells are made printable.
class Table {
   public:
    struct Column {
        std::string_view heading;
        bool to_the_right = false;  ///< numbers are
    };
    explicit Table(std::vector<Column> columns);

    /// As many cells as there are columns. An empty cell is shown as `-`.
    void add(std::vector<std::string> cells);
    bool empty() const noexcept { return rows_.size() == 1; }
    std::string text() const;

   private:
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace wsserver
