// A client on a real socket, for tests with threads. Each of its calls waits for at most 30 seconds.
#pragma once

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "support/memory_server.hpp"
#include "wsserver/handshake/url.hpp"
#include "wsserver/protocol/protocol.hpp"
#include "wsserver/transport/endpoint.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

namespace wsserver::test {

/// A WebSocket client whose calls block. Throws std::runtime_error on errors.
class BlockingClient {
   public:
    /// Connects, without the opening handshake. `url` is a result of Server::listen(), which has a numeric address.
    explicit BlockingClient(std::string_view url) {
        const auto parsed = parse_url(url);
        if (!parsed) throw std::runtime_error(parsed.error());
        socket_ = parsed->unix_path.empty() ? connect_tcp(*parsed) : connect_unix(*parsed);
        const timeval timeout{30, 0};
        setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
        setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    }
    /// Connects and completes the opening handshake.
    BlockingClient(std::string_view url, std::string_view subprotocol) : BlockingClient(url) {
        write(
            upgrade_request(subprotocol.empty() ? "" : "Sec-WebSocket-Protocol: " + std::string{subprotocol} + "\r\n"));
        response = read_head();
    }
    BlockingClient(BlockingClient&& other) noexcept
        : response(std::move(other.response)), socket_(std::exchange(other.socket_, -1)), end_(std::move(other.end_)) {}
    ~BlockingClient() { hang_up(); }

    void hang_up() noexcept {
        if (socket_ >= 0) ::close(std::exchange(socket_, -1));
    }

    /// From now on, takes at most 64 KiB after each `pause`, and lets the kernel keep little.
    void read_slowly(std::chrono::milliseconds pause) {
        pause_ = pause;
        const int bytes = 128 << 10;
        setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    }

    std::string response;  ///< the header of the server's response to the opening handshake

    void write(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) throw std::runtime_error(std::string{"send: "} + std::strerror(errno));
            bytes.remove_prefix(static_cast<std::size_t>(count));
        }
    }
    void send(std::string_view text) {
        (void)end_->protocol.send(Text{text}, end_->out).has_value();
        flush();
    }
    void ping(std::string_view payload) {
        (void)end_->protocol.ping(bytes_of(payload), end_->out).has_value();
        flush();
    }
    void close(CloseCode code) {
        (void)end_->protocol.close(code, {}, end_->out).has_value();
        flush();
    }

    /// Waits for the next event: `text ...`, `pong ...`, `close 1000 ...`, or `end` for the end of the stream.
    std::string next() {
        for (;;) {
            if (const auto event = end_->protocol.next_event(end_->received, end_->out)) {
                std::string words = to_string(*event);
                flush();
                return words;
            }
            end_->bytes = read();
            if (end_->bytes.empty()) return "end";
            end_->received = {reinterpret_cast<std::uint8_t*>(end_->bytes.data()), end_->bytes.size()};
        }
    }
    std::string read_head() {
        std::string head;
        while (!head.ends_with("\r\n\r\n")) {
            char byte = 0;
            if (receive(&byte, 1) != 1) break;
            head.push_back(byte);
        }
        return head;
    }
    /// Reads `count` bytes, or fewer at the end of the stream.
    std::string read_bytes(std::size_t count) {
        std::string bytes(count, '\0');
        std::size_t so_far = 0;
        while (so_far < count) {
            const ssize_t received = receive(bytes.data() + so_far, count - so_far);
            if (received <= 0) break;
            so_far += static_cast<std::size_t>(received);
        }
        bytes.resize(so_far);
        return bytes;
    }
    /// Reads until the server ends the stream.
    std::string read_rest() {
        std::string rest;
        char byte = 0;
        while (receive(&byte, 1) == 1) rest.push_back(byte);
        return rest;
    }

   private:
    static int connect_tcp(const Url& url) {
        const auto port = htons(static_cast<std::uint16_t>(std::stoi(url.port)));
        if (url.host.find(':') != std::string::npos) {
            sockaddr_in6 address{};
            address.sin6_family = AF_INET6;
            address.sin6_port = port;
            inet_pton(AF_INET6, url.host.c_str(), &address.sin6_addr);
            return connect_to(AF_INET6, address);
        }
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = port;
        inet_pton(AF_INET, url.host.c_str(), &address.sin_addr);
        return connect_to(AF_INET, address);
    }
    static int connect_unix(const Url& url) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        url.unix_path.copy(address.sun_path, sizeof address.sun_path - 1);
        return connect_to(AF_UNIX, address);
    }
    template <class Address>
    static int connect_to(int family, const Address& address) {
        const int socket = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
            const std::string why = std::strerror(errno);
            ::close(socket);
            throw std::runtime_error("connect: " + why);
        }
        return socket;
    }
    /// Repeats an interrupted call. A socket with a timeout is interrupted when the process is stopped and continued,
    /// even without a signal handler.
    ssize_t receive(char* into, std::size_t size) const {
        for (;;) {
            const ssize_t count = ::recv(socket_, into, size, 0);
            if (count >= 0 || errno != EINTR) return count;
        }
    }
    std::string read() {
        if (pause_.count() > 0) std::this_thread::sleep_for(pause_);
        std::string bytes(65536, '\0');
        const ssize_t count = receive(bytes.data(), bytes.size());
        if (count < 0 && errno == EAGAIN) throw std::runtime_error("nothing was received for 30 seconds");
        bytes.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
        return bytes;
    }
    void flush() {
        write(text_of(std::as_const(end_->out).bytes()));
        end_->out.clear();
    }

    struct End {
        End() { options.keys = &keys; }
        CountingKeys keys;
        ProtocolOptions options;
        Protocol<Role::client> protocol{options};
        OutputBuffer out;
        std::string bytes;
        MutableBytes received{};  ///< the part of `bytes` that was not read yet
    };
    int socket_ = -1;
    std::chrono::milliseconds pause_{0};
    std::unique_ptr<End> end_ = std::make_unique<End>();
};

}  // namespace wsserver::test
