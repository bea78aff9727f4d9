// Sockets to listen on, opened before any thread runs, so that an error can still be told to whoever started us.
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

/// The file of a Unix socket that we have bound; removed with its last owner, if it is still ours by then.
class SocketFile;

/// A socket that listens; non-blocking, close-on-exec. For one transport.
class ListeningSocket {
   public:
    ListeningSocket() noexcept = default;
    explicit ListeningSocket(Descriptor descriptor, std::shared_ptr<SocketFile> file = {}) noexcept
        : file_(std::move(file)), descriptor_(std::move(descriptor)) {}

    int descriptor() const noexcept { return descriptor_.get(); }
    /// The bare descriptor; a Unix socket's file goes, unless others listen there.
    Descriptor release() noexcept {
        file_.reset();
        return std::move(descriptor_);
    }

   private:
    std::shared_ptr<SocketFile> file_;  // goes after the descriptor: who finds the file still finds us listening
    Descriptor descriptor_;
};

/// Ends listening on a socket from any thread, while the one that accepts there is busy, or blocked for ever.
class ListenerShutdown {
   public:
    /// Keeps a duplicate: until it is shut the port stays taken, also when `socket` is gone. Out of descriptors it
    /// has none, and shut() does nothing.
    explicit ListenerShutdown(const ListeningSocket& socket) noexcept;

    /// Who connects from now on is refused; accept() fails with EINVAL or finds nobody. That goes for all duplicates of
    /// the socket, so also for those of other processes. Only Linux does so; elsewhere closing the socket must do.
    void shut() noexcept;

   private:
    Descriptor descriptor_;
};

struct Listeners {
    Endpoint endpoint;                     ///< as bound: the address in numbers, the port that port 0 became
    std::vector<ListeningSocket> sockets;  ///< one for each thread
};

/// Binds and listens, once for each of `count` threads (at least one).
///
/// TCP: one socket each (SO_REUSEPORT: the kernel spreads the peers over them). A name stands for its first IPv4
/// address, or else its first IPv6 one; an empty host for all addresses of both kinds.
/// Unix: one socket, duplicated. A file that a dead process left behind is replaced.
/// An error names the endpoint, what is wrong and what to do: in use by somebody else, no permission, no such
/// address, no such directory, a path that is too long.
Result<Listeners, std::string> open_listeners(const Endpoint& endpoint, std::size_t count = 1);

}  // namespace wsserver
