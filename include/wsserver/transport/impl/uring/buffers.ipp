// Registers the ring of buffers with the kernel and finds received bytes in it.
#pragma once

#include "wsserver/transport/detail/uring/buffers.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <thread>

namespace wsserver::detail {

namespace {

// Since Linux 6.12 the kernel can fill a buffer incrementally: messages of 16 bytes are then adjacent in one cache line
// instead of a buffer apart. liburing 2.3 has no names for these flags yet.
constexpr std::uint16_t fill_incrementally = 2;         // IOU_PBUF_RING_INC
constexpr std::uint32_t more_in_this_buffer = 1U << 4;  // IORING_CQE_F_BUF_MORE

/// The size of a buffer in bytes if each message takes a whole one.
constexpr std::size_t small_size = 4096;
constexpr std::size_t most_buffers = 32'768;

/// The `flags` field of the registration. Older headers call it `pad`.
template <class Registration>
std::uint16_t& flags_of(Registration& registration) noexcept {
    if constexpr (requires { registration.flags; }) {
        return registration.flags;
    } else {
        return registration.pad;
    }
}

std::uint16_t buffer_of(std::uint32_t flags) noexcept {
    return static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
}

}  // namespace

UringBuffers::UringBuffers(UringRing& ring, const UringSizes& sizes)
    : count_(sizes.buffers), size_(UringTransport::receive_buffer_size), incremental_(true) {
    const std::size_t total = count_ * size_;
    const auto most = std::max<std::size_t>(count_, std::min(most_buffers, total / small_size));
    memory_.reset(new std::uint8_t[total]);
    used_.resize(most);
    mapped_ = most * sizeof(io_uring_buf);
    void* const entries = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (entries == MAP_FAILED) throw std::system_error(errno, std::system_category(), "mmap");
    entries_ = static_cast<io_uring_buf_ring*>(entries);

    int error = sizes.like_linux_6_0 ? EINVAL : enrol_soon(ring);
    if (error == EINVAL) {
        incremental_ = false;
        count_ = static_cast<unsigned>(most);
        size_ = total / most;
        error = enrol_soon(ring);
    }
    if (error != 0) {
        ::munmap(entries_, mapped_);
        throw std::system_error(error, std::system_category(), "io_uring_register_buf_ring");
    }
    offer_all();
}

UringBuffers::~UringBuffers() { ::munmap(entries_, mapped_); }

bool UringBuffers::renew(UringRing& ring) {
    io_uring_unregister_buf_ring(&ring.get(), group);  // fails if an earlier attempt has done it
    const int error = enrol(ring);
    if (is_for_now(error)) return false;
    if (error != 0) throw std::system_error(error, std::system_category(), "io_uring_register_buf_ring");
    offer_all();
    return true;
}

/// Returns 0 or an errno.
int UringBuffers::enrol(UringRing& ring) noexcept {
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uint64_t>(entries_);
    registration.ring_entries = count_;
    registration.bgid = group;
    flags_of(registration) = incremental_ ? fill_incrementally : std::uint16_t{0};
    return ring.register_buffers(registration);
}

/// Tries again for 127 ms if the kernel refuses. A limit of locked memory would refuse it forever.
int UringBuffers::enrol_soon(UringRing& ring) {
    for (UringPause pause;; std::this_thread::sleep_for(pause.next())) {
        const int error = enrol(ring);
        if (!is_for_now(error) || pause.has_grown()) return error;
    }
}

MutableBytes UringBuffers::bytes(std::size_t count, std::uint32_t flags) noexcept {
    const std::uint16_t buffer = buffer_of(flags);
    std::uint8_t* const begin = memory_.get() + buffer * size_ + used_[buffer];
    used_[buffer] += count;
    return {begin, count};
}

void UringBuffers::give_back(std::uint32_t flags) noexcept {
    if ((flags & IORING_CQE_F_BUFFER) == 0 || (incremental_ && (flags & more_in_this_buffer) != 0)) return;
    offer(buffer_of(flags));
}

/// Precondition: they are registered, and the kernel has taken none.
void UringBuffers::offer_all() noexcept {
    io_uring_buf_ring_init(entries_);
    for (unsigned i = 0; i < count_; ++i) offer(static_cast<std::uint16_t>(i));
}

void UringBuffers::offer(std::uint16_t buffer) noexcept {
    used_[buffer] = 0;
    io_uring_buf_ring_add(entries_, memory_.get() + buffer * size_, static_cast<unsigned>(size_), buffer,
                          io_uring_buf_ring_mask(count_), 0);
    io_uring_buf_ring_advance(entries_, 1);
}

}  // namespace wsserver::detail
