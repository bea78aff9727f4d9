#pragma once

#include "wsserver/connection/connection_info.hpp"

#include <charconv>
#include <ostream>

namespace wsserver {

std::string_view to_string(SendStatus status) noexcept {
    switch (status) {
        case SendStatus::queued:
            return "queued";
        case SendStatus::dropped:
            return "dropped";
        case SendStatus::closed:
            return "closed";
        case SendStatus::refused:
            return "refused";
    }
    return "unknown";
}

std::ostream& operator<<(std::ostream& out, SendStatus status) { return out << to_string(status); }

std::ostream& operator<<(std::ostream& out, ConnectionId id) { return out << to_string(id); }

std::string to_string(ConnectionId id) {
    return std::to_string(id.reactor) + '-' + std::to_string(id.slot) + '-' + std::to_string(id.generation);
}

namespace {

/// Takes a number from the front of `text`. False if there is none, or if it does not fit.
template <class Number>
bool take_id_number(std::string_view& text, Number& number) noexcept {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return true;
}

bool take_dash(std::string_view& text) noexcept {
    if (!text.starts_with('-')) return false;
    text.remove_prefix(1);
    return true;
}

}  // namespace

std::optional<ConnectionId> parse_connection_id(std::string_view text) noexcept {
    ConnectionId id;
    const bool whole = take_id_number(text, id.reactor) && take_dash(text) && take_id_number(text, id.slot) &&
                       take_dash(text) && take_id_number(text, id.generation) && text.empty();
    if (!whole || id.generation == 0) return std::nullopt;
    return id;
}

}  // namespace wsserver
