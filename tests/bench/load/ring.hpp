// An io_uring with one ring of receive buffers, as a thread that serves many sockets wants it. The raw echo and the
// load share it; the library has its own.
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

/// The kernel fills a buffer with one receive after the other and gives it back once it is full, so small messages
/// lie side by side. Who holds bytes of a buffer keeps it from being filled anew.
class ReceiveBuffers {
   public:
    /// `count` is a power of two. Throws std::system_error.
    ReceiveBuffers(io_uring& ring, unsigned count, std::size_t size);
    ReceiveBuffers(const ReceiveBuffers&) = delete;
    ReceiveBuffers& operator=(const ReceiveBuffers&) = delete;

    static constexpr std::uint16_t group = 0;

    /// What a completed receive has brought; held until release(). Each completion is to be asked once, in sqe.
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

    /// Room for one order; submits what stands there if there is none left.
    io_uring_sqe& sqe();
    void register_file(std::uint32_t file, int descriptor);
    void accept_many(int listener, std::uint64_t data);
    void receive_many(std::uint32_t file, std::uint64_t data);
    /// Sends what fits at once; completes only if that isn't everything. `message` is for this call to fill in and
    /// must stay until it is submitted.
    void send_now(std::uint32_t file, std::span<iovec> bytes, msghdr& message, std::uint64_t data);
    void send_now(std::uint32_t file, std::string_view bytes, std::uint64_t data);
    /// Waits for room; completes when all is sent.
    void send_all(std::uint32_t file, std::string_view bytes, std::uint64_t data);
    void cancel(std::uint64_t data);
    void close(std::uint32_t file);

    /// Submits all orders and waits for a completion, at most for `timeout`. Then calls `each(const io_uring_cqe&)` for
    /// all that are there.
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
