// Validates UTF-8 that arrives in pieces, and fails at the first invalid byte (RFC 6455 §8.1, RFC 3629 §4).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/kernels.hpp"

namespace wsserver {

namespace detail {

// An automaton whose states are shift counts. The row of a byte holds the next state for each state, six bits each.
// A step is one load, which does not depend on the previous step, and one shift. So the chain of dependencies has two
// instructions per byte.
namespace utf8 {

using State = std::uint8_t;

inline constexpr State accept = 0;   // between two characters
inline constexpr State need_1 = 6;   // needs one byte 80..BF
inline constexpr State need_2 = 12;  // needs two bytes 80..BF
inline constexpr State need_3 = 18;
inline constexpr State after_e0 = 24;  // needs A0..BF, otherwise the form is overlong; then one byte
inline constexpr State after_ed = 30;  // needs 80..9F, otherwise it is a surrogate; then one byte
inline constexpr State after_f0 = 36;  // needs 90..BF, otherwise the form is overlong; then two bytes
inline constexpr State after_f4 = 42;  // needs 80..8F, otherwise it is over U+10FFFF; then two bytes
inline constexpr State reject = 48;    // forever

constexpr State lead(std::uint8_t byte) {
    if (byte < 0x80) return accept;
    if (byte < 0xC2) return reject;  // a continuation, or the lead of an overlong form
    if (byte < 0xE0) return need_1;
    if (byte == 0xE0) return after_e0;
    if (byte == 0xED) return after_ed;
    if (byte < 0xF0) return need_2;
    if (byte == 0xF0) return after_f0;
    if (byte < 0xF4) return need_3;
    return byte == 0xF4 ? after_f4 : reject;
}

constexpr State next(State state, std::uint8_t byte) {
    const auto within = [byte](std::uint8_t low, std::uint8_t high, State then) {
        return byte >= low && byte <= high ? then : reject;
    };
    switch (state) {
        case accept:
            return lead(byte);
        case need_1:
            return within(0x80, 0xBF, accept);
        case need_2:
            return within(0x80, 0xBF, need_1);
        case need_3:
            return within(0x80, 0xBF, need_2);
        case after_e0:
            return within(0xA0, 0xBF, need_1);
        case after_ed:
            return within(0x80, 0x9F, need_1);
        case after_f0:
            return within(0x90, 0xBF, need_2);
        case after_f4:
            return within(0x80, 0x8F, need_2);
        default:
            return reject;
    }
}

constexpr std::array<std::uint64_t, 256> make_rows() {
    std::array<std::uint64_t, 256> rows{};
    for (unsigned byte = 0; byte < 256; ++byte) {
        for (State state = accept; state <= reject; state += 6) {
            rows[byte] |= std::uint64_t{next(state, static_cast<std::uint8_t>(byte))} << state;
        }
    }
    return rows;
}

inline constexpr std::array<std::uint64_t, 256> rows = make_rows();

/// The lowest six bits of the result are the state. The other bits stay, as a shift uses only six bits of its count.
inline std::uint64_t step(std::uint64_t row, std::uint8_t byte) noexcept { return rows[byte] >> (row & 63); }

inline State run(State state, const std::uint8_t* at, const std::uint8_t* end) noexcept {
    std::uint64_t row = state;
    for (; at != end; ++at) row = step(row, *at);
    return static_cast<State>(row & 63);
}

/// Returns the first word (of eight bytes) that is not all ASCII, or the last bytes, if these are less than a word.
inline const std::uint8_t* skip_ascii(const std::uint8_t* at, const std::uint8_t* end) noexcept {
    const auto words_are_ascii = [&]<std::size_t count>() {
        std::uint64_t words[count], all = 0;
        std::memcpy(words, at, sizeof words);
        for (const auto word : words) all |= word;
        return (all & 0x8080808080808080) == 0;
    };
    while (end - at >= 32 && words_are_ascii.template operator()<4>()) at += 32;
    while (end - at >= 8 && words_are_ascii.template operator()<1>()) at += 8;
    return at;
}

inline constexpr std::size_t lanes = 4;
inline constexpr std::size_t lane_size = 64;

/// Same as run() for lanes * lane_size bytes. Runs `lanes` automata in parallel, each from the beginning of a
/// character, so that the processor can execute their steps at the same time.
inline State run_lanes(State state, const std::uint8_t* at) noexcept {
    std::array<const std::uint8_t*, lanes + 1> border;
    border.front() = at;
    border.back() = at + lanes * lane_size;
    for (std::size_t i = 1; i < lanes; ++i) {
        border[i] = at + i * lane_size;
        // A character has at most three continuations, so a fourth is invalid. Do not search further back.
        for (int back = 0; (*border[i] & 0xC0) == 0x80; ++back, --border[i]) {
            if (back == 3) return reject;
        }
    }
    std::array<std::uint64_t, lanes> row{state};
    for (std::size_t i = 0; i < lane_size - 3; ++i) {  // the shortest lane
        for (std::size_t lane = 0; lane < lanes; ++lane) row[lane] = step(row[lane], border[lane][i]);
    }
    for (std::size_t lane = 0; lane < lanes; ++lane) {
        state = run(static_cast<State>(row[lane] & 63), border[lane] + lane_size - 3, border[lane + 1]);
        // Each lane but the last must end between two characters.
        if (state != accept && lane + 1 < lanes) return reject;
    }
    return state;
}

/// The state after `text`. Works on any processor.
inline State advance(State state, Bytes text) noexcept {
    constexpr std::size_t short_stretch = 32;
    const std::uint8_t* at = text.data();
    const std::uint8_t* const end = at + text.size();
    while (at != end) {
        if (state == accept) {
            at = skip_ascii(at, end);
            if (at == end) break;
        }
        // Test for `reject` once for each stretch: a long invalid text fails early, and valid text is not tested at
        // each byte.
        const auto left = static_cast<std::size_t>(end - at);
        const bool long_stretch = left >= lanes * lane_size;
        const std::size_t stretch = long_stretch ? lanes * lane_size : std::min(left, short_stretch);
        state = long_stretch ? run_lanes(state, at) : run(state, at, at + stretch);
        if (state == reject) break;
        at += stretch;
    }
    return state;
}

/// The number of bytes at the end of `text` that may begin a character which continues after it.
/// Precondition: `text` has at least three bytes.
inline std::size_t incomplete_tail(Bytes text) noexcept {
    const std::uint8_t* const end = text.data() + text.size();
    return end[-1] >= 0xC0 ? 1 : end[-2] >= 0xE0 ? 2 : end[-3] >= 0xF0 ? 3 : 0;
}

/// Same as advance(), but a kernel checks everything except incomplete characters at the beginning and the end.
/// Precondition: `text` has at least six bytes.
inline State advance_wide(State state, Bytes text) noexcept {
    std::size_t begun = 0;
    while (state != accept && begun < 3) state = step(state, text[begun++]) & 63;
    if (state != accept) return reject;
    const std::size_t tail = incomplete_tail(text);
    const Bytes complete = text.subspan(begun, text.size() - begun - tail);
    if (!valid_utf8_wide(complete.data(), complete.size())) return reject;
    return run(accept, text.data() + text.size() - tail, text.data() + text.size());
}

/// The size in bytes from which on a kernel is faster than advance().
inline constexpr std::size_t wide_from = 64;

}  // namespace utf8
}  // namespace detail

/// Validates a text that arrives in pieces, cut anywhere. Its state is one byte. A new validator is at the beginning of
/// a text.
class Utf8Validator {
   public:
    /// Checks the next piece. Returns false once the text is invalid whatever follows, and at each later call.
    bool append(Bytes piece) noexcept {
        state_ = piece.size() >= detail::utf8::wide_from ? detail::utf8::advance_wide(state_, piece)
                                                         : detail::utf8::advance(state_, piece);
        return state_ != detail::utf8::reject;
    }

    /// Whether the text so far is valid and does not end within a character.
    bool complete() const noexcept { return state_ == detail::utf8::accept; }

   private:
    detail::utf8::State state_ = detail::utf8::accept;
};

/// Whether all of `text` is valid UTF-8. RFC 3629 §4
inline bool is_valid_utf8(Bytes text) noexcept {
    Utf8Validator validator;
    return validator.append(text) && validator.complete();
}

}  // namespace wsserver
