// A server under test in a process of its own.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace wsserver::bench {

/// Starts a server, pins it to a core, measures it, and kills it at the end.
class ServerProcess {
   public:
    /// Starts `command`, pinned to `core` if there is one, and waits until it listens: on `port`, or on the port in its
    /// line `listening on SCHEME://HOST:PORT`. Throws std::runtime_error if it does not.
    ServerProcess(const std::vector<std::string>& command, std::optional<int> core,
                  std::optional<std::uint16_t> port = {});
    ServerProcess(const ServerProcess&) = delete;
    ServerProcess& operator=(const ServerProcess&) = delete;
    ~ServerProcess();

    std::uint16_t port() const noexcept { return port_; }

    /// The CPU time that all its threads have used.
    std::chrono::nanoseconds cpu() const;

    /// The bytes of memory that do not belong to a file: heap, stacks, changed data.
    std::size_t anonymous_memory() const;

   private:
    std::uint16_t announced_port(int output) const;
    void wait_until_listening() const;

    pid_t pid_;
    std::uint16_t port_ = 0;
};

/// Makes this process run on `core` only.
void pin_to(int core);

}  // namespace wsserver::bench
