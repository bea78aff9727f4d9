// Copies the pieces that have no owner, and counts what has been sent.
#pragma once

#include "wsserver/transport/detail/send_batch.hpp"

#include <cstring>

namespace wsserver::detail {

SendBatch::SendBatch(std::span<const SendPiece> pieces, std::size_t done) {
    while (done >= pieces.front().bytes.size()) {
        done -= pieces.front().bytes.size();
        pieces = pieces.subspan(1);
    }
    pieces_.assign(pieces.begin(), pieces.end());
    pieces_.front().bytes = pieces_.front().bytes.subspan(done);

    std::size_t size = 0;
    for (const SendPiece& piece : pieces_) size += piece.owner ? 0 : piece.bytes.size();
    if (size == 0) return;
    copied_.reset(new std::uint8_t[size]);
    std::uint8_t* to = copied_.get();
    for (SendPiece& piece : pieces_) {
        if (piece.owner || piece.bytes.empty()) continue;
        std::memcpy(to, piece.bytes.data(), piece.bytes.size());
        piece.bytes = {to, piece.bytes.size()};
        to += piece.bytes.size();
    }
}

void SendBatch::advance(std::size_t count) noexcept {
    while (next_ < pieces_.size() && count >= pieces_[next_].bytes.size()) {
        count -= pieces_[next_].bytes.size();
        pieces_[next_++].owner.reset();
    }
    if (next_ < pieces_.size()) pieces_[next_].bytes = pieces_[next_].bytes.subspan(count);
}

}  // namespace wsserver::detail
