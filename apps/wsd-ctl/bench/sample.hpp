// The payloads that are sent: each another one, and cheap to make and to recognise.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "wsserver/base/bytes.hpp"

namespace wsd::ctl::bench {

/// All payloads have the same bytes but for the first eight (as far as there are so many), which count.
class Sample {
   public:
    /// Text is ASCII, so that a server has something to check; `binary` any bytes.
    Sample(std::size_t size, bool binary);

    std::size_t size() const noexcept { return bytes_.size(); }
    /// The payload of that message, valid until the next call.
    wsserver::Bytes payload(std::uint64_t number) noexcept;
    /// Is it the payload of that message, to the last byte?
    bool is_payload(wsserver::Bytes received, std::uint64_t number) const noexcept;

   private:
    using Stamp = std::array<char, 8>;
    static Stamp stamp_of(std::uint64_t number) noexcept;

    std::string bytes_;
    std::size_t stamped_;  ///< bytes that count
};

}  // namespace wsd::ctl::bench
