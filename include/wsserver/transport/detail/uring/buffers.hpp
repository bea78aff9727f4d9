// Where the kernel puts what it receives: one ring of buffers for all connections of a thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "wsserver/base/bytes.hpp"
#include "wsserver/transport/detail/uring/ring.hpp"

namespace wsserver::detail {

class UringBuffers {
   public:
    /// `sizes.buffers` of UringTransport::receive_buffer_size, or as much memory in small ones where the kernel can't
    /// fill a buffer bit by bit. Throws std::system_error.
    UringBuffers(UringRing& ring, const UringSizes& sizes);
    /// The ring receives nothing by then.
    ~UringBuffers();
    UringBuffers(const UringBuffers&) = delete;
    UringBuffers& operator=(const UringBuffers&) = delete;

    /// The group's number in receive orders.
    static constexpr std::uint16_t group = 0;

    /// The bytes that a completion tells of; they stay until give_back() of the same completion.
    MutableBytes bytes(std::size_t count, std::uint32_t flags) noexcept;
    void give_back(std::uint32_t flags) noexcept;

   private:
    void offer(std::uint16_t buffer) noexcept;

    std::size_t mapped_ = 0;  // bytes of `entries_`
    unsigned count_;
    std::size_t size_;
    bool incremental_;
    io_uring_buf_ring* entries_ = nullptr;  // shared with the kernel
    std::unique_ptr<std::uint8_t[]> memory_;
    std::vector<std::size_t> used_;  // by buffer: bytes that have been filled
};

}  // namespace wsserver::detail
