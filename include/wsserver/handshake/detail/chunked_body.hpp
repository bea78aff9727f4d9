// The payload of an HTTP answer whose length nobody knew beforehand (RFC 9112 §7.1).
#pragma once

#include <cstdint>
#include <string>

#include "wsserver/base/bytes.hpp"

namespace wsserver {

/// Takes the chunked coding off, byte by byte. Trailers end it unread: who reads an error page needs none.
class ChunkedBody {
   public:
    /// Appends what is payload to `body`, up to `max` bytes altogether.
    void take(Bytes bytes, std::string& body, std::size_t max);
    /// The last chunk has come, or something that is no chunk.
    bool ended() const noexcept { return state_ == State::ended; }

   private:
    enum class State : std::uint8_t { size, extension, data, data_end, ended };

    void take_size_digit(char c) noexcept;
    void end_size_line() noexcept;

    State state_ = State::size;
    bool any_digit_ = false;
    std::uint64_t left_ = 0;  // bytes of this chunk
};

}  // namespace wsserver
