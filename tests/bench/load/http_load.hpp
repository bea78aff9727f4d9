// The load for plain HTTP requests on kept streams: each connection keeps a fixed number of requests in flight.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "load.hpp"
#include "load_io.hpp"

namespace wsserver::bench {

struct HttpLoadOptions {
    std::uint16_t port = 0;
    std::string target = "/";
    bool http = true;  ///< false: a raw echo returns the request
    std::size_t connections = 1;
    std::size_t in_flight = 1;  ///< requests sent and not yet answered, on each connection
};

/// Sends a new GET request for each response. All responses must be as long as the first. Counts responses.
class HttpLoad final : public Load, LoadIo::Handler {
   public:
    /// Opens all connections. Throws std::runtime_error.
    explicit HttpLoad(const HttpLoadOptions& options);

   private:
    struct Connection {
        std::size_t in_flight = 0;  ///< requests
        std::size_t owed = 0;       ///< those of them that are not sent yet
        std::size_t received = 0;   ///< bytes of the current response
    };

    void begin() override;
    void turn() override;
    bool under_way() const override;
    void on_bytes(std::size_t index, std::string_view bytes) override;
    void on_writable(std::size_t index) override;
    void owe(std::size_t index, std::size_t requests);

    HttpLoadOptions options_;
    std::string requests_;  ///< `in_flight` of them
    std::size_t request_size_;
    std::size_t response_size_;
    std::unique_ptr<LoadIo> io_;
    std::vector<Connection> connections_;
    std::vector<std::size_t> owing_;  ///< the connections with requests to send
};

}  // namespace wsserver::bench
