// Keeps the bytes of sends in memory and prepares the requests.
#pragma once

#include "wsserver/transport/detail/uring/send.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

namespace wsserver::detail {

namespace {

// With MSG_WAITALL the kernel continues until all bytes are sent. A short send is rare: it was cancelled, or the peer
// is gone.
constexpr int send_flags = MSG_NOSIGNAL | MSG_WAITALL;

/// The kernel counts the bytes of a request in 32 bits, and the result is signed.
constexpr std::size_t most_at_once = std::size_t{1} << 30;

}  // namespace

// --- SendMemory ---

SendMemory::Place SendMemory::keep(Bytes bytes, OutputBuffer& output) {
    const Bytes all = std::as_const(output).bytes();
    if (bytes.size() > copied_size && bytes.data() == all.data() && bytes.size() == all.size()) {
        Chunk& chunk = fresh_chunk();
        chunk.memory = output.exchange_memory({});
        chunk.sends = 1;
        return {bytes, &chunk};
    }
    if (filling_ == nullptr || filling_->memory.capacity() - filling_->used < bytes.size()) begin_chunk(bytes.size());
    std::uint8_t* const to = filling_->memory.data() + filling_->used;
    std::memcpy(to, bytes.data(), bytes.size());
    filling_->used += bytes.size();
    ++filling_->sends;
    return {{to, bytes.size()}, filling_};
}

bool SendMemory::extend(Place& place, Bytes bytes) noexcept {
    if (place.chunk == nullptr || place.chunk != filling_) return false;
    std::uint8_t* const end = filling_->memory.data() + filling_->used;
    if (place.bytes.data() + place.bytes.size() != end) return false;  // the bytes of another send follow
    if (filling_->memory.capacity() - filling_->used < bytes.size()) return false;
    std::memcpy(end, bytes.data(), bytes.size());
    filling_->used += bytes.size();
    place.bytes = {place.bytes.data(), place.bytes.size() + bytes.size()};
    return true;
}

void SendMemory::release(Chunk& chunk) noexcept {
    if (--chunk.sends > 0) return;
    chunk.used = 0;
    if (&chunk == filling_) return;  // filled again from its start, which is still in a cache
    chunk.memory = {};
    unused_.push_back(&chunk);
}

SendMemory::Chunk& SendMemory::fresh_chunk() {
    if (unused_.empty()) {
        unused_.reserve(all_.size() + 1);  // so that release() never allocates
        all_.push_back(std::make_unique<Chunk>());
        return *all_.back();
    }
    Chunk& chunk = *unused_.back();
    unused_.pop_back();
    return chunk;
}

void SendMemory::begin_chunk(std::size_t at_least) {
    if (filling_ != nullptr && filling_->sends == 0) {
        ++filling_->sends;
        release(*std::exchange(filling_, nullptr));
    }
    PooledBuffer memory{std::max(at_least, chunk_size)};
    Chunk& chunk = fresh_chunk();
    chunk.memory = std::move(memory);
    chunk.used = 0;
    filling_ = &chunk;
}

// --- UringSends ---

/// Allocates a request if there is no spare one, before anything else of a send is allocated.
void UringSends::prepare_spare() {
    if (spare_ != nullptr) return;
    all_.push_back(std::make_unique<UringSend>());
    spare_ = all_.back().get();
}

UringSend& UringSends::take_spare(UringStream& stream) noexcept {
    UringSend& send = *spare_;
    spare_ = std::exchange(send.next_spare, nullptr);
    send.stream = &stream;
    return send;
}

UringSend& UringSends::begin(UringStream& stream, int socket, std::span<const SendPiece> pieces) {
    if (pieces.size() != 1) {
        return begin(stream, socket, std::make_unique<UringSend::Gathered>(SendBatch{pieces, 0}));
    }
    prepare_spare();
    const SendPiece& piece = pieces.front();
    const auto place = piece.owner ? SendMemory::Place{piece.bytes, nullptr} : memory_.keep(piece.bytes, output_);
    UringSend& send = take_spare(stream);
    send.owner = piece.owner;
    send.place = place;
    prepare(send, socket);
    return send;
}

UringSend& UringSends::begin(UringStream& stream, int socket, std::unique_ptr<UringSend::Gathered> gathered) {
    prepare_spare();
    UringSend& send = take_spare(stream);
    send.gathered = std::move(gathered);
    prepare(send, socket);
    return send;
}

void UringSends::prepare(UringSend& send, int socket) {
    io_uring_sqe& sqe = ring_.sqe(UringEvent::sent, &send);
    if (send.gathered) {
        auto& [batch, parts, message] = *send.gathered;
        std::size_t used = 0;
        for (const SendPiece& piece : batch.rest()) {
            if (used == parts.size()) break;
            parts[used++] = {const_cast<std::uint8_t*>(piece.bytes.data()), piece.bytes.size()};
        }
        message.msg_iov = parts.data();
        message.msg_iovlen = used;
        io_uring_prep_sendmsg(&sqe, socket, &message, send_flags);
    } else {
        io_uring_prep_send(&sqe, socket, send.place.bytes.data(), std::min(send.place.bytes.size(), most_at_once),
                           send_flags);
    }
    send.sqe = &sqe;
    send.prepared_at = ring_.submissions();
}

bool UringSends::extend(UringSend& send, std::span<const SendPiece> pieces) noexcept {
    if (send.prepared_at != ring_.submissions() || pieces.size() != 1 || pieces.front().owner) return false;
    if (!memory_.extend(send.place, pieces.front().bytes)) return false;
    send.sqe->len = static_cast<std::uint32_t>(send.place.bytes.size());
    return true;
}

bool UringSends::advance(UringSend& send, int socket, std::size_t count) {
    if (send.gathered) {
        send.gathered->batch.advance(count);
        if (send.gathered->batch.empty()) return true;
    } else {
        send.place.bytes = send.place.bytes.subspan(count);
        if (send.place.bytes.empty()) return true;
    }
    prepare(send, socket);
    return false;
}

void UringSends::end(UringSend& send) noexcept {
    if (send.place.chunk != nullptr) memory_.release(*send.place.chunk);
    send.place = {};
    send.owner.reset();
    send.gathered.reset();
    send.next.reset();
    send.next_spare = std::exchange(spare_, &send);
}

}  // namespace wsserver::detail
