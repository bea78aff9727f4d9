// Creates an io_uring, submits to it, and checks whether the kernel supports what this transport needs.
#pragma once

#include "wsserver/transport/detail/uring/ring.hpp"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "wsserver/base/within_memory.hpp"
#include "wsserver/scheduling/detail/signals_blocked.hpp"
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

/// The most pauses while requests end: 2 s when the ring is no longer used, and 127 ms in a loop that goes on.
constexpr int last_pauses = 26;
constexpr int pauses_in_loop = 7;

/// Makes a submission do nothing, except that a socket that it would close is closed.
void drop_submission(io_uring_sqe& sqe) noexcept {
    if (sqe.opcode == IORING_OP_CLOSE) Descriptor{sqe.fd}.reset();
    io_uring_prep_nop(&sqe);
    sqe.user_data = 0;
}

}  // namespace

namespace detail {

UringRing::UringRing(const UringSizes& sizes)
    : calls_(sizes.calls != nullptr ? *sizes.calls : UringCalls::of_kernel()) {
    // When a ring is closed, the kernel interrupts the thread that created it, for example in a recv() of the embedding
    // program. So a thread that ends at once creates it.
    int error = 0;
    const SignalsBlocked signals;
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

bool UringRing::cancel_all() noexcept {
    if (!bound_ || state_ == State::shut || owner_ != std::this_thread::get_id()) return true;
    calls_.submit_and_collect(ring_);
    const bool ended = end_requests(last_pauses);
    // The registration would keep the ring open, and the ring its sockets, for as long as this thread lives.
    if (std::exchange(registered_, false)) io_uring_unregister_ring_fd(&ring_);
    return ended;
}

/// Cancels all requests, until the kernel has none, and drops their completions. Needs no memory. False if some have
/// not ended.
bool UringRing::end_requests(int most_pauses) noexcept {
    io_uring_sync_cancel_reg all{};
    all.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
    all.timeout = {-1, -1};
    UringPause pause;
    for (int pauses = 0;;) {
        const int found = calls_.cancel(ring_, all);
        const bool refused = found < 0 && found != -ENOENT;
        const bool dropped = drop_completions();
        if (refused && !is_for_now(-found) && found != -EALREADY) return false;  // EALREADY: a request is being handled
        if (dropped && !refused) continue;
        if (found <= 0 && !refused && !has_work()) return true;
        if (pauses++ == most_pauses) return false;
        calls_.sleep(pause.next());  // a thread of the kernel is busy with a request
    }
}

/// True if the kernel has completions, or work on them.
bool UringRing::has_work() const noexcept {
    pollfd work{.fd = ring_.ring_fd, .events = POLLIN, .revents = 0};
    return ::poll(&work, 1, 0) > 0;
}

/// Returns true if there were some. Sockets that the kernel has refused to close are closed.
bool UringRing::drop_completions() noexcept {
    bool some = false;
    for (;;) {
        io_uring_get_events(&ring_);  // the kernel works on a limited number at once
        unsigned head = 0, count = 0;
        const io_uring_cqe* next = nullptr;
        io_uring_for_each_cqe(&ring_, head, next) {
            if (event_of(*next) == UringEvent::closed) closed(target_of(*next), next->res);
            ++count;
        }
        if (count == 0) return some;
        some = true;
        io_uring_cq_advance(&ring_, count);
    }
}

/// The kernel is not reading the queue: it does so only during a call.
void UringRing::drop_prepared() noexcept {
    const auto& queue = ring_.sq;
    for (unsigned i = *queue.khead; i != queue.sqe_tail; ++i) drop_submission(queue.sqes[i & queue.ring_mask]);
    for (io_uring_sqe& sqe : backlog_) drop_submission(sqe);
    backlog_.clear();
    ++submissions_;  // a send that was prepared is not extended any more
}

void UringRing::shut() noexcept {
    if (std::exchange(state_, State::shut) != State::shut) drop_prepared();
}

bool UringRing::abandon_requests() noexcept {
    const bool ended = end_requests(pauses_in_loop);
    drop_prepared();
    losses_ = *ring_.cq.koverflow;
    return ended;
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
    if (state_ != State::open) return *ignored_;
    io_uring_sqe* sqe = backlog_.empty() ? io_uring_get_sqe(&ring_) : nullptr;
    if (sqe == nullptr) sqe = &sqe_beyond_queue();
    // The io_uring_prep_ functions do not change this field.
    sqe->user_data = reinterpret_cast<std::uint64_t>(target) | static_cast<std::uint64_t>(event);
    return *sqe;
}

/// The queue is full: submits the first part of this turn, or keeps the rest until the kernel takes it.
io_uring_sqe& UringRing::sqe_beyond_queue() {
    if (backlog_.empty() && submit()) {
        if (io_uring_sqe* const sqe = io_uring_get_sqe(&ring_)) return *sqe;
    }
    UringPause pause;
    while (!within_memory([this] { backlog_.emplace_back(); })) {
        io_uring_sqe* const sqe = submit_backlog() && submit() ? io_uring_get_sqe(&ring_) : nullptr;
        if (sqe != nullptr) return *sqe;
        std::this_thread::sleep_for(pause.next());
    }
    return backlog_.back();
}

io_uring_sqe& UringRing::silent_sqe() { return sqe(UringEvent::none, nullptr); }

void UringRing::cancel(UringEvent event, const void* target) {
    const std::uint64_t user_data = reinterpret_cast<std::uint64_t>(target) | static_cast<std::uint64_t>(event);
    io_uring_sqe& sqe = silent_sqe();
    io_uring_prep_cancel64(&sqe, user_data, 0);
    sqe.flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/// The target is the number of the descriptor.
void UringRing::close_later(Descriptor socket) {
    const int number = socket.release();
    const auto target = static_cast<std::uintptr_t>(number) * (uring_event_bits + 1);
    io_uring_sqe& close = sqe(UringEvent::closed, reinterpret_cast<const void*>(target));
    io_uring_prep_close(&close, number);
    close.flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/// EBADF: the number has no descriptor. After success it may be that of another one.
void UringRing::closed(const void* target, int result) noexcept {
    if (result >= 0 || result == -EBADF) return;
    Descriptor{static_cast<int>(reinterpret_cast<std::uintptr_t>(target) / (uring_event_bits + 1))}.reset();
}

/// Submits what is in the queue. False if the kernel refuses.
bool UringRing::submit() {
    bind_to_thread();
    ++submissions_;
    const int result = calls_.submit(ring_);
    if (result < 0 && !is_for_now(-result)) throw_error(-result, "io_uring_enter");
    return result >= 0;
}

/// Moves the backlog to the queue, in order. False if the kernel refuses what is in the way.
bool UringRing::submit_backlog() {
    while (!backlog_.empty()) {
        io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
        if (sqe == nullptr && submit()) sqe = io_uring_get_sqe(&ring_);
        if (sqe == nullptr) return false;
        *sqe = backlog_.front();
        backlog_.pop_front();
        ++submissions_;
    }
    return true;
}

bool UringRing::turn(Wait wait, std::optional<Clock::time_point> until) {
    if (has_lost_completions()) return false;
    bind_to_thread();
    ++submissions_;
    const int result = submit_backlog() ? enter(wait, until) : -EAGAIN;
    if (has_lost_completions()) return false;
    if (result >= 0 || result == -ETIME) {
        collects_ = true;
        return true;
    }
    if (!is_for_now(-result)) throw_error(-result, "io_uring_enter");
    collects_ = calls_.collect(ring_) >= 0;  // a refused submission keeps the kernel from working on completions
    return false;
}

int UringRing::enter(Wait wait, std::optional<Clock::time_point> until) {
    if (wait == Wait::no) return calls_.submit_and_collect(ring_);
    if (!until) return calls_.submit_and_wait(ring_, nullptr);
    __kernel_timespec time = kernel_time(*until - Clock::now());
    return calls_.submit_and_wait(ring_, &time);
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
