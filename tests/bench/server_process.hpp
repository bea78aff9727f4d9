// A server under test as a process of its own: started, pinned to a core, watched and ended.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace wsserver::bench {

class ServerProcess {
   public:
    /// Starts `command`, on the given core only if there is one, and waits until it listens: on `port`, or on the
    /// one in its line `listening on SCHEME://HOST:PORT`. Throws std::runtime_error if it doesn't.
    ServerProcess(const std::vector<std::string>& command, std::optional<int> core,
                  std::optional<std::uint16_t> port = {});
    ServerProcess(const ServerProcess&) = delete;
    ServerProcess& operator=(const ServerProcess&) = delete;
    ~ServerProcess();

    std::uint16_t port() const noexcept { return port_; }

    /// CPU time that all its threads have used.
    std::chrono::nanoseconds cpu() const;

    /// ByteVector that are its own and no file's: heap, stacks, changed data.
    std::size_t anonymous_memory() const;

   private:
    std::uint16_t announced_port(int output) const;
    void wait_until_listening() const;

    pid_t pid_;
    std::uint16_t port_ = 0;
};

/// Lets this process run on that core only.
void pin_to(int core);

}  // namespace wsserver::bench
