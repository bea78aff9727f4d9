#pragma once

#include "wsserver/connection/http_date.hpp"

#include <algorithm>

namespace wsserver {

namespace {

/// Writes the last `digits` digits of `number` at `place`.
void write_digits(char* place, unsigned digits, unsigned number) noexcept {
    for (char* digit = place + digits; digit != place; number /= 10) *--digit = static_cast<char>('0' + number % 10);
}

/// Not strftime(), whose names depend on the locale.
void write_date(std::array<char, 29>& text, std::chrono::sys_seconds time) noexcept {
    constexpr std::string_view days = "SunMonTueWedThuFriSat";
    constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    constexpr std::string_view form = "www, dd mmm yyyy hh:mm:ss GMT";
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss clock{time - day};
    std::ranges::copy(form, text.begin());
    std::ranges::copy(days.substr(3 * std::chrono::weekday{day}.c_encoding(), 3), text.begin());
    write_digits(&text[5], 2, static_cast<unsigned>(date.day()));
    std::ranges::copy(months.substr(3 * (static_cast<unsigned>(date.month()) - 1), 3), text.begin() + 8);
    write_digits(&text[12], 4, static_cast<unsigned>(static_cast<int>(date.year())));
    write_digits(&text[17], 2, static_cast<unsigned>(clock.hours().count()));
    write_digits(&text[20], 2, static_cast<unsigned>(clock.minutes().count()));
    write_digits(&text[23], 2, static_cast<unsigned>(clock.seconds().count()));
}

}  // namespace

std::string http_date(std::chrono::sys_seconds time) { return std::string{DateField{}.at(time)}; }

std::string_view DateField::at(std::chrono::sys_seconds now) noexcept {
    if (now != written_) {
        write_date(text_, now);
        written_ = now;
    }
    return {text_.data(), text_.size()};
}

}  // namespace wsserver
