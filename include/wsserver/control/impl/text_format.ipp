#pragma once

#include "wsserver/control/detail/text_format.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/shell_words.hpp"
#include "wsserver/base/utf8.hpp"

namespace wsserver {

namespace {

/// Characters, which are what a column counts in; the wide ones of East Asia are not reckoned with.
std::size_t width_of(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<std::uint8_t>(c) & 0xC0) != 0x80; }));
}

void append_escaped(std::string& out, char c) {
    switch (c) {
        case '"':
            out += "\\\"";
            return;
        case '\\':
            out += "\\\\";
            return;
        case '\n':
            out += "\\n";
            return;
        case '\r':
            out += "\\r";
            return;
        case '\t':
            out += "\\t";
            return;
        default:
            if (static_cast<std::uint8_t>(c) < 0x20 || c == 0x7F) {
                out += fmt::format("\\u{:04x}", static_cast<std::uint8_t>(c));
            } else {
                out += c;
            }
    }
}

/// The length of the character at the front; 0 if there is none.
std::size_t utf8_length(std::string_view text) {
    for (std::size_t length = 1; length <= std::min<std::size_t>(4, text.size()); ++length) {
        if (is_valid_utf8(bytes_of(text.substr(0, length)))) return length;
    }
    return 0;
}

}  // namespace

std::string readable_size(std::uint64_t bytes) {
    static constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) return fmt::format("{} B", bytes);
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    // 1023.95 would be written as 1024.0
    while (value >= 1023.5 && unit + 1 < units.size()) {
        value /= 1024;
        ++unit;
    }
    return value < 9.95 ? fmt::format("{:.1f} {}", value, units[unit]) : fmt::format("{:.0f} {}", value, units[unit]);
}

std::string readable_time(std::chrono::microseconds time) {
    const auto us = std::max<std::int64_t>(0, time.count());
    if (us < 1'000) return fmt::format("{} us", us);
    if (us < 999'950) return fmt::format("{:.1f} ms", static_cast<double>(us) / 1e3);
    if (us < 59'950'000) return fmt::format("{:.1f} s", static_cast<double>(us) / 1e6);
    const auto seconds = us / 1'000'000;
    const auto minutes = seconds / 60;
    const auto hours = minutes / 60;
    if (hours == 0) return fmt::format("{}m {:02}s", minutes, seconds % 60);
    if (hours < 24) return fmt::format("{}h {:02}m", hours, minutes % 60);
    return fmt::format("{}d {:02}h", hours / 24, hours % 24);
}

std::string json_string(std::string_view text) {
    std::string out{'"'};
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        if (length == 1) {
            append_escaped(out, text.front());
        } else if (length > 1) {
            out += text.substr(0, length);
        } else {
            out += "\\ufffd";
        }
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return out + '"';
}

std::string json_array(const std::vector<std::string>& elements) {
    std::string out{'['};
    for (const std::string& element : elements) {
        if (out.size() > 1) out += ',';
        out += element;
    }
    return out + ']';
}

JsonObject& JsonObject::add(std::string_view key, std::string_view value) { return raw(key, json_string(value)); }

JsonObject& JsonObject::add(std::string_view key, std::optional<std::chrono::microseconds> time) {
    return raw(key, time ? fmt::format("{:.3f}", static_cast<double>(time->count()) / 1e3) : "null");
}

JsonObject& JsonObject::raw(std::string_view key, std::string_view json) {
    if (!members_.empty()) members_ += ',';
    members_ += json_string(key);
    members_ += ':';
    members_ += json;
    return *this;
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {
    std::vector<std::string> headings;
    for (const Column& column : columns_) headings.emplace_back(column.heading);
    rows_.push_back(std::move(headings));
}

void Table::add(std::vector<std::string> cells) {
    assert(cells.size() == columns_.size());
    for (std::string& cell : cells) cell = cell.empty() ? "-" : escape_control(cell);
    rows_.push_back(std::move(cells));
}

std::string Table::text() const {
    std::vector<std::size_t> widths(columns_.size());
    for (const auto& row : rows_) {
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
    }
    std::string out;
    for (const auto& row : rows_) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            if (i > 0) line += "  ";
            const std::string padding(widths[i] - width_of(row[i]), ' ');
            line += columns_[i].to_the_right ? padding + row[i] : row[i] + padding;
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + '\n';
    }
    return out;
}

}  // namespace wsserver
