// Binds TCP and Unix sockets, removes the stale file of a Unix socket, and explains failures.
#pragma once

#include "wsserver/transport/listener.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string_view>
#include <system_error>
#include <thread>

#include "wsserver/transport/detail/socket_address.hpp"

namespace wsserver {

/// Locked while this process removes or creates a socket file: one that has just been created must not be removed in
/// place of an older one.
inline std::mutex socket_files_change;

class SocketFile {
   public:
    SocketFile(std::string path, const struct stat& status)
        : path_(std::move(path)), device_(status.st_dev), inode_(status.st_ino) {}
    SocketFile(const SocketFile&) = delete;
    SocketFile& operator=(const SocketFile&) = delete;
    ~SocketFile() {
        const std::lock_guard lock(socket_files_change);
        struct stat now;  // another process may have replaced the file
        if (::lstat(path_.c_str(), &now) == 0 && now.st_dev == device_ && now.st_ino == inode_) {
            ::unlink(path_.c_str());
        }
    }

   private:
    std::string path_;
    dev_t device_;
    ino_t inode_;
};

ListenerHandle::ListenerHandle(const ListeningSocket& socket) noexcept
    : descriptor_(::fcntl(socket.descriptor(), F_DUPFD_CLOEXEC, 0)), is_inherited_(socket.is_inherited()) {}

void ListenerHandle::shut() noexcept {
    if (!descriptor_) return;
    if (!is_inherited_) ::shutdown(descriptor_.get(), SHUT_RD);
    descriptor_.reset();
}

Descriptor ListenerHandle::accept() noexcept {
    if (!descriptor_) return {};
    return Descriptor{::accept4(descriptor_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
}

ListeningSocket ListenerHandle::duplicate() const noexcept {
    if (!descriptor_) return {};
    Descriptor copy{::fcntl(descriptor_.get(), F_DUPFD_CLOEXEC, 0)};
    return is_inherited_ ? ListeningSocket::inherited(std::move(copy)) : ListeningSocket{std::move(copy)};
}

namespace {

using Problem = Unexpected<std::string>;

std::string system_message(int error) { return std::system_category().message(error); }

Problem cannot_listen(const Endpoint& endpoint, std::string_view why) {
    return Problem{"cannot listen on " + to_string(endpoint) + ": " + std::string{why}};
}

/// What to do about the errors that are common in practice.
std::string_view advice_for(int error) noexcept {
    switch (error) {
        case EADDRINUSE:
            return "; another program listens there: stop it or choose another port";
        case EACCES:
            return "; ports below 1024 are reserved for root: choose a higher one or grant CAP_NET_BIND_SERVICE";
        case EADDRNOTAVAIL:
            return "; this machine has no such address: leave the host empty to listen on all addresses";
        case EMFILE:
            return "; raise the limit of open files (ulimit -n)";
        default:
            return "";
    }
}

Problem cannot_listen(const Endpoint& endpoint, int error) {
    return cannot_listen(endpoint, system_message(error).append(advice_for(error)));
}

void set_flag(int socket, int level, int name, int value) noexcept {
    ::setsockopt(socket, level, name, &value, sizeof value);
}

Descriptor open_socket(int family) {
    return Descriptor{::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
}

/// How long to wait for an address that is in use.
constexpr std::chrono::milliseconds probe_patience{500};

/// Calls `free` until it returns true or probe_patience is over. A process that was killed keeps its listening sockets
/// for a moment, because the kernel ends the requests of its io_uring in the background.
template <class F>
bool becomes_free(F&& free) {
    const auto end = std::chrono::steady_clock::now() + probe_patience;
    while (!free()) {
        if (std::chrono::steady_clock::now() >= end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
    }
    return true;
}

/// Returns 0 or an errno.
int bind_socket(const Descriptor& socket, const SocketAddress& address) {
    int error = 0;
    becomes_free([&] {
        error = ::bind(socket.get(), address.get(), address.size) == 0 ? 0 : errno;
        return error != EADDRINUSE;
    });
    return error;
}

// --- TCP ---

Result<SocketAddress, std::string> address_to_bind(const Endpoint& endpoint) {
    if (endpoint.host.empty()) {
        // One socket for both families, unless this machine has no IPv6.
        return any_address(open_socket(AF_INET6) ? AF_INET6 : AF_INET, endpoint.port);
    }
    const auto found = look_up(endpoint.host, endpoint.port);
    if (!found) {
        return cannot_listen(endpoint, "no address is known for '" + endpoint.host + "' (" + found.error().message() +
                                           "); write an address of this machine");
    }
    const auto ipv4 = std::find_if(found->begin(), found->end(),
                                   [](const SocketAddress& address) { return address.family() == AF_INET; });
    return ipv4 != found->end() ? *ipv4 : found->front();
}

/// Returns a bound socket or an errno.
Result<Descriptor, int> bind_tcp(const SocketAddress& address, bool both_families, bool shared_port) {
    Descriptor socket = open_socket(address.family());
    if (!socket) return Unexpected{errno};
    // So that a restart can bind while connections of the last run are still in TIME_WAIT.
    set_flag(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    if (shared_port) set_flag(socket.get(), SOL_SOCKET, SO_REUSEPORT, 1);
    if (address.family() == AF_INET6) set_flag(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, both_families ? 0 : 1);
    if (const int error = bind_socket(socket, address); error != 0) return Unexpected{error};
    return socket;
}

/// Returns a socket bound to `address`, which becomes the IPv4 address if there is no IPv6. Does not use SO_REUSEPORT:
/// with it, bind() would succeed although another process of the same user listens on a port that it shares.
Result<Descriptor, std::string> bind_first(const Endpoint& endpoint, SocketAddress& address) {
    auto bound = bind_tcp(address, endpoint.host.empty(), false);
    const bool no_ipv6 = !bound && (bound.error() == EAFNOSUPPORT || bound.error() == EADDRNOTAVAIL);
    if (no_ipv6 && endpoint.host.empty()) {
        address = any_address(AF_INET, endpoint.port);
        bound = bind_tcp(address, true, false);
    }
    if (!bound) return cannot_listen(endpoint, bound.error());
    return *std::move(bound);
}

Result<Listeners, std::string> listen_tcp(const Endpoint& endpoint, std::size_t count) {
    auto address = address_to_bind(endpoint);
    if (!address) return Problem{address.error()};
    auto first = bind_first(endpoint, *address);
    if (!first) return Problem{first.error()};

    Listeners listeners{.endpoint = local_endpoint(first->get()), .sockets = {}};
    address->set_port(listeners.endpoint.port);
    if (count <= 1) {
        listeners.sockets.emplace_back(*std::move(first));
    } else {
        // `first` holds the port until all sockets have it. Sockets that are only bound do not exclude each other
        // (SO_REUSEADDR). Listening ones do, unless all have SO_REUSEPORT.
        for (std::size_t i = 0; i < count; ++i) {
            auto next = bind_tcp(*address, endpoint.host.empty(), true);
            if (!next) return cannot_listen(endpoint, next.error());
            listeners.sockets.emplace_back(*std::move(next));
        }
    }
    for (const ListeningSocket& socket : listeners.sockets) {
        if (::listen(socket.descriptor(), SOMAXCONN) != 0) return cannot_listen(endpoint, errno);
    }
    return listeners;
}

// --- Unix ---

/// True if no process listens on the socket file. A process that has died leaves its file, which refuses connections.
bool is_stale(const SocketAddress& address) {
    const Descriptor client = open_socket(AF_UNIX);
    if (!client || ::connect(client.get(), address.get(), address.size) == 0) return false;
    return errno == ECONNREFUSED || errno == ENOENT;  // ENOENT: its owner has just removed it
}

/// Waits until no process listens at the socket file. Returns what the file is; nothing if there is none.
Result<std::optional<struct stat>, std::string> wait_for_stale_file(const Endpoint& endpoint,
                                                                    const SocketAddress& address) {
    struct stat found;
    // If the path is wrong, bind() reports it.
    if (::lstat(endpoint.unix_path.c_str(), &found) != 0) return std::optional<struct stat>{};
    if (!S_ISSOCK(found.st_mode)) {
        return cannot_listen(endpoint, "the file exists and is not a socket; remove it or choose another path");
    }
    if (!becomes_free([&] { return is_stale(address); })) {
        return cannot_listen(endpoint, "another program listens there; stop it or choose another path");
    }
    return std::optional{found};
}

/// Removes the socket file of a process that has died, if it is still the one that was found. Another process may have
/// started and replaced it.
Result<void, std::string> remove_stale_file(const Endpoint& endpoint, const struct stat& before) {
    const char* path = endpoint.unix_path.c_str();
    struct stat after;
    const bool same = ::lstat(path, &after) == 0 && before.st_ino == after.st_ino && before.st_dev == after.st_dev &&
                      before.st_ctim.tv_sec == after.st_ctim.tv_sec && before.st_ctim.tv_nsec == after.st_ctim.tv_nsec;
    if (same && ::unlink(path) != 0) {
        return cannot_listen(endpoint,
                             "cannot remove the socket file of a process that has died: " + system_message(errno));
    }
    return {};
}

std::string_view advice_for_path(int error) noexcept {
    switch (error) {
        case ENOENT:
            return "; create its directory";
        case EACCES:
        case EROFS:
            return "; its directory must be writable by this user";
        case EADDRINUSE:
            return "; another program listens there: stop it or choose another path";
        default:
            return "";
    }
}

Result<Descriptor, std::string> bind_unix(const Endpoint& endpoint, std::shared_ptr<SocketFile>& file) {
    const auto address = unix_address(endpoint.unix_path);
    if (!address) {
        return cannot_listen(endpoint, "the path of a socket can have at most " +
                                           std::to_string(sizeof(sockaddr_un::sun_path) - 1) +
                                           " characters; choose a shorter one");
    }
    const bool has_file = endpoint.unix_path.front() != '@';
    std::optional<struct stat> stale;
    if (has_file) {
        auto found = wait_for_stale_file(endpoint, *address);
        if (!found) return Problem{found.error()};
        stale = *found;
    }
    const std::lock_guard lock(socket_files_change);
    if (stale) {
        if (auto removed = remove_stale_file(endpoint, *stale); !removed) return Problem{removed.error()};
    }
    Descriptor socket = open_socket(AF_UNIX);
    if (!socket) return cannot_listen(endpoint, errno);
    if (const int error = bind_socket(socket, *address); error != 0) {
        return cannot_listen(endpoint, system_message(error).append(advice_for_path(error)));
    }
    struct stat status;
    if (has_file && ::lstat(endpoint.unix_path.c_str(), &status) == 0) {
        file = std::make_shared<SocketFile>(endpoint.unix_path, status);
    }
    return socket;
}

Result<Listeners, std::string> listen_unix(const Endpoint& endpoint, std::size_t count) {
    std::shared_ptr<SocketFile> file;
    auto socket = bind_unix(endpoint, file);
    if (!socket) return Problem{socket.error()};
    if (::listen(socket->get(), SOMAXCONN) != 0) return cannot_listen(endpoint, errno);

    Listeners listeners{.endpoint = endpoint, .sockets = {}};
    for (std::size_t i = 1; i < count; ++i) {
        Descriptor copy{::fcntl(socket->get(), F_DUPFD_CLOEXEC, 0)};
        if (!copy) return cannot_listen(endpoint, errno);
        listeners.sockets.emplace_back(std::move(copy), file);
    }
    listeners.sockets.emplace_back(*std::move(socket), std::move(file));
    return listeners;
}

// --- Inherited sockets ---

constexpr int first_inherited = 3;  // SD_LISTEN_FDS_START

/// A decimal number in the environment; nothing if there is none.
std::optional<int> number_in_environment(const char* name) {
    const char* const text = std::getenv(name);
    if (text == nullptr) return std::nullopt;
    int number = 0;
    const char* const end = text + std::string_view{text}.size();
    const auto [stop, error] = std::from_chars(text, end, number);
    if (error != std::errc{} || stop != end) return std::nullopt;
    return number;
}

bool is_listening(int socket) {
    int type = 0, listens = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) return false;
    size = sizeof listens;
    return ::getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0;
}

void make_non_blocking(int socket) noexcept { ::fcntl(socket, F_SETFL, ::fcntl(socket, F_GETFL) | O_NONBLOCK); }

}  // namespace

Result<Listeners, std::string> adopt_listeners(const Descriptor& listener, std::size_t count) {
    if (!is_listening(listener.get())) {
        return Problem{"descriptor " + std::to_string(listener.get()) + " is not a stream socket that listens"};
    }
    make_non_blocking(listener.get());
    Listeners listeners{.endpoint = local_endpoint(listener.get()), .sockets = {}};
    for (std::size_t i = 0; i < std::max<std::size_t>(count, 1); ++i) {
        Descriptor copy{::fcntl(listener.get(), F_DUPFD_CLOEXEC, 0)};
        if (!copy) return cannot_listen(listeners.endpoint, errno);
        listeners.sockets.push_back(ListeningSocket::inherited(std::move(copy)));
    }
    return listeners;
}

Result<std::vector<Descriptor>, std::string> take_inherited_sockets() {
    const auto process = number_in_environment("LISTEN_PID");
    const auto count = number_in_environment("LISTEN_FDS");
    if (process != ::getpid() || !count || *count < 1) {
        return Problem{
            "no socket was passed to this process (LISTEN_PID, LISTEN_FDS): start it by a systemd socket unit"};
    }
    for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
    std::vector<Descriptor> sockets;
    for (int number = first_inherited; number < first_inherited + *count; ++number) {
        ::fcntl(number, F_SETFD, FD_CLOEXEC);
        sockets.emplace_back(number);
    }
    return sockets;
}

Result<Listeners, std::string> open_listeners(const Endpoint& endpoint, std::size_t count) {
    return endpoint.is_unix() ? listen_unix(endpoint, count) : listen_tcp(endpoint, count);
}

}  // namespace wsserver
