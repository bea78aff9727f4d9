// An io_uring with a ring of receive buffers, for a thread with many sockets. The raw echo and the load share it. The
// library has its own.
#pragma once

#include <liburing.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace wsserver::bench {

/// The kernel fills each buffer with several receives, so that small messages are adjacent. A buffer is reused when it
/// is full and all its bytes are released.
class ReceiveBuffers {
   public:
    /// Registers `count` buffers, a power of two, of `size` bytes. Throws std::system_error.
    ReceiveBuffers(io_uring& ring, unsigned count, std::size_t size);
    ReceiveBuffers(const ReceiveBuffers&) = delete;
    ReceiveBuffers& operator=(const ReceiveBuffers&) = delete;

    static constexpr std::uint16_t group = 0;

    /// The bytes of a completed receive, valid until release(). Call it once for each completion, in their order.
    iovec take(const io_uring_cqe& completion);
    void release(unsigned buffer);
    static unsigned buffer_of(const io_uring_cqe& completion) { return completion.flags >> IORING_CQE_BUFFER_SHIFT; }

   private:
    struct Use {
        std::size_t filled = 0;
        unsigned holders = 0;
        bool full = false;
    };
    void provide(unsigned buffer);

    std::size_t size_;
    std::unique_ptr<char[]> bytes_;
    std::unique_ptr<io_uring_buf_ring, void (*)(void*)> ring_;
    std::vector<Use> uses_;
};

/// An io_uring whose sockets are registered files.
class Ring {
   public:
    struct Options {
        unsigned submissions = 1024, completions = 16 * 1024;
        unsigned buffers = 16;  ///< a power of two
        std::size_t buffer_size = 64 * 1024;
    };
    explicit Ring(const Options& options);
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;
    ~Ring();

    ReceiveBuffers& buffers() noexcept { return *buffers_; }

    /// The next submission. If the queue is full, submits first.
    io_uring_sqe& sqe();
    void register_file(std::uint32_t file, int descriptor);
    void accept_many(int listener, std::uint64_t data);
    void receive_many(std::uint32_t file, std::uint64_t data);
    /// Sends as many bytes as the kernel takes at once. Completes only if that is not all. This call fills in
    /// `message`, which must stay valid until it is submitted.
    void send_now(std::uint32_t file, std::span<iovec> bytes, msghdr& message, std::uint64_t data);
    void send_now(std::uint32_t file, std::string_view bytes, std::uint64_t data);
    /// Waits until the kernel takes the bytes. Completes when all are sent.
    void send_all(std::uint32_t file, std::string_view bytes, std::uint64_t data);
    void cancel(std::uint64_t data);
    void close(std::uint32_t file);

    /// Submits all requests and waits for a completion, at most for `timeout`. Then calls `each(const io_uring_cqe&)`
    /// for every completion.
    template <class Each>
    void turn(Each each, std::optional<std::chrono::milliseconds> timeout = {}) {
        submit_and_wait(timeout);
        unsigned head = 0;
        unsigned count = 0;
        io_uring_cqe* completion = nullptr;
        io_uring_for_each_cqe(&ring_, head, completion) {
            if (completion->user_data != ignored) each(*completion);
            ++count;
        }
        io_uring_cq_advance(&ring_, count);
    }

   private:
    static constexpr std::uint64_t ignored = ~std::uint64_t{0};
    static void ignore(io_uring_sqe& sqe);
    void submit_and_wait(std::optional<std::chrono::milliseconds> timeout);

    io_uring ring_{};
    std::unique_ptr<ReceiveBuffers> buffers_;
};

}  // namespace wsserver::bench
