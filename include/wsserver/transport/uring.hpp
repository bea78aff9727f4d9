// The transport over io_uring (Linux 6.0 and newer): the kernel receives into a ring of buffers and accepts peers
// by itself, and all that a turn sends is handed to it in one system call, the one that also waits for what comes
// next. docs/performance.md explains it to readers who know epoll.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/transport/listener.hpp"
#include "wsserver/transport/stream_handle.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

namespace detail {
class UringLoop;
class UringStream;
}  // namespace detail

extern template class StreamHandle<detail::UringStream>;

/// Sizes of one thread's rings. The defaults serve 1 to 100,000 connections; tests make them small.
struct UringSizes {
    unsigned submissions = 512;   ///< what one turn prepares before the kernel is told early; a power of two
    unsigned completions = 8192;  ///< a power of two
    unsigned buffers = 4;         ///< for receiving, each of UringTransport::receive_buffer_size; a power of two
    bool like_linux_6_0 = false;  ///< does without what later kernels brought, as it has to on an older one
};

class UringTransport {
   public:
    /// A connected stream socket, TCP or Unix, on no loop yet.
    class Socket {
       public:
        /// Of any socket: from now on it may block, as io_uring wants it (its operations never do).
        Socket(Descriptor descriptor) noexcept;  // NOLINT(google-explicit-constructor): what others call a socket

        /// Of one that blocks as it is.
        static Socket blocking(Descriptor descriptor) noexcept { return {std::move(descriptor), Blocking{}}; }

        const Descriptor& descriptor() const noexcept { return descriptor_; }
        Descriptor release() noexcept { return std::move(descriptor_); }

       private:
        struct Blocking {};
        Socket(Descriptor descriptor, Blocking) noexcept : descriptor_(std::move(descriptor)) {}

        Descriptor descriptor_;
    };
    using Listener = ListeningSocket;
    class Stream;

    /// What a stream receives at once at most. Small messages cost the same with 16 buffers of 32 KiB or 4 of 256 KiB,
    /// messages of 16 KiB 7 % less with the latter, 16 of 1 KiB in flight a third less: fewer are cut.
    static constexpr std::size_t receive_buffer_size = std::size_t{256} << 10;

    /// Can this process use it, on this kernel? An error says what is missing, or who forbids it.
    static Result<void, std::string> probe();

    /// Throws std::system_error where probe() fails.
    explicit UringTransport(const UringSizes& sizes = {});
    /// Its streams are gone by then.
    ~UringTransport();
    UringTransport(const UringTransport&) = delete;
    UringTransport& operator=(const UringTransport&) = delete;

    OutputBuffer& output() noexcept;
    void post(UniqueFunction<void()> task);
    /// Within a turn the time when somebody first asked: the clock isn't looked at for each message.
    Clock::time_point now() const noexcept;
    void on_wake(UniqueFunction<void()> task);
    void wake_at(Clock::time_point time);

    void listen(ListeningSocket listener, UniqueFunction<void(Socket)> accepted);
    void stop_listening();
    /// As AsioTransport's.
    void on_accept_paused(UniqueFunction<void(std::error_code)> told);

    void run();
    void stop();

    /// One turn for a caller who runs the loop by himself, always on the same thread: waits until something happens,
    /// but not beyond `until`.
    void run_turn(Clock::time_point until);

   private:
    std::unique_ptr<detail::UringLoop> loop_;
};

/// See TransportStream. As large as a pointer; what it needs lies behind that.
class UringTransport::Stream final : public StreamHandle<detail::UringStream> {
   public:
    Stream(UringTransport& transport, Socket socket);
};

static_assert(Transport<UringTransport>);

}  // namespace wsserver
