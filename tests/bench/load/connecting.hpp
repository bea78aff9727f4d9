// Connects a load to the server under test.
#pragma once

#include <cstdint>
#include <string>

namespace wsserver::bench {

/// Returns a blocking socket with TCP_NODELAY, connected from 127.0.0.`host`: one address has about 28,000 ports.
/// Throws std::system_error.
int connect_to(std::uint16_t port, std::uint8_t host = 1);

/// The request of an opening handshake. An empty `subprotocol` asks for none.
std::string opening_request(const std::string& target, const std::string& subprotocol = {});

/// Does the opening handshake. Throws std::runtime_error if the server does not answer with 101.
void shake_hands(int socket, const std::string& target, const std::string& subprotocol = {});

}  // namespace wsserver::bench
