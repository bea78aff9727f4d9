// The sends of a thread. The kernel reads their bytes in place, so the memory stays valid until a send completes.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "wsserver/base/output_buffer.hpp"
#include "wsserver/transport/detail/send_batch.hpp"
#include "wsserver/transport/detail/uring/ring.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver::detail {

class UringStream;

/// The memory of bytes that have no owner. Short ones are copied into a shared chunk; long ones stay where they were
/// encoded.
class SendMemory {
   public:
    struct Chunk {
        PooledBuffer memory;
        std::size_t used = 0;
        std::size_t sends = 0;  ///< the number of sends that still read from it
    };

    /// The size of a shared chunk in bytes. One slow peer keeps a whole chunk in use.
    static constexpr std::size_t chunk_size = std::size_t{64} << 10;
    /// Up to this size, in bytes, a copy is cheaper than a chunk for these bytes alone.
    static constexpr std::size_t copied_size = std::size_t{4} << 10;

    struct Place {
        Bytes bytes{};
        Chunk* chunk = nullptr;
    };
    /// Takes the memory of `output` if `bytes` are all that it contains and longer than copied_size. Otherwise copies
    /// them.
    Place keep(Bytes bytes, OutputBuffer& output);
    /// Appends `bytes` to `place`. False if there is no free space after it.
    bool extend(Place& place, Bytes bytes) noexcept;
    /// Called once for each place, when its send is finished.
    void release(Chunk& chunk) noexcept;

   private:
    Chunk& fresh_chunk();
    void begin_chunk(std::size_t at_least);

    std::vector<std::unique_ptr<Chunk>> all_;
    std::vector<Chunk*> unused_;  // without memory
    Chunk* filling_ = nullptr;
};

/// A send request of a stream. Reused when it is finished.
struct UringSend {
    /// Several pieces, sent by sendmsg(2), at most 64 at a time.
    struct Gathered {
        explicit Gathered(SendBatch whole) : batch(std::move(whole)) {}

        SendBatch batch;
        std::array<iovec, 64> parts{};
        msghdr message{};
    };

    UringStream* stream = nullptr;
    io_uring_sqe* sqe = nullptr;
    std::uint64_t prepared_at = 0;  ///< UringRing::submissions()
    SendMemory::Place place{};      ///< the rest of a single piece; its chunk is null if `owner` keeps the bytes
    std::shared_ptr<const void> owner{};
    std::unique_ptr<Gathered> gathered{};
    std::unique_ptr<SendBatch> next{};  ///< what the stream sends after this
    UringSend* next_spare = nullptr;

    /// Bytes that the kernel has not reported as sent.
    std::size_t size() const noexcept {
        return (gathered ? gathered->batch.size() : place.bytes.size()) + (next ? next->size() : 0);
    }
};

/// All send requests of one thread.
class UringSends {
   public:
    UringSends(UringRing& ring, OutputBuffer& output) : ring_(ring), output_(output) {}
    UringSends(const UringSends&) = delete;
    UringSends& operator=(const UringSends&) = delete;

    /// Prepares to send all of `pieces`, at least one byte, to `socket`.
    UringSend& begin(UringStream& stream, int socket, std::span<const SendPiece> pieces);
    UringSend& begin(UringStream& stream, int socket, std::unique_ptr<UringSend::Gathered> gathered);
    /// Adds to a send that is not yet submitted. False if `pieces` do not fit.
    bool extend(UringSend& send, std::span<const SendPiece> pieces) noexcept;
    /// Called when the kernel has taken `count` bytes. True if that was all; otherwise the rest is prepared.
    bool advance(UringSend& send, int socket, std::size_t count);
    /// Called when a send is finished, successfully or not.
    void end(UringSend& send) noexcept;

   private:
    void prepare_spare();
    UringSend& take_spare(UringStream& stream) noexcept;
    void prepare(UringSend& send, int socket);

    UringRing& ring_;
    OutputBuffer& output_;
    SendMemory memory_;
    std::vector<std::unique_ptr<UringSend>> all_;
    UringSend* spare_ = nullptr;
};

}  // namespace wsserver::detail
