// Decodes the chunked coding of a response's body.
#pragma once

#include "wsserver/handshake/detail/chunked_body.hpp"

#include <algorithm>
#include <limits>

namespace wsserver {

void ChunkedBody::take(Bytes bytes, std::string& body, std::size_t max) {
    auto rest = text_of(bytes);
    while (!rest.empty() && !ended()) {
        if (state_ == State::data) {
            const auto part = rest.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, rest.size())));
            body += part.substr(0, max - std::min(max, body.size()));
            left_ -= part.size();
            rest.remove_prefix(part.size());
            if (left_ == 0) state_ = State::data_end;
            continue;
        }
        const char c = rest.front();
        rest.remove_prefix(1);
        if (c == '\n') {
            state_ == State::data_end ? void(state_ = State::size) : end_size_line();
        } else if (state_ == State::size) {
            take_size_digit(c);
        } else if (state_ == State::data_end && c != '\r') {
            state_ = State::ended;
        }
    }
}

void ChunkedBody::take_size_digit(char c) noexcept {
    const auto digit = std::string_view{"0123456789abcdef0123456789ABCDEF"}.find(c);
    if (digit == std::string_view::npos) {
        state_ = any_digit_ ? State::extension : State::ended;
    } else if (left_ > std::numeric_limits<std::uint64_t>::max() / 16) {
        state_ = State::ended;
    } else {
        left_ = left_ * 16 + digit % 16;
        any_digit_ = true;
    }
}

void ChunkedBody::end_size_line() noexcept {
    state_ = any_digit_ && left_ > 0 ? State::data : State::ended;
    any_digit_ = false;
}

}  // namespace wsserver
