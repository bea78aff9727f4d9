// Sets up an io_uring and prepares its requests.
#include "ring.hpp"

#include <sys/resource.h>

#include <cerrno>
#include <cstdlib>
#include <new>
#include <system_error>
#include <utility>

// The liburing of Debian 12 does not have this flag. Linux has it since 6.12.
#ifndef IORING_CQE_F_BUF_MORE
#define IORING_CQE_F_BUF_MORE (1U << 4)
#endif

namespace wsserver::bench {

namespace {

constexpr std::uint16_t incremental_buffers = 2;  // IOU_PBUF_RING_INC

/// With MSG_WAITALL a short send counts as failed, so that IOSQE_CQE_SKIP_SUCCESS does not skip its completion.
constexpr int as_much_as_fits = MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL;

void check(int result, const char* what) {
    if (result < 0) throw std::system_error{-result, std::generic_category(), what};
}

/// The kernel allows as many registered files as descriptors.
unsigned most_files() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    return static_cast<unsigned>(limit.rlim_cur);
}

}  // namespace

ReceiveBuffers::ReceiveBuffers(io_uring& ring, unsigned count, std::size_t size)
    : size_(size), bytes_(new char[count * size]), ring_(nullptr, &std::free), uses_(count) {
    void* memory = nullptr;
    if (posix_memalign(&memory, 4096, count * sizeof(io_uring_buf)) != 0) throw std::bad_alloc{};
    ring_.reset(static_cast<io_uring_buf_ring*>(memory));
    io_uring_buf_ring_init(ring_.get());
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uintptr_t>(memory);
    registration.ring_entries = count;
    registration.bgid = group;
    registration.pad = incremental_buffers;  // newer headers call it `flags`
    check(io_uring_register_buf_ring(&ring, &registration, 0), "io_uring_register_buf_ring");
    for (unsigned buffer = 0; buffer < count; ++buffer) provide(buffer);
}

void ReceiveBuffers::provide(unsigned buffer) {
    uses_[buffer] = {};
    io_uring_buf_ring_add(ring_.get(), bytes_.get() + buffer * size_, static_cast<unsigned>(size_),
                          static_cast<unsigned short>(buffer),
                          io_uring_buf_ring_mask(static_cast<unsigned>(uses_.size())), 0);
    io_uring_buf_ring_advance(ring_.get(), 1);
}

iovec ReceiveBuffers::take(const io_uring_cqe& completion) {
    const unsigned buffer = buffer_of(completion);
    Use& use = uses_[buffer];
    const iovec bytes{bytes_.get() + buffer * size_ + use.filled, static_cast<std::size_t>(completion.res)};
    use.filled += bytes.iov_len;
    use.full = (completion.flags & IORING_CQE_F_BUF_MORE) == 0;
    ++use.holders;
    return bytes;
}

void ReceiveBuffers::release(unsigned buffer) {
    Use& use = uses_[buffer];
    if (--use.holders == 0 && use.full) provide(buffer);
}

Ring::Ring(const Options& options) {
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN |
                       IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;
    parameters.cq_entries = options.completions;
    check(io_uring_queue_init_params(options.submissions, &ring_, &parameters), "io_uring_queue_init_params");
    try {
        check(io_uring_register_ring_fd(&ring_), "io_uring_register_ring_fd");
        check(io_uring_register_files_sparse(&ring_, most_files()), "io_uring_register_files_sparse");
        buffers_ = std::make_unique<ReceiveBuffers>(ring_, options.buffers, options.buffer_size);
    } catch (...) {
        io_uring_queue_exit(&ring_);
        throw;
    }
}

Ring::~Ring() { io_uring_queue_exit(&ring_); }

io_uring_sqe& Ring::sqe() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    while (sqe == nullptr) {
        check(io_uring_submit(&ring_), "io_uring_submit");
        sqe = io_uring_get_sqe(&ring_);
    }
    return *sqe;
}

void Ring::register_file(std::uint32_t file, int descriptor) {
    check(io_uring_register_files_update(&ring_, file, &descriptor, 1), "io_uring_register_files_update");
}

void Ring::accept_many(int listener, std::uint64_t data) {
    io_uring_sqe& accept = sqe();
    io_uring_prep_multishot_accept_direct(&accept, listener, nullptr, nullptr, 0);
    io_uring_sqe_set_data64(&accept, data);
}

void Ring::receive_many(std::uint32_t file, std::uint64_t data) {
    io_uring_sqe& receive = sqe();
    io_uring_prep_recv_multishot(&receive, static_cast<int>(file), nullptr, 0, 0);
    receive.flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    receive.buf_group = ReceiveBuffers::group;
    io_uring_sqe_set_data64(&receive, data);
}

void Ring::send_now(std::uint32_t file, std::span<iovec> bytes, msghdr& message, std::uint64_t data) {
    if (bytes.size() == 1) {
        return send_now(file, {static_cast<const char*>(bytes[0].iov_base), bytes[0].iov_len}, data);
    }
    message = {};
    message.msg_iov = bytes.data();
    message.msg_iovlen = bytes.size();
    io_uring_sqe& send = sqe();
    io_uring_prep_sendmsg(&send, static_cast<int>(file), &message, as_much_as_fits);
    send.flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(&send, data);
}

void Ring::send_now(std::uint32_t file, std::string_view bytes, std::uint64_t data) {
    io_uring_sqe& send = sqe();
    io_uring_prep_send(&send, static_cast<int>(file), bytes.data(), bytes.size(), as_much_as_fits);
    send.flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(&send, data);
}

void Ring::send_all(std::uint32_t file, std::string_view bytes, std::uint64_t data) {
    io_uring_sqe& send = sqe();
    io_uring_prep_send(&send, static_cast<int>(file), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_WAITALL);
    send.flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(&send, data);
}

void Ring::cancel(std::uint64_t data) {
    io_uring_sqe& cancel = sqe();
    io_uring_prep_cancel64(&cancel, data, 0);
    ignore(cancel);
}

void Ring::close(std::uint32_t file) {
    io_uring_sqe& close = sqe();
    io_uring_prep_close_direct(&close, file);
    ignore(close);
}

/// There is no completion on success, and turn() ignores that of a failure.
void Ring::ignore(io_uring_sqe& sqe) {
    sqe.flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(&sqe, ignored);
}

void Ring::submit_and_wait(std::optional<std::chrono::milliseconds> timeout) {
    int result = 0;
    if (timeout) {
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*timeout);
        __kernel_timespec limit{.tv_sec = seconds.count(),
                                .tv_nsec = std::chrono::nanoseconds{*timeout - seconds}.count()};
        io_uring_cqe* first = nullptr;
        result = io_uring_submit_and_wait_timeout(&ring_, &first, 1, &limit, nullptr);
    } else {
        result = io_uring_submit_and_wait(&ring_, 1);
    }
    if (result != -EINTR && result != -EBUSY && result != -ETIME) check(result, "io_uring_submit_and_wait");
}

}  // namespace wsserver::bench
