#pragma once

#include "wsserver/control/text_format.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <utility>

#include "wsserver/base/shell_words.hpp"

namespace wsserver {

namespace {

/// Counts characters. A column counts in these; the wide ones of East Asia are not considered.
std::size_t width_of(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<std::uint8_t>(c) & 0xC0) != 0x80; }));
}

}  // namespace

std::string in_units(double value, double step, std::span<const std::string_view> units, int digits) {
    std::size_t unit = 0;
    // 1023.95 would be written as 1024.0
    for (; value >= step - 0.5 && unit + 1 < units.size(); ++unit) value /= step;
    int decimals = unit == 0 ? 0 : digits - 1;
    // 9.95 would be written as 10.0: one digit more than asked for
    for (double limit = 10; decimals > 0 && value >= limit - 0.5 * std::pow(10, -decimals); limit *= 10) --decimals;
    return fmt::format("{:.{}f} {}", value, decimals, units[unit]);
}

std::string readable_size(double bytes, int digits) {
    static constexpr std::array<std::string_view, 7> units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    return in_units(bytes, 1024, units, digits);
}

std::string readable_size(std::uint64_t bytes) { return readable_size(static_cast<double>(bytes)); }

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

std::string quoted_word(std::string_view word) {
    constexpr std::size_t most = 80;
    return '`' + escape_control(word.substr(0, most)) + (word.size() > most ? "...`" : "`");
}

std::string name_of_subprotocol(std::string_view subprotocol) {
    return subprotocol.empty() ? "clients without a subprotocol" : fmt::format("subprotocol {}", subprotocol);
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
