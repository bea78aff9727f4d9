// The bodies of a Connection's pauses: what limits and holds a sender. Included by connection.hpp only.
#pragma once

namespace wsserver {

template <Role role, Transport T>
void Connection<role, T>::hold(Hold why, bool held) {
    const auto bit = static_cast<std::uint8_t>(why);
    const auto before = std::exchange(held_, static_cast<std::uint8_t>(held ? held_ | bit : held_ & ~bit));
    if (before != held_ && has_backlog() && held_ == static_cast<std::uint8_t>(Hold::turn)) owner_.go_on_later(id_);
    if ((before == 0) == (held_ == 0) || phase_ >= Phase::ending) return;
    held_ != 0 ? stream_.pause_receiving() : stream_.resume_receiving();
}

/// Reads again. What was not read is not the peer's silence. A message has its whole time again, but after a pause by
/// rate only what was left before: otherwise its sender could get more time by sending more.
template <Role role, Transport T>
void Connection<role, T>::end_pause(Hold why) {
    keep_alive_.stop_probing();
    if (why == Hold::memory || why == Hold::receivers) part_came();
    const std::uint32_t now = in_milliseconds(transport().now());
    message_began_ = why == Hold::rate ? message_began_ + (now - extra_->paused_at) : now;
    if (!within_memory([&] { hold(why, false); })) out_of_memory();
}

template <Role role, Transport T>
SendStatus Connection<role, T>::pause_receiving() {
    if (phase_ != Phase::open) return SendStatus::closed;
    return contained([this] {
        hold(Hold::program, true);
        return SendStatus::queued;
    });
}

template <Role role, Transport T>
SendStatus Connection<role, T>::resume_receiving() {
    if (is_held(Hold::program)) end_pause(Hold::program);
    return phase_ == Phase::open ? SendStatus::queued : SendStatus::closed;
}

// --- Rates ---

/// Calls `f` for what the connection shares with others.
template <Role role, Transport T>
template <class F>
void Connection<role, T>::for_each_shared_pace(F&& f) {
    if (!has_shared_paces()) return;
    if constexpr (role == Role::server) {
        for (SharedPace* pace : owner_.shared_paces(id_)) {
            if (pace != nullptr) f(*pace);
        }
    }
}

template <Role role, Transport T>
int Connection<role, T>::events_allowed() {
    const ReceiveRates& rates = owner_.options().receive_rates;
    const auto now = transport().now();
    std::uint32_t allowed = events_per_turn;
    if (rates.any()) allowed = std::min(allowed, extra().pace.messages_allowed(rates, now));
    for_each_shared_pace([&](SharedPace& pace) { allowed = std::min(allowed, pace.messages_allowed(now)); });
    return static_cast<int>(allowed);
}

template <Role role, Transport T>
std::size_t Connection<role, T>::bytes_allowed(std::size_t bytes) {
    const auto now = transport().now();
    bytes = ReceivePace::bytes_allowed(bytes, owner_.options().receive_rates);
    for_each_shared_pace([&](SharedPace& pace) { bytes = pace.bytes_allowed(bytes, now); });
    return bytes;
}

/// Pauses reading if the peer has sent more than it may, or all that share a rate with it. The timer ends the pause.
template <Role role, Transport T>
void Connection<role, T>::keep_pace(int events, std::size_t bytes) {
    if (phase_ != Phase::open && !has_http()) return;
    const auto now = transport().now();
    const auto messages = static_cast<std::size_t>(events);
    auto until = now;
    if (const ReceiveRates& rates = owner_.options().receive_rates; rates.any()) {
        extra().pace.handled(messages, bytes, rates, now);
        until = std::max(until, extra_->pace.paused_until(rates));
        if (until > now) owner_.counts().rate_pauses.add();
    }
    for_each_shared_pace([&](SharedPace& pace) {
        pace.handled(messages, bytes);
        const auto shared_until = pace.paused_until(now);
        if (shared_until <= now) return;
        pace.count_pause();
        until = std::max({until, shared_until, now + SharedPace::pause(id_.slot ^ in_milliseconds(now))});
    });
    // Nothing is read anyway while the program decides, and opened() drops what belongs to a pause.
    if (until <= now || is_undecided()) return;
    extra().paused_at = in_milliseconds(now);
    extra_->paused_until = until;
    hold(Hold::rate, true);
    owner_.schedule(*this, std::min(until, next_call()));
}

// --- Broadcasts of the handler ---

/// If the policy is to drop messages, a sender does not wait.
template <Role role, Transport T>
SendStatus Connection<role, T>::publish_to(Audience audience, const AnyMessage& message) {
    if (!owner_.hub()) return SendStatus::closed;
    audience.waits = owner_.options().send_queue.policy == SlowConsumer::close;
    if (!audience.waits) return owner_.hub()->broadcast(audience, message);
    if (!may_be_sent(message)) return SendStatus::refused;
    if (!is_acknowledged(message.payload().size())) return owner_.hub()->broadcast(audience, message);
    const std::weak_ptr<ItemHub> hub = std::dynamic_pointer_cast<ItemHub>(owner_.hub());
    const auto due = std::make_shared<bool>();
    extra().acknowledgement = due;
    return owner_.hub()->broadcast(audience, message, [hub, due, id = id_](std::size_t) {
        if (const auto reachable = hub.lock()) reachable->acknowledge(id);
    });
}

/// Notes a broadcast of `bytes`. True if acknowledge() must follow. Pauses reading if too much is not acknowledged.
template <Role role, Transport T>
bool Connection<role, T>::is_acknowledged(std::size_t bytes) {
    auto& published = extra().published;
    if (!published.add(bytes, owner_.options().send_queue.high_mark / 4)) return false;
    if (published.must_wait() && !is_held(Hold::receivers)) {
        owner_.counts().publish_pauses.add();
        const auto now = transport().now();
        extra_->published_at = in_milliseconds(now);
        hold(Hold::receivers, true);
        wake_by(publish_deadline(now));
    }
    return true;
}

template <Role role, Transport T>
void Connection<role, T>::acknowledge() {
    if (extra_ && extra_->published.acknowledge()) end_pause(Hold::receivers);
}

/// By then each receiver has taken what the sender waits for, or was closed. If there is no acknowledgement
/// nevertheless, a reactor of receivers is blocked, or memory has run out.
template <Role role, Transport T>
Clock::time_point Connection<role, T>::publish_deadline(Clock::time_point now) const {
    const std::chrono::milliseconds so_far{in_milliseconds(now) - extra_->published_at};
    return later(now, slowest_receiver * owner_.options().close_timeout - so_far);
}

/// Does not wait for acknowledgements that may never come.
template <Role role, Transport T>
void Connection<role, T>::limit_publish_pause() {
    const auto now = transport().now();
    if (!extra_->acknowledgement.expired() && now < publish_deadline(now)) return;
    extra_->published = {};
    end_pause(Hold::receivers);
}

// --- Memory ---

template <Role role, Transport T>
void Connection<role, T>::hold_for_memory(bool held) {
    if (held == is_held(Hold::memory) || (held && !can_wait_for_memory())) return;
    if (!held) {
        if (phase_ == Phase::closing) set_timer(owner_.options().close_timeout);  // instead of give_up_message()
        if (is_reading_body()) give_whole_time();
        return end_pause(Hold::memory);
    }
    owner_.counts().memory_pauses.add();
    const auto pause = [this] {
        const auto now = transport().now();
        extra().short_at = in_milliseconds(now);
        hold(Hold::memory, true);
        wake_by(phase_ == Phase::closing ? now : memory_deadline(now));
    };
    if (!within_memory(pause)) out_of_memory();
}

/// A message that must end sooner may not wait longer for memory either.
template <Role role, Transport T>
std::chrono::milliseconds Connection<role, T>::longest_memory_pause() const {
    const auto timeout = message_timeout();
    return timeout.count() == 0 ? MemoryBudget::longest_pause : std::min(timeout, MemoryBudget::longest_pause);
}

template <Role role, Transport T>
Clock::time_point Connection<role, T>::memory_deadline(Clock::time_point now) const {
    const std::chrono::milliseconds so_far{in_milliseconds(now) - extra_->short_at};
    return later(now, longest_memory_pause() - so_far);
}

/// Closes with 1013 or a 503 after a long pause, because what the connection holds may be what others wait for. True if
/// that was decided. If others that were paused as long have freed enough before, it reads again.
template <Role role, Transport T>
bool Connection<role, T>::is_paused_too_long() {
    if (!is_held(Hold::memory)) return false;
    const auto now = transport().now();  // once: some transports look at the clock each time
    if (now < memory_deadline(now)) return false;
    if (held() < MemoryBudget::least_paused) {  // its messages wait for a worker, and closing would not free them
        extra_->short_at = in_milliseconds(now);
        return false;
    }
    if (!owner_.is_memory_short()) {
        hold_for_memory(false);
        return false;
    }
    if (!looks_again(longest_memory_pause())) give_up_memory();
    return true;
}

/// Output in flight cannot be taken back, and its peer takes it too slowly. Then the stream is closed.
template <Role role, Transport T>
void Connection<role, T>::close_for_memory() {
    in_one_turn([this] { give_up_memory(); });
}

template <Role role, Transport T>
void Connection<role, T>::give_up_memory() {
    constexpr std::string_view reason = "out of memory budget";
    owner_.counts().closed_for_memory.add();
    if constexpr (role == Role::server) {
        if (owes_answer()) return refuse_late(Errc::memory_limit_reached);
    }
    discard_queue();
    if (phase_ == Phase::open && out_.queued() == 0) {
        return fail_connection(CloseCode::try_again_later, reason, {});
    }
    protocol_.receive_eof();  // frees the message
    if (phase_ == Phase::open) {
        enter_closing();
        report_closed({CloseCode::try_again_later, reason});
    }
    finish(reason, {});
}

/// The connection closes, and the peer's Close frame is after a message for which memory is short. Frees that message,
/// and does not wait for the frame.
template <Role role, Transport T>
void Connection<role, T>::give_up_message() {
    protocol_.receive_eof();
    note("memory was short during the closing handshake", {});
    report_closed({protocol_.sent_close_code(), {}});
    linger();
}

}  // namespace wsserver
