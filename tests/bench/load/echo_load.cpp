// Sends a message for each reply, and counts the replies.
#include "echo_load.hpp"

#include <algorithm>
#include <utility>

#include "connecting.hpp"

namespace wsserver::bench {

using namespace std::chrono_literals;

EchoLoad::EchoLoad(const EchoLoadOptions& options)
    : options_(options),
      frames_(masked_frames(options.kind, options.in_flight)),
      frame_size_(frames_.size() / options.in_flight),
      counter_(options.kind),
      io_(make_load_io()),
      connections_(options.connections) {
    for (std::size_t i = 0; i < options.connections; ++i) {
        const int socket = connect_to(options.port);
        if (options.websocket) shake_hands(socket, options.target);
        io_->add(socket);
    }
}

void EchoLoad::begin() {
    for (std::size_t i = 0; i < connections_.size(); ++i) owe(i, options_.in_flight);
}

void EchoLoad::turn() {
    send_owed();
    io_->turn(100ms, *this);
}

bool EchoLoad::under_way() const {
    return std::any_of(connections_.begin(), connections_.end(),
                       [](const Connection& each) { return each.in_flight > 0; });
}

void EchoLoad::on_bytes(std::size_t index, std::string_view bytes) {
    Connection& connection = connections_[index];
    const std::size_t replies =
        options_.websocket ? counter_.count(connection.progress, bytes) : count_bytes(connection, bytes.size());
    connection.in_flight -= replies;
    count(replies);
    if (replies > 0 && !stopping()) owe(index, replies);
}

void EchoLoad::on_writable(std::size_t index) {
    if (connections_[index].owed > 0) owing_.push_back(index);
}

void EchoLoad::owe(std::size_t index, std::size_t messages) {
    Connection& connection = connections_[index];
    if (connection.owed == 0) owing_.push_back(index);
    connection.in_flight += messages;
    connection.owed += messages;
}

void EchoLoad::send_owed() {
    for (const std::size_t index : owing_) {
        if (io_->waits_to_send(index)) continue;  // on_writable() follows
        const std::size_t messages = std::exchange(connections_[index].owed, 0);
        io_->send(index, std::string_view{frames_}.substr(0, messages * frame_size_));
    }
    owing_.clear();
}

std::size_t EchoLoad::count_bytes(Connection& connection, std::size_t bytes) const {
    connection.progress.received += bytes;
    const std::size_t replies = connection.progress.received / frame_size_;
    connection.progress.received %= frame_size_;
    return replies;
}

}  // namespace wsserver::bench
