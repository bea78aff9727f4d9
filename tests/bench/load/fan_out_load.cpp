// Publishes when all receivers have the oldest publication, and counts deliveries.
#include "fan_out_load.hpp"

#include <utility>

#include "connecting.hpp"

namespace wsserver::bench {

using namespace std::chrono_literals;

FanOutLoad::FanOutLoad(const FanOutLoadOptions& options)
    : options_(options),
      frames_((options.websocket ? masked_frames : unmasked_frames)(options.kind, options.in_flight)),
      frame_size_(frames_.size() / options.in_flight),
      pong_(masked_pong()),
      counter_(options.kind),
      io_(make_load_io()),
      receivers_(options.receivers + 1),
      lacking_(options.in_flight, options.receivers) {
    for (std::size_t i = 0; i < receivers_.size(); ++i) {
        const int socket = connect_to(options.port);
        if (options.websocket) shake_hands(socket, options.target);
        io_->add(socket);
        open_bystanders((i + 1) * options.bystanders / receivers_.size());
    }
}

/// Opens bystanders until there are `count`.
void FanOutLoad::open_bystanders(std::size_t count) {
    while (bystanders_.size() < count) {
        bystanders_.emplace_back(connect_to(options_.port));
        shake_hands(bystanders_.back().get(), "/elsewhere");
    }
}

void FanOutLoad::begin() { owed_ = in_flight_ = options_.in_flight; }

void FanOutLoad::turn() {
    const std::size_t publisher = options_.receivers;
    if (owed_ > 0 && !io_->waits_to_send(publisher)) {
        io_->send(publisher, std::string_view{frames_}.substr(0, std::exchange(owed_, 0) * frame_size_));
    }
    io_->turn(100ms, *this);
}

void FanOutLoad::on_bytes(std::size_t index, std::string_view bytes) {
    Receiver& receiver = receivers_[index];
    const std::size_t messages = counter_.count(receiver.progress, bytes);
    count(messages);
    // Receivers send nothing else. Without a Pong the server would close them.
    if (std::exchange(receiver.progress.pinged, false) && !io_->waits_to_send(index)) io_->send(index, pong_);
    if (index == options_.receivers) return;
    for (std::size_t i = 0; i < messages; ++i) arrived(receiver);
}

void FanOutLoad::arrived(Receiver& receiver) {
    // A receiver gets publications in order, so the oldest is complete first. Its place is free when the next one is
    // sent.
    std::size_t& lacking = lacking_[receiver.got++ % lacking_.size()];
    if (--lacking > 0) return;
    lacking = options_.receivers;
    --in_flight_;
    if (stopping()) return;
    ++in_flight_;
    ++owed_;
}

}  // namespace wsserver::bench
