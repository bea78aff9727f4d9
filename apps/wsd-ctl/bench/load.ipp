// The bodies of Load. Included by load.hpp only.
#pragma once

namespace wsd::ctl::bench {

template <wsserver::Transport T>
Load<T>::Load(T& on, const Options& options, const wsserver::ClientRequest& request, LoadWatcher& watcher, Dial dial)
    : Owner(on),
      options_(options),
      request_(request),
      watcher_(watcher),
      dial_(std::move(dial)),
      handler_(std::make_shared<BenchHandler>(*this)),
      traffic_(make_traffic(options, outcome_.tally)),
      slots_(options.connections) {
    wsserver::ConnectionOptions of_each;
    of_each.handshake_timeout = options.timeout;
    of_each.close_timeout = std::min(options.timeout, of_each.close_timeout);
    of_each.ping_interval = std::chrono::milliseconds{0};
    of_each.max_message = std::max(of_each.max_message, options.size);
    // We never stop reading because we can't send: a server that doesn't read until its answers are taken would wait
    // for us as we for it. What is in flight is bounded anyway.
    of_each.send_queue.high_mark = SIZE_MAX / 2;
    of_each.send_queue.hard_limit = SIZE_MAX / 2;
    this->use_options(of_each);
    this->protocol_options_.keys = &random_;
    transport().on_wake([this] { on_wake(); });
}

template <wsserver::Transport T>
Load<T>::~Load() {
    transport().on_wake({});
    pool_.clear();
}

// --- Stages ---

template <wsserver::Transport T>
void Load<T>::start() {
    stage_began_ = transport().now();
    next_tick_ = stage_began_ + tick_time;
    if (repeats()) {
        begin_warm_up();
    } else {
        dial_more();
    }
    arm();
}

template <wsserver::Transport T>
void Load<T>::enter(Stage stage, std::chrono::milliseconds longest) {
    stage_ = stage;
    stage_began_ = transport().now();
    stage_end_ = stage_began_ + longest;
}

template <wsserver::Transport T>
void Load<T>::begin_warm_up() {
    outcome_.opening = transport().now() - stage_began_;
    enter(Stage::warm_up, options_.warm_up);
    if (repeats()) return dial_more();
    traffic_->begin(stage_began_);
    for (std::uint32_t number = 0; number < slots_.size(); ++number) pump(number, stage_began_);
}

template <wsserver::Transport T>
void Load<T>::begin_measuring() {
    watcher_.on_measurement_begins();
    enter(Stage::measuring, options_.duration);
    outcome_.measured = true;
    outcome_.tally.begin = stage_began_;
}

template <wsserver::Transport T>
void Load<T>::begin_draining() {
    enter(Stage::draining, options_.timeout);
    outcome_.tally.end = stage_began_;
    watcher_.on_measurement_ends();
    traffic_->stop(stage_began_);
    if (traffic_->outstanding() == 0) begin_closing();
}

template <wsserver::Transport T>
void Load<T>::begin_closing() {
    if (stage_ == Stage::draining) outcome_.tally.lost += traffic_->outstanding();
    enter(Stage::closing, this->options().close_timeout);
    for (Slot& slot : slots_) {
        if (slot.connection == nullptr) continue;
        if (!slot.open) {
            slot.connection->terminate("given up");
        } else if (!std::exchange(slot.closed_by_us, true)) {
            slot.connection->in_one_turn([&] { slot.connection->close(wsserver::CloseCode::normal, {}); });
        }
    }
    if (pool_.empty()) end();
}

template <wsserver::Transport T>
void Load<T>::end() {
    if (std::exchange(over_, true)) return;
    pool_.for_each([](ClientConnection& connection) { connection.terminate("given up"); });
    timers_.disarm();
    transport().stop();
}

template <wsserver::Transport T>
void Load<T>::stage_is_over() {
    switch (stage_) {
        case Stage::opening:  // has no end: each opening handshake has its own
            return;
        case Stage::warm_up:
            return begin_measuring();
        case Stage::measuring:
            return begin_draining();
        case Stage::draining:
            return begin_closing();
        case Stage::closing:
            return end();
    }
}

template <wsserver::Transport T>
void Load<T>::end_early() {
    if (stage_ == Stage::measuring) return begin_draining();
    if (stage_ != Stage::closing) begin_closing();
}

/// Not from within a connection's reaction.
template <wsserver::Transport T>
void Load<T>::end_early_soon() {
    if (std::exchange(end_posted_, true)) return;
    transport().post([this] {
        end_posted_ = false;
        end_early();
        arm();
    });
}

// --- Time ---

template <wsserver::Transport T>
void Load<T>::on_wake() {
    const Time now = timers_.fire();
    if (now >= redial_at_) {
        redial_at_ = Time::max();
        dial_more();
    }
    if (now >= next_tick_) tick(now);
    while (traffic_->next_due() <= now) pump(traffic_->take_due(now), now);
    if (now >= stage_end_) stage_is_over();
    arm();
}

template <wsserver::Transport T>
void Load<T>::tick(Time now) {
    next_tick_ = now + tick_time;
    watcher_.on_tick(stage_, std::chrono::duration_cast<std::chrono::milliseconds>(now - stage_began_), outcome_);
    if (outcome_.interrupted || !watcher_.wants_end()) return;
    outcome_.interrupted = true;
    end_early();
}

template <wsserver::Transport T>
void Load<T>::arm() {
    if (!over_) timers_.arm(std::min({redial_at_, next_tick_, stage_end_, traffic_->next_due()}));
}

/// One look at the clock for all messages of one receive.
template <wsserver::Transport T>
typename Load<T>::Time Load<T>::turn_time() {
    const std::uint64_t bytes = counters_.bytes_in.read();
    if (std::exchange(bytes_seen_, bytes) != bytes) turn_time_ = transport().now();
    return turn_time_;
}

// --- Connections come and go ---

template <wsserver::Transport T>
void Load<T>::dial_more() {
    const bool dials =
        stage_ == Stage::opening || (repeats() && (stage_ == Stage::warm_up || stage_ == Stage::measuring));
    if (!dials || end_posted_) return;
    const std::uint32_t at_once = repeats() ? options_.connections : opening_at_once;
    while (opening_ < at_once && pool_.size() < options_.connections && dial()) {
    }
}

template <wsserver::Transport T>
bool Load<T>::dial() {
    const Time now = transport().now();
    auto socket = dial_(static_cast<std::uint32_t>(pool_.size()));
    if (!socket) {
        not_dialed(socket.error());
        return false;
    }
    auto* connection = this->add(std::move(*socket));
    slots_[connection->id().slot] = {connection, now};
    ++opening_;
    auto request = request_;
    request.nonce = random_.nonce();
    connection->start(std::move(request), handler_);
    return true;
}

template <wsserver::Transport T>
void Load<T>::not_dialed(std::error_code error) {
    const bool full_backlog = error == std::errc::resource_unavailable_try_again;
    if (!full_backlog) failed({exit_failed, error.message()});
    redial_at_ = transport().now() + redial_time;
    arm();
}

/// Attempts go on only where they are what is measured, and some have succeeded.
template <wsserver::Transport T>
void Load<T>::failed(Failure failure) {
    ++outcome_.failed;
    if (!outcome_.failure) outcome_.failure = std::move(failure);
    if (!repeats() || outcome_.opened == 0) end_early_soon();
}

template <wsserver::Transport T>
void Load<T>::opened(wsserver::AnyConnection& connection) {
    Slot& slot = slots_[connection.id().slot];
    slot.open = true;
    --opening_;
    ++open_;
    ++outcome_.opened;
    if (repeats()) {
        outcome_.tally.arrived(slot.dialed, turn_time(), 0);
        slot.closed_by_us = true;
        connection.close(wsserver::CloseCode::normal, {});
    } else if (outcome_.opened == options_.connections) {
        transport().post([this] {
            if (stage_ == Stage::opening) begin_warm_up();
            arm();
        });
    } else {
        dial_more();
    }
}

template <wsserver::Transport T>
void Load<T>::on_ended(const wsserver::ConnectionEnd& end) {
    const std::uint32_t number = end.info.id.slot;
    Slot& slot = slots_[number];
    --(slot.open ? open_ : opening_);
    slot.open = false;
    if (stage_ == Stage::closing || slot.closed_by_us) return;
    if (!end.opened) return failed({exit_code_of_unopened(end), end.cause});
    ++outcome_.ended;
    if (!outcome_.failure) outcome_.failure = Failure{exit_closed_abnormally, describe_end(end)};
    if (stage_ == Stage::opening) return;  // its place is taken by another
    if (const auto who = traffic_->gone(number)) pump(*who, transport().now());
    if (open_ == 0 || nothing_will_come()) end_early_soon();
}

template <wsserver::Transport T>
void Load<T>::on_released(wsserver::ConnectionId id) {
    slots_[id.slot] = {};
    pool_.erase(id);
    if (stage_ == Stage::closing && pool_.empty()) return end();
    dial_more();
}

// --- Messages ---

template <wsserver::Transport T>
void Load<T>::received(wsserver::AnyConnection& connection, const Received& message) {
    if (stage_ == Stage::closing) return;
    const Time now = turn_time();
    const std::uint32_t number = connection.id().slot;
    if (const auto who = traffic_->received(number, message, now)) {
        *who == number ? traffic_->pump(number, connection, now) : pump(*who, now);
    }
    if (nothing_will_come()) end_early_soon();
}

template <wsserver::Transport T>
void Load<T>::pump(std::uint32_t number, Time now) {
    Slot& slot = slots_[number];
    if (!slot.open) return;
    slot.connection->in_one_turn([&] { traffic_->pump(number, *slot.connection, now); });
}

}  // namespace wsd::ctl::bench
