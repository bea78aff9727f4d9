// Creates an io_uring, submits to it, and checks whether the kernel supports what this transport needs.
#pragma once

#include "wsserver/transport/detail/uring/ring.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "wsserver/transport/detail/uring/buffers.hpp"

namespace wsserver {

namespace {

[[noreturn]] void throw_error(int error, const char* what) {
    throw std::system_error(error, std::system_category(), what);
}

/// Returns 0 or an errno.
int open_ring(io_uring& ring, const UringSizes& sizes, unsigned flags) {
    io_uring_params params{};
    params.flags = flags | IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    params.cq_entries = sizes.completions;
    return -io_uring_queue_init_params(sizes.submissions, &ring, &params);
}

/// liburing maps and unmaps the memory of a ring by its own system calls, which the thread sanitizer does not see: it
/// takes a later ring at the same address for memory that two threads share. In the kernel the one call happens before
/// the other anyway; this variable shows it to the sanitizer.
std::atomic<unsigned> closed_rings{0};

/// The kernel cannot be asked for multishot receive. Linux 6.0 added this operation as well, which it can be asked for.
bool has_multishot_receive(io_uring& ring) {
    const std::unique_ptr<io_uring_probe, void (*)(io_uring_probe*)> known{io_uring_get_probe_ring(&ring),
                                                                           io_uring_free_probe};
    return known && io_uring_opcode_supported(known.get(), IORING_OP_SEND_ZC) != 0;
}

}  // namespace

namespace detail {

UringRing::UringRing(const UringSizes& sizes) {
    // When a ring is closed, the kernel interrupts the thread that created it, for example in a recv() of the embedding
    // program. So a thread that ends at once creates it.
    int error = 0;
    std::thread([&] { error = open(sizes); }).join();
    if (error != 0) throw_error(error, "io_uring_setup");
    open_ = true;
}

/// Returns 0 or an errno.
int UringRing::open(const UringSizes& sizes) {
    // DEFER_TASKRUN: the kernel works on completions when this thread waits for them, and does not interrupt it at
    // other times. Needs Linux 6.1.
    constexpr unsigned single = IORING_SETUP_SINGLE_ISSUER;
    int error = sizes.like_linux_6_0 ? EINVAL : open_ring(ring_, sizes, single | IORING_SETUP_DEFER_TASKRUN);
    if (error == EINVAL) error = open_ring(ring_, sizes, single | IORING_SETUP_COOP_TASKRUN);
    closed_rings.load(std::memory_order_acquire);
    return error;
}

UringRing::~UringRing() { close(); }

void UringRing::cancel_all() noexcept {
    if (!bound_ || shut_ || owner_ != std::this_thread::get_id()) return;
    io_uring_sqe* all = io_uring_get_sqe(&ring_);
    if (all == nullptr && io_uring_submit(&ring_) > 0) all = io_uring_get_sqe(&ring_);
    if (all != nullptr) {
        io_uring_prep_cancel64(all, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
        all->user_data = 0;
    }
    while (io_uring_submit_and_get_events(&ring_) == -EINTR) {
    }
    // The registration would keep the ring open, and the ring its sockets, for as long as this thread lives.
    if (std::exchange(registered_, false)) io_uring_unregister_ring_fd(&ring_);
}

void UringRing::close() noexcept {
    if (!std::exchange(open_, false)) return;
    closed_rings.fetch_add(1, std::memory_order_release);
    io_uring_queue_exit(&ring_);
}

void UringRing::bind_to_thread() {
    if (bound_) return;
    // liburing 2.3 declares io_uring_enable_rings() but does not export it.
    if (::syscall(__NR_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0) != 0) {
        throw_error(errno, "io_uring_register");
    }
    bound_ = true;
    owner_ = std::this_thread::get_id();
    // Saves the kernel a look-up of the descriptor in each turn. Optional.
    registered_ = io_uring_register_ring_fd(&ring_) == 1;
}

io_uring_sqe& UringRing::sqe(UringEvent event, const void* target) {
    if (shut_) return ring_.sq.sqes[0];
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    while (sqe == nullptr) {  // the queue is full: submit the first part of this turn
        submit();
        sqe = io_uring_get_sqe(&ring_);
    }
    // The io_uring_prep_ functions do not change this field.
    sqe->user_data = reinterpret_cast<std::uint64_t>(target) | static_cast<std::uint64_t>(event);
    return *sqe;
}

io_uring_sqe& UringRing::silent_sqe() { return sqe(UringEvent::none, nullptr); }

void UringRing::cancel(UringEvent event, const void* target) {
    const std::uint64_t user_data = reinterpret_cast<std::uint64_t>(target) | static_cast<std::uint64_t>(event);
    io_uring_sqe& sqe = silent_sqe();
    io_uring_prep_cancel64(&sqe, user_data, 0);
    sqe.flags |= IOSQE_CQE_SKIP_SUCCESS;
}

void UringRing::submit() {
    bind_to_thread();
    ++submissions_;
    int result = 0;
    do {
        result = io_uring_submit(&ring_);
    } while (result == -EINTR);
    // EBUSY, EAGAIN: completions must be read first, or memory is short. The next call submits the rest.
    if (result < 0 && result != -EBUSY && result != -EAGAIN) throw_error(-result, "io_uring_enter");
}

void UringRing::turn(Wait wait, std::optional<Clock::time_point> until) {
    bind_to_thread();
    ++submissions_;
    int result = 0;
    if (wait == Wait::no) {
        result = io_uring_submit_and_get_events(&ring_);
    } else if (!until) {
        result = io_uring_submit_and_wait(&ring_, 1);
    } else {
        __kernel_timespec time = kernel_time(*until - Clock::now());
        io_uring_cqe* first = nullptr;
        result = io_uring_submit_and_wait_timeout(&ring_, &first, 1, &time, nullptr);
    }
    const bool nothing_wrong =
        result >= 0 || result == -EINTR || result == -ETIME || result == -EBUSY || result == -EAGAIN;
    if (!nothing_wrong) throw_error(-result, "io_uring_enter");
}

}  // namespace detail

Result<void, std::string> UringTransport::probe() {
    try {
        const UringSizes sizes{.submissions = 8, .completions = 16, .buffers = 2};
        detail::UringRing ring(sizes);
        if (!has_multishot_receive(ring.get())) return Unexpected{std::string{"this kernel is older than Linux 6.0"}};
        const detail::UringBuffers buffers(ring, sizes);
        return {};
    } catch (const std::system_error& error) {
        switch (error.code().value()) {
            case ENOSYS:
                return Unexpected{std::string{"this kernel has no io_uring"}};
            case EPERM:
            case EACCES:
                return Unexpected{
                    std::string{"io_uring is forbidden (sysctl kernel.io_uring_disabled, or a container's seccomp)"}};
            case ENOMEM:
                return Unexpected{
                    std::string{"io_uring cannot allocate memory: raise the limit of locked memory (ulimit -l)"}};
            case EINVAL:
                return Unexpected{std::string{"this kernel is older than Linux 6.0"}};
            default:
                return Unexpected{std::string{error.what()}};
        }
    }
}

}  // namespace wsserver
