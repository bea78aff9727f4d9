// What is on its way out: the kernel reads it where it lies until it says that it has taken it.
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

/// Bytes that no one else keeps. Short ones of one turn lie side by side; long ones stay where they were encoded.
class SendMemory {
   public:
    struct Chunk {
        PooledBuffer memory;
        std::size_t used = 0;
        std::size_t sends = 0;  ///< that still need it
    };

    /// What short bytes share. One that a slow peer holds up is held up as a whole.
    static constexpr std::size_t chunk_size = std::size_t{64} << 10;
    /// Up to this size a copy is cheaper than a chunk of its own.
    static constexpr std::size_t copied_size = std::size_t{4} << 10;

    struct Place {
        Bytes bytes{};
        Chunk* chunk = nullptr;
    };
    /// Takes `bytes` over from `output`, if they are long and all that it holds; copies them otherwise.
    Place keep(Bytes bytes, OutputBuffer& output);
    /// Makes `place` longer by `bytes`, if there is room behind it.
    bool extend(Place& place, Bytes bytes) noexcept;
    void let_go(Chunk& chunk) noexcept;

   private:
    Chunk& fresh_chunk();
    void begin_chunk(std::size_t at_least);

    std::vector<std::unique_ptr<Chunk>> all_;
    std::vector<Chunk*> unused_;  // without memory
    Chunk* filling_ = nullptr;
};

/// One send order of a stream. Kept for the next one when it is done.
struct UringSend {
    /// Several pieces, of which so many go at a time.
    struct Gathered {
        explicit Gathered(SendBatch whole) : batch(std::move(whole)) {}

        SendBatch batch;
        std::array<iovec, 64> parts{};
        msghdr message{};
    };

    UringStream* stream = nullptr;
    io_uring_sqe* sqe = nullptr;
    std::uint64_t prepared_at = 0;  ///< UringRing::submissions()
    SendMemory::Place place{};      ///< one piece: its rest; the chunk is null if `owner` keeps it
    std::shared_ptr<const void> owner{};
    std::unique_ptr<Gathered> gathered{};
    std::unique_ptr<SendBatch> next{};  ///< what the stream sends when this is done
    UringSend* next_spare = nullptr;
};

/// All that one thread is sending.
class UringSends {
   public:
    UringSends(UringRing& ring, OutputBuffer& output) : ring_(ring), output_(output) {}
    UringSends(const UringSends&) = delete;
    UringSends& operator=(const UringSends&) = delete;

    /// Prepares to send all of `pieces` (some bytes at least) to `socket`.
    UringSend& begin(UringStream& stream, int socket, std::span<const SendPiece> pieces);
    UringSend& begin(UringStream& stream, int socket, std::unique_ptr<UringSend::Gathered> gathered);
    /// Adds to what the kernel hasn't been told of yet. False: it doesn't fit.
    bool extend(UringSend& send, std::span<const SendPiece> pieces) noexcept;
    /// `count` bytes have left. True: that was all. Otherwise the rest has been prepared.
    bool advance(UringSend& send, int socket, std::size_t count);
    /// It is over, done or not.
    void end(UringSend& send) noexcept;

   private:
    UringSend& fresh(UringStream& stream);
    void prepare(UringSend& send, int socket);

    UringRing& ring_;
    OutputBuffer& output_;
    SendMemory memory_;
    std::vector<std::unique_ptr<UringSend>> all_;
    UringSend* spare_ = nullptr;
};

}  // namespace wsserver::detail
