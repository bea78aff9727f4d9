// The buffers that the kernel receives into: one ring of them for all connections of a thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "wsserver/base/bytes.hpp"
#include "wsserver/transport/detail/uring/ring.hpp"

namespace wsserver::detail {

/// A ring of buffers that is registered with the kernel. A receive request names the group instead of a buffer.
class UringBuffers {
   public:
    /// Registers `sizes.buffers` buffers of UringTransport::receive_buffer_size bytes, or the same memory in small
    /// buffers if the kernel cannot fill a buffer incrementally. Throws std::system_error.
    UringBuffers(UringRing& ring, const UringSizes& sizes);
    /// Precondition: the ring receives nothing any more.
    ~UringBuffers();
    UringBuffers(const UringBuffers&) = delete;
    UringBuffers& operator=(const UringBuffers&) = delete;

    /// Makes all buffers free, also those of completions that were lost. False if the kernel refuses for now; then
    /// there are none until it succeeds. Throws std::system_error. Precondition: the ring has no requests.
    bool renew(UringRing& ring);

    /// The number of the group in receive requests.
    static constexpr std::uint16_t group = 0;

    /// The bytes of a completion with this count and these flags. Valid until give_back() for the same completion.
    MutableBytes bytes(std::size_t count, std::uint32_t flags) noexcept;
    /// Returns the buffer of a completion to the kernel, unless the kernel is still filling it.
    void give_back(std::uint32_t flags) noexcept;

   private:
    int enrol(UringRing& ring) noexcept;
    int enrol_soon(UringRing& ring);
    void offer_all() noexcept;
    void offer(std::uint16_t buffer) noexcept;

    std::size_t mapped_ = 0;  // bytes of `entries_`
    unsigned count_;
    std::size_t size_;                      // of a buffer, in bytes
    bool incremental_;                      // a buffer takes several messages
    io_uring_buf_ring* entries_ = nullptr;  // shared with the kernel
    std::unique_ptr<std::uint8_t[]> memory_;
    std::vector<std::size_t> used_;  // for each buffer, the bytes that have been filled
};

}  // namespace wsserver::detail
