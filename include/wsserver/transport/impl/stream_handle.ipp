// The bodies of StreamHandle. Each transport includes them and instantiates them for its state.
#pragma once

#include "wsserver/transport/stream_handle.hpp"

namespace wsserver {

template <class State>
StreamHandle<State>::~StreamHandle() {
    state_->abandon();
}

template <class State>
void StreamHandle<State>::start(StreamUser& user) {
    state_->start(user);
}

template <class State>
bool StreamHandle<State>::send(std::span<const SendPiece> pieces) {
    return state_->send(pieces);
}

template <class State>
void StreamHandle<State>::pause_receiving() {
    state_->pause_receiving();
}

template <class State>
void StreamHandle<State>::resume_receiving() {
    state_->resume_receiving();
}

template <class State>
void StreamHandle<State>::shutdown_send() {
    state_->shutdown_send();
}

template <class State>
std::uint64_t StreamHandle<State>::unsent(std::uint64_t passed) const {
    return state_->unsent(passed);
}

template <class State>
void StreamHandle<State>::close() {
    state_->close();
}

template <class State>
std::string StreamHandle<State>::peer() const {
    return state_->peer();
}

}  // namespace wsserver
