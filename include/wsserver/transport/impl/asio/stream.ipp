// Receives and sends when the socket of an AsioStream is ready.
#pragma once

#include "wsserver/transport/detail/asio/stream.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <cassert>
#include <cerrno>
#include <climits>
#include <new>
#include <utility>

#include "wsserver/base/within_memory.hpp"
namespace wsserver::detail {

namespace {

/// Pieces per sendmsg(): well below IOV_MAX (1024), and few enough for the stack.
constexpr std::size_t pieces_per_call = 64;
static_assert(pieces_per_call <= IOV_MAX);

/// After a send has failed, at most this many buffers are received before the error is reported.
constexpr int asio_last_receives = 32;

struct Sent {
    std::size_t count = 0;  ///< bytes
    int error = 0;          ///< errno; EAGAIN: the socket's buffer is full
};

/// Sends as many bytes of `pieces` as the kernel takes.
Sent send_now(int socket, std::span<const SendPiece> pieces) {
    Sent sent;
    std::array<iovec, pieces_per_call> parts;
    for (std::size_t next = 0; next < pieces.size();) {
        std::size_t used = 0, wanted = 0;
        for (; next < pieces.size() && used < parts.size(); ++next) {
            const Bytes bytes = pieces[next].bytes;
            if (bytes.empty()) continue;
            parts[used++] = {const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
            wanted += bytes.size();
        }
        if (used == 0) break;
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = used;
        ssize_t count = 0;
        do {
            count = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        } while (count < 0 && errno == EINTR);
        if (count < 0) {
            sent.error = errno == EWOULDBLOCK ? EAGAIN : errno;
            break;
        }
        sent.count += static_cast<std::size_t>(count);
        if (static_cast<std::size_t>(count) < wanted) {  // the buffer is full; another call would only confirm it
            sent.error = EAGAIN;
            break;
        }
    }
    return sent;
}

}  // namespace

// --- Memory of the read operation ---

/// The handler of the read operation. Its memory is a part of the stream.
class AsioStream::ReadOperation {
   public:
    explicit ReadOperation(Pointer stream) noexcept : stream_(std::move(stream)) {}

    void operator()(boost::system::error_code = {}) const { stream_->readable(); }

    template <class T>
    struct Allocator {
        using value_type = T;

        explicit Allocator(AsioStream* owner) noexcept : stream(owner) {}
        template <class U>
        Allocator(const Allocator<U>& other) noexcept : stream(other.stream) {}
        T* allocate(std::size_t count) const { return static_cast<T*>(stream->allocate_operation(count * sizeof(T))); }
        void deallocate(T* place, std::size_t) const noexcept { stream->free_operation(place); }
        friend bool operator==(const Allocator& a, const Allocator& b) noexcept { return a.stream == b.stream; }

        AsioStream* stream;
    };
    using allocator_type = Allocator<void>;
    allocator_type get_allocator() const noexcept { return allocator_type{stream_.get()}; }

   private:
    Pointer stream_;
};

void* AsioStream::allocate_operation(std::size_t size) {
    if (size > operation_size || std::exchange(operation_taken_, true)) return ::operator new(size);
    return operation_;
}

void AsioStream::free_operation(void* place) noexcept {
    if (place != operation_) return ::operator delete(place);
    operation_taken_ = false;
}

/// Calls `f` for the loop. Running out of memory is an error of this stream only.
template <class F>
void AsioStream::in_turn(F&& f) {
    if (!within_memory(f)) report_failure(ENOMEM);
}

// --- Receiving ---

AsioStream::AsioStream(AsioLoop& loop, Descriptor socket) : loop_(loop), socket_(loop.context()) {
    boost::system::error_code error;
    socket_.assign(socket.get(), error);
    if (!error) (void)socket.release();
    // If assign() fails (no memory to register the socket), start() finds no open socket and reports it.
}

void AsioStream::start(StreamUser& user) {
    assert(user_ == nullptr && !closed_);
    user_ = &user;
    if (socket_.is_open()) return await_bytes();
    sending_ = Sending::failed;
    loop_.post([self = Pointer{this}] { self->report_failure(ENOMEM); });
}

void AsioStream::await_bytes() {
    if (awaiting_bytes_ || queued_ || !may_receive()) return;
    awaiting_bytes_ = true;
    socket_.async_wait(WaitableDescriptor::wait_read, ReadOperation{Pointer{this}});
}

void AsioStream::receive_later() {
    if (awaiting_bytes_ || queued_ || !may_receive()) return;
    loop_.receive_in_order(*this);
    queued_ = true;
}

void AsioStream::readable() {
    awaiting_bytes_ = false;
    if (user_ == nullptr) return;  // perhaps without a loop
    const auto turn = loop_.turn();
    if (closed_) return release();
    if (!may_receive()) return;  // resume_receiving() waits for readiness again
    in_turn([this] {
        // One buffer per turn: other streams are served before the rest is received.
        const bool much = receive() >= AsioReceiveQueue::much;
        much ? receive_later() : await_bytes();
    });
}

/// Receives once and passes the bytes to the user. Returns their number.
std::size_t AsioStream::receive() {
    ReceiveBuffer lent = user_->wants_buffer() ? user_->prepare_buffer() : ReceiveBuffer{};
    const bool direct = !lent.empty();
    const MutableBytes buffer = direct ? lent.bytes() : loop_.buffer();
    const std::size_t size = std::min(buffer.size(), AsioTransport::receive_buffer_size);
    const ssize_t count = ::recv(socket_.native_handle(), buffer.data(), size, MSG_DONTWAIT);
    const int error = errno;
    const std::size_t received = count > 0 ? static_cast<std::size_t>(count) : 0;
    if (direct) {
        user_->commit_buffer(std::move(lent), received);
    } else if (received > 0) {
        user_->on_bytes(buffer.first(received));
    }
    if (received > 0) return received;
    if (count == 0) {
        ended_ = true;
        if (sending_ < Sending::failed) user_->on_end({});  // otherwise the error of the send follows
    } else if (error != EAGAIN && error != EWOULDBLOCK && error != EINTR) {
        report_failure(error);
    }
    return 0;
}

void AsioStream::resume_receiving() {
    paused_ = false;
    receive_later();  // much may have arrived meanwhile
}

// --- Sending ---

bool AsioStream::send(std::span<const SendPiece> pieces) {
    assert(!batch_ && sending_ != Sending::ending);
    if (user_ == nullptr || closed_ || sending_ != Sending::open) return false;
    const Sent sent = send_now(socket_.native_handle(), pieces);
    if (sent.error == 0) return true;
    if (sent.error == EAGAIN) {
        batch_ = std::make_unique<SendBatch>(pieces, sent.count);
        await_writable();
    } else {
        sending_ = Sending::failed;
        loop_.post([self = Pointer{this}, error = sent.error] { self->in_turn([&] { self->send_failed(error); }); });
    }
    return false;
}

void AsioStream::await_writable() {
    socket_.async_wait(WaitableDescriptor::wait_write,
                       [self = Pointer{this}](boost::system::error_code) { self->in_turn([&] { self->writable(); }); });
}

void AsioStream::writable() {
    if (user_ == nullptr || closed_ || !batch_) return;
    const auto turn = loop_.turn();
    const Sent sent = send_now(socket_.native_handle(), batch_->rest());
    batch_->advance(sent.count);
    if (sent.error == EAGAIN) return await_writable();
    if (sent.error != 0) return send_failed(sent.error);
    batch_.reset();
    if (sending_ == Sending::ending) half_close();
    user_->on_sent();
}

void AsioStream::shutdown_send() {
    if (closed_ || sending_ != Sending::open) return;
    sending_ = Sending::ending;
    if (!batch_) half_close();
}

/// Ignores errors: if the peer is gone, the next receive reports it.
void AsioStream::half_close() noexcept { ::shutdown(socket_.native_handle(), SHUT_WR); }

std::uint64_t AsioStream::unsent(std::uint64_t passed) const noexcept {
    const int socket = const_cast<WaitableDescriptor&>(socket_).native_handle();
    return unsent_on(socket, passed, batch_ ? batch_->size() : 0);
}

// --- The end ---

/// Receives first what is still in the socket, such as the Close frame in which the peer gives its reason.
void AsioStream::send_failed(int error) {
    if (sending_ < Sending::failed) sending_ = Sending::failed;
    batch_.reset();
    for (int i = 0; i < asio_last_receives && may_receive() && receive() > 0; ++i) {
    }
    report_failure(error);
}

void AsioStream::report_failure(int error) {
    if (user_ == nullptr || closed_ || sending_ == Sending::failure_reported) return;
    sending_ = Sending::failure_reported;
    ended_ = true;
    batch_.reset();
    user_->on_end({error, std::system_category()});
}

void AsioStream::close() {
    if (std::exchange(closed_, true)) return;
    boost::system::error_code ignored;
    socket_.close(ignored);
    batch_.reset();
    loop_.stream_closed();
    // Either the read operation is in flight and ends now, or its memory is free.
    if (user_ == nullptr || awaiting_bytes_) return;
    boost::asio::post(loop_.context(), ReadOperation{Pointer{this}});
}

/// The last call of the read operation, or of the one that close() has posted.
void AsioStream::release() {
    if (user_ == nullptr || loop_.is_detached()) return;
    std::exchange(user_, nullptr)->on_released();
}

void AsioStream::abandon() {
    user_ = nullptr;
    close();
    intrusive_ptr_release(this);
}

std::string AsioStream::peer() const {
    return socket_.is_open() ? peer_name(const_cast<WaitableDescriptor&>(socket_).native_handle()) : std::string{};
}

}  // namespace wsserver::detail
