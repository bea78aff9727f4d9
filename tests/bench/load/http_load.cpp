// Sends a request for each response, and counts the responses.
#include "http_load.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "connecting.hpp"

namespace wsserver::bench {

using namespace std::chrono_literals;

namespace {

/// As a browser or a proxy sends it, with few fields.
std::string request_for(const std::string& target) {
    return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
}

/// The number of bytes of a response with a Content-Length; 0 if its header is not complete.
std::size_t size_of_response(std::string_view text) {
    const auto end = text.find("\r\n\r\n");
    if (end == std::string_view::npos) return 0;
    std::string head{text.substr(0, end + 2)};
    if (!head.starts_with("HTTP/1.1 200 ")) throw std::runtime_error{"the server under test answers: " + head};
    std::ranges::transform(head, head.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    const auto length = head.find("\r\ncontent-length: ");
    if (length == std::string::npos) throw std::runtime_error{"the server under test sends no Content-Length"};
    return end + 4 + std::stoul(head.substr(length + 18));
}

/// Sends one request and returns the number of bytes of its response.
std::size_t first_response(int socket, std::string_view request) {
    if (send(socket, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) {
        throw std::system_error{errno, std::generic_category(), "send"};
    }
    std::string response;
    for (;;) {
        std::array<char, 4096> buffer;
        const ssize_t count = recv(socket, buffer.data(), buffer.size(), 0);
        if (count <= 0) throw std::runtime_error{"the server under test does not answer a request"};
        response.append(buffer.data(), static_cast<std::size_t>(count));
        const std::size_t size = size_of_response(response);
        if (size != 0 && response.size() >= size) return size;
    }
}

}  // namespace

HttpLoad::HttpLoad(const HttpLoadOptions& options)
    : options_(options),
      requests_(request_for(options.target)),
      request_size_(requests_.size()),
      response_size_(request_size_),
      io_(make_load_io()),
      connections_(options.connections) {
    for (std::size_t i = 0; i < options.connections; ++i) {
        const int socket = connect_to(options.port);
        if (options.http) response_size_ = first_response(socket, requests_);
        io_->add(socket);
    }
    const std::string one = requests_;
    for (std::size_t i = 1; i < options.in_flight; ++i) requests_ += one;
}

void HttpLoad::begin() {
    for (std::size_t i = 0; i < connections_.size(); ++i) owe(i, options_.in_flight);
}

void HttpLoad::turn() {
    for (const std::size_t index : owing_) {
        if (io_->waits_to_send(index)) continue;  // on_writable() follows
        const std::size_t requests = std::exchange(connections_[index].owed, 0);
        io_->send(index, std::string_view{requests_}.substr(0, requests * request_size_));
    }
    owing_.clear();
    io_->turn(100ms, *this);
}

bool HttpLoad::under_way() const {
    return std::any_of(connections_.begin(), connections_.end(),
                       [](const Connection& each) { return each.in_flight > 0; });
}

void HttpLoad::on_bytes(std::size_t index, std::string_view bytes) {
    Connection& connection = connections_[index];
    connection.received += bytes.size();
    const std::size_t responses = connection.received / response_size_;
    connection.received %= response_size_;
    connection.in_flight -= responses;
    count(responses);
    if (responses > 0 && !stopping()) owe(index, responses);
}

void HttpLoad::on_writable(std::size_t index) {
    if (connections_[index].owed > 0) owing_.push_back(index);
}

void HttpLoad::owe(std::size_t index, std::size_t requests) {
    Connection& connection = connections_[index];
    if (connection.owed == 0) owing_.push_back(index);
    connection.in_flight += requests;
    connection.owed += requests;
}

}  // namespace wsserver::bench
