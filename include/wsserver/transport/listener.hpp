// Opens the sockets to listen on before any thread runs, so that an error reaches the user at startup.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/transport/endpoint.hpp"

namespace wsserver {

/// The file of a Unix socket that this process has bound. The last owner removes it, unless another process has
/// replaced it.
class SocketFile;

/// A listening socket for one transport. Non-blocking and close-on-exec.
class ListeningSocket {
   public:
    ListeningSocket() noexcept = default;
    /// Takes ownership of a non-blocking socket that listens. `file` is that of a Unix socket; null for others.
    explicit ListeningSocket(Descriptor descriptor, std::shared_ptr<SocketFile> file = {}) noexcept
        : file_(std::move(file)), descriptor_(std::move(descriptor)) {}
    /// The same for a socket that other processes have, too, and that must go on listening for them.
    static ListeningSocket inherited(Descriptor descriptor) noexcept {
        ListeningSocket socket{std::move(descriptor)};
        socket.is_inherited_ = true;
        return socket;
    }

    /// Whether it was made by inherited().
    bool is_inherited() const noexcept { return is_inherited_; }

    /// The number for system calls; -1 if there is no socket. This object keeps ownership.
    int descriptor() const noexcept { return descriptor_.get(); }
    /// Returns the descriptor alone. The file of a Unix socket is removed, unless other sockets still share it.
    Descriptor release() noexcept {
        file_.reset();
        return std::move(descriptor_);
    }

   private:
    bool is_inherited_ = false;
    std::shared_ptr<SocketFile> file_;  // destroyed after the descriptor: while the file exists, the socket listens
    Descriptor descriptor_;
};

/// Reaches a listener from another thread than the one that accepts, even if that one is busy or blocked forever. One
/// thread at a time.
class ListenerHandle {
   public:
    /// Keeps a duplicate of the descriptor: the port stays in use until shut(), even if `socket` is closed. Without a
    /// free descriptor it keeps none, and the other members do nothing.
    explicit ListenerHandle(const ListeningSocket& socket) noexcept;

    /// From now on connections are refused, and accept() fails with EINVAL or finds no peer. This holds for all
    /// duplicates of the socket, also in other processes, but not for inherited sockets: only the handle is empty then.
    /// Only Linux behaves like this; on other systems the socket has to be closed. Further calls do nothing.
    void shut() noexcept;

    /// Accepts a peer in place of the listener's own thread. Does not wait. The result is a non-blocking socket; empty
    /// if no peer waits, after an error, and after shut().
    Descriptor accept() noexcept;

    /// One more socket of the same listener, for another transport. Empty without a free descriptor, and after shut().
    ListeningSocket duplicate() const noexcept;

   private:
    Descriptor descriptor_;
    bool is_inherited_;
};

/// What open_listeners() has opened.
struct Listeners {
    Endpoint endpoint;                     ///< as bound: the address in numbers, and the actual port instead of 0
    std::vector<ListeningSocket> sockets;  ///< one for each thread
};

/// Binds and listens, with one socket for each of `count` threads (at least one). Blocks while a name is resolved, and
/// up to 500 ms while an address is still in use.
///
/// TCP: a socket for each thread (SO_REUSEPORT: the kernel distributes the peers over them). Of the addresses of a
/// name, the first IPv4 address is used, otherwise the first IPv6 address. An empty host means all addresses of both
/// families.
///
/// Unix: one socket, duplicated. The file of a process that has died is replaced.
///
/// An error names the endpoint, what is wrong and what to do: in use by another program, no permission, no such
/// address, no such directory, a path that is too long.
Result<Listeners, std::string> open_listeners(const Endpoint& endpoint, std::size_t count = 1);

/// Duplicates a TCP or Unix socket that listens already, for `count` threads. It stays as it is, except that it becomes
/// non-blocking, and goes on listening when the result is closed. An error says that it is not such a socket.
Result<Listeners, std::string> adopt_listeners(const Descriptor& listener, std::size_t count = 1);

/// Takes the sockets that a service manager has passed to this process, in their order (sd_listen_fds(3): LISTEN_PID
/// and LISTEN_FDS), and removes these variables from the environment: no other thread may use it meanwhile. An error
/// says that there are none.
Result<std::vector<Descriptor>, std::string> take_inherited_sockets();

}  // namespace wsserver
