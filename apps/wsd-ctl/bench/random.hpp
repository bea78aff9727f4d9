// Fast random numbers for a load.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <random>

#include "wsserver/protocol/protocol.hpp"

namespace wsd::ctl::bench {

/// RFC 6455 §10.3 requires masking keys that the author of the payload cannot predict. Here this program is the author,
/// so a fast generator (splitmix64) with a random seed is enough.
class Random final : public wsserver::MaskingKeySource {
   public:
    wsserver::MaskingKey next_key() noexcept override {
        wsserver::MaskingKey key;
        const std::uint64_t number = next();
        std::memcpy(key.data(), &number, key.size());
        return key;
    }
    /// For Sec-WebSocket-Key.
    std::array<std::uint8_t, 16> nonce() noexcept {
        std::array<std::uint8_t, 16> nonce;
        const std::array<std::uint64_t, 2> numbers{next(), next()};
        std::memcpy(nonce.data(), numbers.data(), nonce.size());
        return nonce;
    }

   private:
    std::uint64_t next() noexcept {
        std::uint64_t mixed = state_ += 0x9E37'79B9'7F4A'7C15;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58'476D'1CE4'E5B9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D0'49BB'1331'11EB;
        return mixed ^ (mixed >> 31);
    }

    std::uint64_t state_ = (std::uint64_t{std::random_device{}()} << 32) ^ std::random_device{}();
};

}  // namespace wsd::ctl::bench
