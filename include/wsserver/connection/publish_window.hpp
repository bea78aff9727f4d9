// Decides when a connection that broadcasts must wait for its receivers. A value: it has no connection and no hub.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace wsserver {

/// A receiver that takes the high mark in more than this many times close_timeout is closed.
inline constexpr int slowest_receiver = 16;

/// Some broadcasts must be acknowledged, when all receivers have caught up. While two acknowledgements are due, or
/// that of a large broadcast, the sender must wait.
class PublishWindow {
   public:
    /// A message of `bytes` is about to be broadcast. About every `step` bytes, one must be acknowledged: then the
    /// result is true.
    bool add(std::size_t bytes, std::size_t step) noexcept {
        bytes_ += bytes;
        if (bytes_ < step) return false;
        must_wait_ = must_wait_ || due_ > 0 || bytes_ / 2 >= step;
        bytes_ = 0;
        ++due_;
        return true;
    }
    /// True if the sender must wait.
    bool must_wait() const noexcept { return must_wait_; }
    /// A broadcast is acknowledged. Returns true if the sender need not wait any more.
    bool acknowledge() noexcept {
        if (due_ > 0) --due_;
        return due_ == 0 && std::exchange(must_wait_, false);
    }

   private:
    std::size_t bytes_ = 0;  ///< since the last one that must be acknowledged
    std::uint32_t due_ = 0;  ///< acknowledgements
    bool must_wait_ = false;
};

}  // namespace wsserver
