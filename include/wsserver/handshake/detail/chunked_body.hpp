// Decodes the body of a chunked HTTP response, whose length is not in its header (RFC 9112 §7.1).
#pragma once

#include <cstdint>
#include <string>

#include "wsserver/base/bytes.hpp"

namespace wsserver {

/// Decodes the chunked coding byte by byte. Stops before trailer fields, which an error page does not need.
class ChunkedBody {
   public:
    /// Decodes `bytes` and appends them to `body`, until `body` has `max` bytes.
    void take(Bytes bytes, std::string& body, std::size_t max);
    /// Whether the last chunk was received, or bytes that are not a valid chunk.
    bool ended() const noexcept { return state_ == State::ended; }

   private:
    enum class State : std::uint8_t { size, extension, data, data_end, ended };

    void take_size_digit(char c) noexcept;
    void end_size_line() noexcept;

    State state_ = State::size;
    bool any_digit_ = false;
    std::uint64_t left_ = 0;  // remaining bytes of this chunk
};

}  // namespace wsserver
