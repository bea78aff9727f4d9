// Copies the pieces that have no owner, and counts what has been sent.
#pragma once

#include "wsserver/transport/detail/send_batch.hpp"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

namespace wsserver::detail {

namespace {

// Of the struct tcp_info in <linux/tcp.h>, which cannot be included together with <netinet/tcp.h>.
constexpr int tcp_info_option = 11;  // TCP_INFO
constexpr std::size_t offset_of_bytes_acked = 120;

}  // namespace

std::uint64_t unsent_on(int socket, std::uint64_t passed, std::size_t in_flight) noexcept {
    std::array<std::uint8_t, offset_of_bytes_acked + sizeof(std::uint64_t)> info;
    socklen_t size = sizeof info;
    if (::getsockopt(socket, IPPROTO_TCP, tcp_info_option, info.data(), &size) == 0 && size == sizeof info) {
        std::uint64_t acknowledged = 0;
        std::memcpy(&acknowledged, info.data() + offset_of_bytes_acked, sizeof acknowledged);
        return passed > acknowledged ? passed - acknowledged : 0;
    }
    int in_kernel = 0;
    if (::ioctl(socket, SIOCOUTQ, &in_kernel) != 0) in_kernel = 0;
    return in_flight + static_cast<std::uint64_t>(in_kernel);
}

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

std::size_t SendBatch::size() const noexcept {
    std::size_t size = 0;
    for (const SendPiece& piece : rest()) size += piece.bytes.size();
    return size;
}

void SendBatch::advance(std::size_t count) noexcept {
    while (next_ < pieces_.size() && count >= pieces_[next_].bytes.size()) {
        count -= pieces_[next_].bytes.size();
        pieces_[next_++].owner.reset();
    }
    if (next_ < pieces_.size()) pieces_[next_].bytes = pieces_[next_].bytes.subspan(count);
}

}  // namespace wsserver::detail
