// What send() couldn't get rid of at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "wsserver/transport/transport.hpp"

namespace wsserver::detail {

class SendBatch {
   public:
    /// Takes `pieces` from byte `done` on, which must not be their end; copies those that have no owner.
    SendBatch(std::span<const SendPiece> pieces, std::size_t done);

    bool empty() const noexcept { return next_ == pieces_.size(); }
    std::span<const SendPiece> rest() const noexcept { return std::span{pieces_}.subspan(next_); }
    /// `count` bytes of the rest have left; what owned them is let go.
    void advance(std::size_t count) noexcept;

   private:
    std::vector<SendPiece> pieces_;
    std::size_t next_ = 0;
    std::unique_ptr<std::uint8_t[]> copied_;
};

}  // namespace wsserver::detail
