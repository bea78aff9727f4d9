// Decides how much is received from one peer in a second. A value: it has no clock, timer or network.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "wsserver/connection/limits.hpp"
#include "wsserver/scheduling/token_bucket.hpp"
#include "wsserver/transport/clock.hpp"

namespace wsserver {

/// What a peer may send, by ReceiveRates. Reading must pause if the peer has sent more.
class ReceivePace {
   public:
    /// How many messages and control frames may be handled now.
    std::uint32_t messages_allowed(const ReceiveRates& rates, Clock::time_point now) const noexcept {
        if (rates.messages == 0) return std::numeric_limits<std::uint32_t>::max();
        return messages_.tokens(narrowed(rates.messages), now);
    }
    /// How many of `bytes` may be handled at once: those of a second. So no pause is much longer, whatever a read
    /// brings.
    static std::size_t bytes_allowed(std::size_t bytes, const ReceiveRates& rates) noexcept {
        return rates.bytes == 0 ? bytes : std::min<std::size_t>(bytes, rates.bytes);
    }
    /// `messages`, control frames among them, and `bytes` were handled. More than allowed lengthens the next pause.
    void handled(std::size_t messages, std::size_t bytes, const ReceiveRates& rates, Clock::time_point now) noexcept {
        if (rates.messages != 0) messages_.take(narrowed(messages), narrowed(rates.messages), now);
        if (rates.bytes != 0) bytes_.take(narrowed(bytes), narrowed(rates.bytes), now);
    }
    /// Until when reading must pause; a past time if it need not.
    Clock::time_point paused_until(const ReceiveRates& rates) const noexcept {
        auto until = Clock::time_point::min();
        if (rates.messages != 0) until = std::max(until, messages_.ready_at(narrowed(rates.messages)));
        if (rates.bytes != 0) until = std::max(until, bytes_.ready_at(narrowed(rates.bytes)));
        return until;
    }

   private:
    static std::uint32_t narrowed(std::size_t count) noexcept {
        return static_cast<std::uint32_t>(std::min<std::size_t>(count, std::numeric_limits<std::uint32_t>::max()));
    }

    TokenBucket messages_;
    TokenBucket bytes_;
};

}  // namespace wsserver
