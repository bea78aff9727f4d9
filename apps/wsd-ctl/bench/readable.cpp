#include "wsd-ctl/bench/readable.hpp"

#include <fmt/format.h>

#include <array>
#include <span>

namespace wsd::ctl::bench {

namespace {

/// Three digits of it in the largest unit that leaves at least one before the point.
std::string in_units(double value, double step, std::span<const std::string_view> units) {
    std::size_t unit = 0;
    for (; value >= step - 0.5 && unit + 1 < units.size(); ++unit) value /= step;
    const int decimals = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    return fmt::format("{:.{}f} {}", value, decimals, units[unit]);
}

}  // namespace

std::string readable_number(std::uint64_t number) {
    std::string text = std::to_string(number);
    for (std::size_t place = text.size(); place > 3;) text.insert(place -= 3, 1, ',');
    return text;
}

std::string readable_latency(std::chrono::nanoseconds time) {
    static constexpr std::array<std::string_view, 4> units{"ns", "us", "ms", "s"};
    return in_units(static_cast<double>(time.count()), 1000, units);
}

std::string readable_size(double bytes) {
    static constexpr std::array<std::string_view, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
    return in_units(bytes, 1024, units);
}

std::string json_string(std::string_view text) {
    std::string json{'"'};
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            json += '\\';
            json += c;
        } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
            json += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
        } else {
            json += c;
        }
    }
    return json + '"';
}

}  // namespace wsd::ctl::bench
