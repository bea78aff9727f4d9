// Receives and sends with one system call per turn.
#include "load_uring.hpp"

#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace wsserver::bench {

namespace {

enum class What : std::uint32_t { received, sent_some, sent_rest };

constexpr std::uint64_t data(What what, std::uint32_t connection) {
    return std::uint64_t{connection} << 32 | static_cast<std::uint32_t>(what);
}

}  // namespace

LoadUring::~LoadUring() {
    for (const Connection& connection : connections_) close(connection.socket);
}

void LoadUring::add(int socket) {
    const auto connection = static_cast<std::uint32_t>(connections_.size());
    ring_.register_file(connection, socket);
    ring_.receive_many(connection, data(What::received, connection));
    connections_.push_back({socket});
}

void LoadUring::send(std::size_t connection, std::string_view bytes) {
    const auto file = static_cast<std::uint32_t>(connection);
    connections_[connection].sending = bytes;
    ring_.send_now(file, bytes, data(What::sent_some, file));
}

void LoadUring::turn(std::chrono::milliseconds timeout, Handler& handler) {
    ring_.turn([&](const io_uring_cqe& completion) { react(completion, handler); }, timeout);
}

void LoadUring::react(const io_uring_cqe& completion, Handler& handler) {
    const auto connection = static_cast<std::uint32_t>(completion.user_data >> 32);
    switch (static_cast<What>(completion.user_data & 0xffffffff)) {
        case What::received:
            return received(connection, completion, handler);
        case What::sent_some:
            return sent_some(connection, completion.res);
        case What::sent_rest:
            if (completion.res < 0) throw std::system_error{-completion.res, std::generic_category(), "send"};
            connections_[connection].waits = false;
            return handler.on_writable(connection);
    }
}

void LoadUring::received(std::uint32_t connection, const io_uring_cqe& completion, Handler& handler) {
    if (completion.res > 0) {
        const iovec bytes = ring_.buffers().take(completion);
        handler.on_bytes(connection, {static_cast<const char*>(bytes.iov_base), bytes.iov_len});
        ring_.buffers().release(ReceiveBuffers::buffer_of(completion));
    } else if (completion.res != -ENOBUFS) {
        throw std::runtime_error{"the server under test closed a connection"};
    }
    if ((completion.flags & IORING_CQE_F_MORE) == 0) ring_.receive_many(connection, data(What::received, connection));
}

void LoadUring::sent_some(std::uint32_t connection, int result) {
    if (result < 0 && result != -EAGAIN) throw std::system_error{-result, std::generic_category(), "send"};
    Connection& sender = connections_[connection];
    sender.sending.remove_prefix(result < 0 ? 0 : static_cast<std::size_t>(result));
    sender.waits = true;
    ring_.send_all(connection, sender.sending, data(What::sent_rest, connection));
}

}  // namespace wsserver::bench
