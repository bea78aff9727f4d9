// The bytes of a send that the kernel has not taken at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "wsserver/transport/transport.hpp"

namespace wsserver::detail {

/// Of `passed` bytes, those that the peer's system has not taken. For sockets that cannot tell (Unix), `in_flight` is
/// the number of bytes that the kernel has not taken from us.
std::uint64_t unsent_on(int socket, std::uint64_t passed, std::size_t in_flight) noexcept;

/// The pieces that are left of a send. Copies the pieces that have no owner, and shares the owners of the others.
class SendBatch {
   public:
    /// Keeps `pieces` from byte `done` on. Precondition: `done` is less than their size.
    SendBatch(std::span<const SendPiece> pieces, std::size_t done);

    bool empty() const noexcept { return next_ == pieces_.size(); }
    std::span<const SendPiece> rest() const noexcept { return std::span{pieces_}.subspan(next_); }
    /// The number of bytes in rest().
    std::size_t size() const noexcept;
    /// Removes `count` bytes from the front of the rest, and releases the owners of pieces that are complete.
    void advance(std::size_t count) noexcept;

   private:
    std::vector<SendPiece> pieces_;
    std::size_t next_ = 0;
    std::unique_ptr<std::uint8_t[]> copied_;
};

}  // namespace wsserver::detail
