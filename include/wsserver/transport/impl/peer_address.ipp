// Packs an IPv4 address with its port into a word, and back.
#pragma once

#include "wsserver/transport/peer_address.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <system_error>

namespace wsserver {

namespace {

/// Removes a number from the front of `text`. Nothing if it is over `max` or has a leading zero: only the form that
/// to_string() writes is accepted.
std::optional<std::uint32_t> take_number(std::string_view& text, std::uint32_t max) noexcept {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const auto size = static_cast<std::size_t>(end - text.data());
    if (error != std::errc{} || number > max || (text[0] == '0' && size > 1)) return std::nullopt;
    text.remove_prefix(size);
    return number;
}

constexpr int address_shift = 32;
constexpr int port_shift = 16;

std::string ipv4_text(std::uint64_t word) {
    std::string text;
    for (int shift = address_shift + 24; shift >= address_shift; shift -= 8) {
        text += std::to_string((word >> shift) & 0xFF);
        text += shift > address_shift ? '.' : ':';
    }
    return text += std::to_string((word >> port_shift) & 0xFFFF);
}

/// The reverse of ipv4_text(). Nothing if `text` has another form.
std::optional<std::uint64_t> ipv4_word(std::string_view text) noexcept {
    std::uint64_t address = 0;
    for (const char separator : {'.', '.', '.', ':'}) {
        const auto number = take_number(text, 0xFF);
        if (!number || !text.starts_with(separator)) return std::nullopt;
        text.remove_prefix(1);
        address = address << 8 | *number;
    }
    const auto port = take_number(text, std::numeric_limits<std::uint16_t>::max());
    if (!port || !text.empty()) return std::nullopt;
    return address << address_shift | std::uint64_t{*port} << port_shift;
}

}  // namespace

PeerAddress::PeerAddress(std::string_view text) {
    if (text.empty()) return;
    if (const auto word = ipv4_word(text)) {
        word_ = *word | ipv4_mark;
        return;
    }
    char* name = new char[text.size() + 1];
    *std::copy(text.begin(), text.end(), name) = '\0';
    word_ = reinterpret_cast<std::uintptr_t>(name);
}

PeerAddress::~PeerAddress() {
    if (!is_ipv4()) delete[] name();
}

std::string PeerAddress::text() const {
    if (word_ == 0) return {};
    return is_ipv4() ? ipv4_text(word_) : name();
}

}  // namespace wsserver
