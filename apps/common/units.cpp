#include "common/units.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <limits>
#include <optional>

namespace wsd {

namespace {

using wsserver::Result;
using wsserver::Unexpected;

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};

// In the order in which print() tries them. The last one divides everything.
constexpr std::array size_units{
    Unit{"GiB", std::uint64_t{1} << 30},
    Unit{"G", std::uint64_t{1} << 30},
    Unit{"GB", 1'000'000'000},
    Unit{"MiB", std::uint64_t{1} << 20},
    Unit{"M", std::uint64_t{1} << 20},
    Unit{"MB", 1'000'000},
    Unit{"KiB", std::uint64_t{1} << 10},
    Unit{"K", std::uint64_t{1} << 10},
    Unit{"KB", 1'000},
    Unit{"B", 1},
    Unit{"", 1},
};

constexpr std::array time_units{
    Unit{"d", 86'400'000}, Unit{"h", 3'600'000}, Unit{"m", 60'000},
    Unit{"min", 60'000},   Unit{"s", 1'000},     Unit{"ms", 1},
};

bool same_letters(std::string_view a, std::string_view b) {
    const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

void skip_blanks(std::string_view& text) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
}

std::optional<std::uint64_t> take_number(std::string_view& text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return number;
}

std::string_view take_letters(std::string_view& text) {
    const auto end = std::find_if_not(text.begin(), text.end(), [](unsigned char c) { return std::isalpha(c) != 0; });
    const auto letters = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    text.remove_prefix(letters.size());
    return letters;
}

template <std::size_t count>
std::optional<std::uint64_t> factor_of(const std::array<Unit, count>& units, std::string_view name) {
    for (const Unit& unit : units) {
        if (same_letters(unit.name, name)) return unit.factor;
    }
    return std::nullopt;
}

/// number * factor, or nothing if that is over `limit`.
std::optional<std::uint64_t> product(std::uint64_t number, std::uint64_t factor, std::uint64_t limit) {
    if (number > limit / factor) return std::nullopt;
    return number * factor;
}

template <std::size_t count>
std::string print(const std::array<Unit, count>& units, std::uint64_t value) {
    const auto unit = std::find_if(units.begin(), units.end(), [&](const Unit& u) { return value % u.factor == 0; });
    return std::to_string(value / unit->factor) + std::string{unit->name};
}

}  // namespace

Result<std::uint64_t, std::string> parse_size(std::string_view text) {
    const auto wanted = [&] {
        return Unexpected{"`" + std::string{text} +
                          "` is not a size; expected a number of bytes, such as 65536, 64KiB, 16MiB"};
    };
    std::string_view rest = text;
    const auto number = take_number(rest);
    if (!number) return wanted();
    skip_blanks(rest);
    const auto factor = factor_of(size_units, rest);
    if (!factor) return wanted();
    const auto bytes = product(*number, *factor, std::numeric_limits<std::int64_t>::max());
    if (!bytes) return Unexpected{"`" + std::string{text} + "` is too large for a size"};
    return *bytes;
}

std::string print_size(std::uint64_t bytes) { return bytes == 0 ? "0B" : print(size_units, bytes); }

Result<std::chrono::milliseconds, std::string> parse_time(std::string_view text) {
    const auto expected = [&](std::string_view why) {
        return Unexpected{"`" + std::string{text} + "` " + std::string{why} +
                          "; expected a time such as 500ms, 25s, 10m, 2h"};
    };
    // Times are added to clocks that count nanoseconds in 63 bits: 292 years. The limit of 100 years is safe.
    constexpr std::uint64_t limit = std::uint64_t{36'525} * 86'400'000;
    if (text == "0") return std::chrono::milliseconds{0};
    std::string_view rest = text;
    std::uint64_t sum = 0;
    do {
        const auto number = take_number(rest);
        if (!number) return expected("is not a time");
        skip_blanks(rest);
        const auto letters = take_letters(rest);
        if (letters.empty()) return expected("has no unit");
        const auto factor = factor_of(time_units, letters);
        if (!factor) return expected("has an unknown unit");
        const auto part = product(*number, *factor, limit - sum);
        if (!part) return expected("is longer than 100 years");
        sum += *part;
        skip_blanks(rest);
    } while (!rest.empty());
    return std::chrono::milliseconds{static_cast<std::int64_t>(sum)};
}

std::string print_time(std::chrono::milliseconds time) {
    if (time.count() == 0) return "0s";
    return print(time_units, static_cast<std::uint64_t>(time.count()));
}

}  // namespace wsd
