// Is it UTF-8? Asked piece by piece, answered at the first byte that can't be (RFC 6455 §8.1, RFC 3629 §4).
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

// An automaton whose states are shift counts: an byte's row holds the next state of every state, six bits each.
// So a step is one load, which waits for nothing, and one shift: the chain from byte to byte is two instructions.
namespace utf8 {

using State = std::uint8_t;

inline constexpr State accept = 0;   // between two characters
inline constexpr State need_1 = 6;   // one byte 80..BF more
inline constexpr State need_2 = 12;  // two of them
inline constexpr State need_3 = 18;
inline constexpr State after_e0 = 24;  // A0..BF, else the form is overlong; then one more
inline constexpr State after_ed = 30;  // 80..9F, else it is a surrogate; then one more
inline constexpr State after_f0 = 36;  // 90..BF, else the form is overlong; then two more
inline constexpr State after_f4 = 42;  // 80..8F, else it is over U+10FFFF; then two more
inline constexpr State reject = 48;    // for ever

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

/// The state is in the lowest six bits of the result; the rest is left in place, as a shift looks at six only.
inline std::uint64_t step(std::uint64_t row, std::uint8_t byte) noexcept { return rows[byte] >> (row & 63); }

inline State run(State state, const std::uint8_t* at, const std::uint8_t* end) noexcept {
    std::uint64_t row = state;
    for (; at != end; ++at) row = step(row, *at);
    return static_cast<State>(row & 63);
}

/// To the first word (of eight bytes) that isn't all ASCII, or to the last bytes, fewer than a word.
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

/// The same as run() for lanes * lane_size bytes: as many automata run side by side, each from the beginning of a
/// character, so that the processor needn't wait for one step to begin the next.
inline State run_lanes(State state, const std::uint8_t* at) noexcept {
    std::array<const std::uint8_t*, lanes + 1> border;
    border.front() = at;
    border.back() = at + lanes * lane_size;
    for (std::size_t i = 1; i < lanes; ++i) {
        border[i] = at + i * lane_size;
        // No character has four of these: give up here rather than look further back.
        for (int back = 0; (*border[i] & 0xC0) == 0x80; ++back, --border[i]) {
            if (back == 3) return reject;
        }
    }
    std::array<std::uint64_t, lanes> row{state};
    for (std::size_t i = 0; i < lane_size - 3; ++i) {  // the shortest that a lane can be
        for (std::size_t lane = 0; lane < lanes; ++lane) row[lane] = step(row[lane], border[lane][i]);
    }
    for (std::size_t lane = 0; lane < lanes; ++lane) {
        state = run(static_cast<State>(row[lane] & 63), border[lane] + lane_size - 3, border[lane + 1]);
        // A lane that isn't the last ends where a character begins.
        if (state != accept && lane + 1 < lanes) return reject;
    }
    return state;
}

/// The state behind `text`, as well as it goes without knowing the processor.
inline State advance(State state, Bytes text) noexcept {
    constexpr std::size_t short_stretch = 32;
    const std::uint8_t* at = text.data();
    const std::uint8_t* const end = at + text.size();
    while (at != end) {
        if (state == accept) {
            at = skip_ascii(at, end);
            if (at == end) break;
        }
        // Checked a stretch at a time: a long bad text is given up soon, and a good one not asked at every byte.
        const auto left = static_cast<std::size_t>(end - at);
        const bool long_stretch = left >= lanes * lane_size;
        const std::size_t stretch = long_stretch ? lanes * lane_size : std::min(left, short_stretch);
        state = long_stretch ? run_lanes(state, at) : run(state, at, at + stretch);
        if (state == reject) break;
        at += stretch;
    }
    return state;
}

/// How many bytes at the end may begin a character that goes on behind it. Precondition: `text` has three.
inline std::size_t cut_character(Bytes text) noexcept {
    const std::uint8_t* const end = text.data() + text.size();
    return end[-1] >= 0xC0 ? 1 : end[-2] >= 0xE0 ? 2 : end[-3] >= 0xF0 ? 3 : 0;
}

/// The same as advance(), with a kernel for all but the characters that are cut. Precondition: six bytes.
inline State advance_wide(State state, Bytes text) noexcept {
    std::size_t begun = 0;
    while (state != accept && begun < 3) state = step(state, text[begun++]) & 63;
    if (state != accept) return reject;
    const std::size_t cut = cut_character(text);
    const Bytes whole = text.subspan(begun, text.size() - begun - cut);
    if (!valid_utf8_wide(whole.data(), whole.size())) return reject;
    return run(accept, text.data() + text.size() - cut, text.data() + text.size());
}

/// From here on it pays to call a kernel.
inline constexpr std::size_t wide_from = 64;

}  // namespace utf8
}  // namespace detail

/// Checks a text that arrives in pieces, cut anywhere. One byte of state; a fresh one stands at the beginning.
class Utf8Validator {
   public:
    /// Takes the next piece. False as soon as no further bytes could make the text valid, and from then on always.
    bool append(Bytes piece) noexcept {
        state_ = piece.size() >= detail::utf8::wide_from ? detail::utf8::advance_wide(state_, piece)
                                                         : detail::utf8::advance(state_, piece);
        return state_ != detail::utf8::reject;
    }

    /// The text so far is valid and ends with a whole character.
    bool complete() const noexcept { return state_ == detail::utf8::accept; }

   private:
    detail::utf8::State state_ = detail::utf8::accept;
};

inline bool is_valid_utf8(Bytes text) noexcept {
    Utf8Validator validator;
    return validator.append(text) && validator.complete();
}

}  // namespace wsserver
