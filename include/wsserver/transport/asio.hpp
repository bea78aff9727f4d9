// The transport over Boost.Asio: waits for readiness, then receives and sends by itself. Runs wherever Asio does,
// on a loop of its own or on one that belongs to the embedding program.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <system_error>

#include "wsserver/base/result.hpp"
#include "wsserver/transport/endpoint.hpp"
#include "wsserver/transport/listener.hpp"
#include "wsserver/transport/stream_handle.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

namespace detail {
class AsioLoop;
class AsioStream;
class AsioConnecting;
}  // namespace detail

extern template class StreamHandle<detail::AsioStream>;

class AsioTransport {
   public:
    /// A connected stream socket, TCP or Unix, on no loop yet: it may be handed to another thread's transport.
    using Socket = Descriptor;
    using Listener = ListeningSocket;
    class Stream;
    class Connecting;

    /// What a stream receives in one turn at most, and the size of the thread's one receive buffer. Echoing messages
    /// of 1 MiB cost 1.4 times as much with 64 KiB, and 1.2 times as much with a whole level 2 cache of 1 MiB.
    static constexpr std::size_t receive_buffer_size = std::size_t{256} << 10;

    /// Brings its own loop, to be run by one thread.
    AsioTransport();
    /// Lives on the caller's loop, which one thread runs: run() returns at once; stop(), on that thread, stops
    /// listening and waking and leaves the caller's own work alone. `context` must outlive it.
    explicit AsioTransport(boost::asio::io_context& context);
    /// Its streams are gone by then. On the loop's thread, or while nobody runs the loop.
    ~AsioTransport();
    AsioTransport(const AsioTransport&) = delete;
    AsioTransport& operator=(const AsioTransport&) = delete;

    OutputBuffer& output() noexcept;
    void post(UniqueFunction<void()> task);
    Clock::time_point now() const noexcept { return Clock::now(); }
    void on_wake(UniqueFunction<void()> task);
    void wake_at(Clock::time_point time);

    void listen(ListeningSocket listener, UniqueFunction<void(Socket)> accepted);
    void stop_listening();
    /// `told` is called each time that accepting has to wait, mostly because descriptors or memory have run out:
    /// until a stream of this transport closes, at most 100 ms. Before listen().
    void on_accept_paused(UniqueFunction<void(std::error_code)> told);

    /// Resolves `to` (TCP: it needs a host) and tries its addresses in turn until `deadline`. `connected` is called
    /// once, on the loop's thread and never from within, with the socket, with the last address's error, or with
    /// std::errc::timed_out. Not called any more once the Connecting is cancelled or destroyed.
    using Connected = UniqueFunction<void(Result<Socket, std::error_code>)>;
    [[nodiscard]] Connecting connect(const Endpoint& to, Clock::time_point deadline, Connected connected);

    void run();
    void stop();

    boost::asio::io_context& context() noexcept;

   private:
    std::unique_ptr<boost::asio::io_context> own_context_;
    std::shared_ptr<detail::AsioLoop> loop_;  // refers to the context; what waits there may hold on to it
};

/// See TransportStream. As large as a pointer; what it needs lies behind that.
class AsioTransport::Stream final : public StreamHandle<detail::AsioStream> {
   public:
    Stream(AsioTransport& transport, Socket socket);
};

/// A connect() under way, which ends with it. Must not outlive the transport.
class AsioTransport::Connecting {
   public:
    Connecting() noexcept = default;
    Connecting(Connecting&&) noexcept = default;
    Connecting& operator=(Connecting&& other) noexcept;
    ~Connecting();

    void cancel();

   private:
    friend class AsioTransport;
    explicit Connecting(std::shared_ptr<detail::AsioConnecting> state) noexcept;

    std::shared_ptr<detail::AsioConnecting> state_;
};

static_assert(Transport<AsioTransport>);

}  // namespace wsserver
