// Connections of a load to the server under test.
#pragma once

#include <cstdint>
#include <string>

namespace wsserver::bench {

/// A blocking socket with TCP_NODELAY, from 127.0.0.1 or from 127.0.0.`host`: one address has some 28,000 ports.
/// Throws std::system_error.
int connect_to(std::uint16_t port, std::uint8_t host = 1);

std::string opening_request(const std::string& target);

/// Throws std::runtime_error if the server doesn't switch protocols.
void shake_hands(int socket, const std::string& target);

}  // namespace wsserver::bench
