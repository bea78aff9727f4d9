// The parts of the opening handshake that both roles share: reading a header, and Sec-WebSocket-Accept.
#pragma once

#include "wsserver/handshake/handshake.hpp"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cassert>
#include <cstring>

namespace wsserver {
namespace detail {

namespace {

/// The number of bytes at the front of `bytes` that step() would pass over within a line. May be too few.
std::size_t plain_bytes(Bytes bytes) noexcept {
    const auto* const cr = static_cast<const std::uint8_t*>(std::memchr(bytes.data(), '\r', bytes.size()));
    if (cr != nullptr) bytes = bytes.first(static_cast<std::size_t>(cr - bytes.data()));
    unsigned controls = 0;  // without a way out of the loop, the compiler checks many bytes at once
    for (const std::uint8_t byte : bytes) controls |= static_cast<unsigned>(byte < 0x20 || byte == 0x7F);
    return controls == 0 ? bytes.size() : 0;
}

}  // namespace

std::size_t HeadReader::take(Bytes bytes) {
    const Bytes allowed = bytes.first(std::min(bytes.size(), limits_.max_header - before_ - head_.size()));
    std::size_t taken = 0;
    while (taken < allowed.size() && state_ == State::reading) {
        const std::size_t plain = place_ == Place::in_line ? plain_bytes(allowed.subspan(taken)) : 0;
        plain > 0 ? static_cast<void>(taken += plain) : step(allowed[taken++]);
    }
    head_ += text_of(bytes.first(taken));
    if (state_ == State::reading && taken < bytes.size()) state_ = State::too_large;
    return taken;
}

// Stricter than the parser, which reads the complete header later. Fails at the first invalid byte: otherwise a client
// that sends bare LFs would get no response before the handshake times out. Repairs nothing: bytes that two readers can
// understand in different ways allow request smuggling (RFC 9112 §11.2).
void HeadReader::step(std::uint8_t byte) noexcept {
    switch (place_) {
        case Place::after_cr:
            return byte == '\n' ? end_line() : fail("CR without LF");
        case Place::after_last_cr:
            if (byte != '\n') return fail("CR without LF");
            if (lines_ > 0) {
                state_ = State::complete;
            } else {
                place_ = Place::line_start;  // an empty line before the first one: the reader of the header decides
            }
            return;
        case Place::line_start:
            if (byte == '\r') {
                place_ = Place::after_last_cr;
                return;
            }
            // RFC 9112 §5.2: a server "MUST either reject the message [...] or replace each received obs-fold".
            if (byte == ' ' || byte == '\t') return fail("a line begins with a space");
            if (lines_ > limits_.max_fields) {
                state_ = State::too_many_fields;
                return;
            }
            place_ = Place::in_line;
            [[fallthrough]];
        case Place::in_line:
            if (byte == '\r') {
                place_ = Place::after_cr;
            } else if (byte == '\n') {
                fail("LF without CR");
            } else if ((byte < 0x20 && byte != '\t') || byte == 0x7F) {
                fail("a control character");
            }
            return;
    }
}

void HeadReader::fail(std::string_view why) noexcept {
    state_ = State::malformed;
    error_text_ = why;
}

void HeadReader::end_line() noexcept {
    ++lines_;
    place_ = Place::line_start;
}

void HeadReader::restart() noexcept {
    before_ += head_.size();
    head_.clear();
    lines_ = 0;
    state_ = State::reading;
    place_ = Place::line_start;
}

void HeadReader::begin_again(std::size_t kept) noexcept {
    restart();
    before_ = 0;
    if (head_.capacity() > kept) std::string{}.swap(head_);
}

}  // namespace detail

std::string sec_websocket_accept(std::string_view key) {
    std::string text{key};
    text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455 §1.3
    std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
    SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
    std::array<unsigned char, 4 * ((SHA_DIGEST_LENGTH + 2) / 3) + 1> base64{};  // and a final NUL
    const int length = EVP_EncodeBlock(base64.data(), digest.data(), SHA_DIGEST_LENGTH);
    return {reinterpret_cast<const char*>(base64.data()), static_cast<std::size_t>(length)};
}

}  // namespace wsserver
