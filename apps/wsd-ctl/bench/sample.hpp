// The payloads of a load: all different, and cheap to make and to check.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "wsserver/base/bytes.hpp"

namespace wsd::ctl::bench {

/// All payloads have the same bytes, except for the first eight (or fewer in a shorter payload), which are a counter.
class Sample {
   public:
    /// `size`: bytes. Text is ASCII, which a server must check; `binary` has any bytes.
    Sample(std::size_t size, bool binary);

    std::size_t size() const noexcept { return bytes_.size(); }
    /// The payload of message `number`, valid until the next call.
    wsserver::Bytes payload(std::uint64_t number) noexcept;
    /// True if `received` is the payload of message `number`, up to the last byte.
    bool is_payload(wsserver::Bytes received, std::uint64_t number) const noexcept;

   private:
    using Stamp = std::array<char, 8>;
    static Stamp stamp_of(std::uint64_t number) noexcept;

    std::string bytes_;
    std::size_t stamped_;  ///< bytes that are a counter
};

}  // namespace wsd::ctl::bench
