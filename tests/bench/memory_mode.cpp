// Measures the growth of the server's memory while idle connections are added.
#include "memory_mode.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "load/connecting.hpp"
#include "series.hpp"
#include "server_process.hpp"
#include "table.hpp"

namespace wsserver::bench {

namespace {

using namespace std::chrono_literals;

/// Connections that are not measured: the first ones allocate pools and tables that all share.
constexpr std::size_t first_connections = 1000;
/// How often these connect and disconnect before: enough for their requests to fill a receive buffer of 1 MiB once.
constexpr int times_before = 7;
/// Less than the number of ports that the kernel assigns to one address.
constexpr std::size_t connections_of_an_address = 20'000;
constexpr std::size_t other_descriptors = 100;

/// This process and the server need one descriptor each for every connection.
std::size_t most_connections() {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    return static_cast<std::size_t>(files.rlim_cur) - other_descriptors;
}

/// Connections that send nothing after the opening handshake.
class IdleConnections {
   public:
    explicit IdleConnections(std::uint16_t port) : port_(port) {}
    IdleConnections(const IdleConnections&) = delete;
    IdleConnections& operator=(const IdleConnections&) = delete;
    ~IdleConnections() {
        for (const int socket : sockets_) close(socket);
    }

    void grow_to(std::size_t count, const Contender& contender, const std::string& target) {
        while (sockets_.size() < count) {
            const auto host = static_cast<std::uint8_t>(1 + sockets_.size() / connections_of_an_address % 250);
            sockets_.push_back(connect_to(port_, host));
            if (contender.websocket) shake_hands(sockets_.back(), target);
        }
    }

   private:
    std::uint16_t port_;
    std::vector<int> sockets_;
};

/// The memory of the server after it has stopped changing, in bytes.
std::size_t memory_at_rest(const ServerProcess& server) {
    std::size_t before = server.anonymous_memory();
    for (int i = 0; i < 20; ++i) {
        std::this_thread::sleep_for(100ms);
        const std::size_t now = server.anonymous_memory();
        if (now == before) break;
        before = now;
    }
    return before;
}

struct Figures {
    std::vector<double> each, all;  ///< bytes per connection; MiB of the process
};

void measure(const Options& options, const Contender& contender, std::size_t connections, Figures& figures) {
    const std::size_t first = std::min(first_connections, connections / 2);
    const ServerProcess server = contender.start(options.server_core());
    for (int i = 0; i < times_before; ++i) IdleConnections{server.port()}.grow_to(first, contender, options.target);
    IdleConnections idle{server.port()};
    idle.grow_to(first, contender, options.target);
    const auto before = static_cast<double>(memory_at_rest(server));
    idle.grow_to(connections, contender, options.target);
    const auto after = static_cast<double>(memory_at_rest(server));
    figures.each.push_back((after - before) / static_cast<double>(connections - first));
    figures.all.push_back(after / (1 << 20));
}

}  // namespace

void run_memory(const Options& options) {
    Table table{options, "anonymous memory of the server's process per idle connection in bytes, medians"};
    for (const std::size_t wanted : options.connections) {
        const std::size_t connections = std::min(wanted, most_connections());
        std::vector<Figures> figures(options.contenders.size());
        for (std::size_t round = 0; round < options.rounds; ++round) {
            for (std::size_t i = 0; i < figures.size(); ++i) {
                measure(options, options.contenders[i], connections, figures[i]);
            }
        }
        for (std::size_t i = 0; i < figures.size(); ++i) {
            table.row({{"connections", connections},
                       {"server", options.contenders[i].name},
                       {"bytes", median(figures[i].each)},
                       {"process_mib", median(figures[i].all)}});
        }
    }
}

}  // namespace wsserver::bench
