// The bodies of Connection for turns, input and output. Its opening handshake is in connection_opening.ipp, its pauses
// are in connection_pauses.ipp, and its end is in connection_end.ipp. Included by connection.hpp only.
#pragma once

namespace wsserver {

// --- Turns ---

template <Role role, Transport T>
template <class F>
void Connection<role, T>::in_one_turn(F&& f) {
    if (out_.in_turn()) return f();
    out_.begin_turn(transport());
    try {
        f();
        send_output();
    } catch (const std::bad_alloc&) {
        out_of_memory();
    } catch (...) {  // of a client's listener
        out_.end_turn(transport());
        throw;
    }
    out_.end_turn(transport());
    if (phase_ == Phase::ending) finish("out of memory", std::make_error_code(std::errc::not_enough_memory));
}

/// Sends or closes, perhaps within a reaction to this connection or to another one. If memory runs out, the end waits
/// until no reaction is running.
template <Role role, Transport T>
template <class F>
SendStatus Connection<role, T>::contained(F&& send) {
    const auto written = out_.mark(transport());
    try {
        return send();
    } catch (const std::bad_alloc&) {
        transport().output().truncate(written);
        out_of_memory();
        return SendStatus::closed;
    }
}

// --- Input ---

template <Role role, Transport T>
void Connection<role, T>::on_bytes(MutableBytes bytes) {
    in_one_turn([&] { receive(bytes); });
}

template <Role role, Transport T>
void Connection<role, T>::receive(MutableBytes bytes) {
    if (phase_ == Phase::ending) return;
    keep_alive_.heard(transport().now());
    bytes_in_ += bytes.size();
    owner_.counts().bytes_in.add(bytes.size());
    if (waits_for_program()) return keep_early(bytes);
    if (has_backlog()) return extra_->backlog->append(bytes);
    if (phase_ == Phase::opening) receive_opening(bytes);
    if (phase_ == Phase::opening && waits_for_program()) return keep_early(bytes);
    // Frames may follow the opening handshake in the same bytes.
    if (phase_ != Phase::opening) handle_some(bytes);
    if (bytes.empty()) return;
    extra().backlog = std::make_unique<Backlog>(owner_.protocol_options().memory);
    extra_->backlog->append(bytes);
    hold(Hold::turn, true);  // calls go_on_later(), unless reading is held for another reason, too
}

template <Role role, Transport T>
ReceiveBuffer Connection<role, T>::prepare_buffer() noexcept {
    try {
        ReceiveBuffer buffer = protocol_.prepare_buffer();
        if (owner_.receives_little()) buffer.size = std::min(buffer.size, little_at_once);
        return buffer;
    } catch (const std::bad_alloc&) {
        return {};  // the next allocation fails as well and is reported
    }
}

template <Role role, Transport T>
void Connection<role, T>::commit_buffer(ReceiveBuffer buffer, std::size_t count) {
    const MutableBytes come = protocol_.commit_buffer(std::move(buffer), count);
    if (!come.empty()) on_bytes(come);
}

template <Role role, Transport T>
void Connection<role, T>::go_on() {
    if (drain_due_) return in_one_turn([this] { drained(); });
    if constexpr (role == Role::server) {
        if (is_undecided() && extra_->undecided->decision && out_.idle()) {
            return in_one_turn([this] { carry_out(*std::exchange(extra_->undecided->decision, std::nullopt)); });
        }
    }
    // If reading is paused for another reason, continue when it resumes.
    if (!has_backlog() || held_ != static_cast<std::uint8_t>(Hold::turn)) return;
    in_one_turn([this] { continue_backlog(); });
}

template <Role role, Transport T>
void Connection<role, T>::continue_backlog() {
    auto backlog = std::move(extra_->backlog);
    MutableBytes left = backlog->bytes.bytes().subspan(backlog->done);
    if (phase_ == Phase::opening) receive_opening(left);
    if (phase_ != Phase::opening) handle_some(left);
    if (left.empty()) return hold(Hold::turn, false);
    backlog->done = backlog->bytes.size() - left.size();
    extra().backlog = std::move(backlog);
    if (phase_ == Phase::opening && waits_for_program()) return hold(Hold::decision, true);
    owner_.go_on_later(id_);
}

/// Handles `bytes` and removes the handled part from their front: all of them, unless that is too much for one turn.
template <Role role, Transport T>
void Connection<role, T>::handle_some(MutableBytes& bytes) {
    const std::uint64_t messages_before = messages_in_;
    const std::size_t bytes_before = bytes.size();
    const bool paced = is_paced();
    const int most = paced ? events_allowed() : events_per_turn;
    const std::size_t allowed = paced ? bytes_allowed(bytes.size()) : bytes.size();
    MutableBytes now = bytes.first(allowed);
    int events = 0, parts = 0;
    while (is_listening() && events < most && parts < events_per_turn && !is_held(Hold::program)) {
        const Handled handled = handle_next(now);
        if (handled == Handled::nothing) break;
        ++(handled == Handled::event ? events : parts);
    }
    bytes = bytes.subspan(allowed - now.size());
    watch_message(messages_before);
    if (!is_listening()) bytes = {};  // bytes received while lingering are ignored
    if (paced) keep_pace(events, bytes_before - bytes.size());
}

template <Role role, Transport T>
auto Connection<role, T>::handle_next(MutableBytes& bytes) -> Handled {
    const auto written = out_.mark(transport());
    std::optional<Event> event = protocol_.next_event(bytes, transport().output());
    if (!event) return Handled::nothing;
    // The output has the reply to a Ping, the echo of a Close, or the Close for a broken rule. Settle it first.
    const SendKind kind = protocol_.finished() ? SendKind::close : SendKind::control;
    if (out_.settle(transport(), owner_, written, kind).must_close) slow_consumer();
    const auto act = [this](auto& what) {
        this->react(what);
        return handled(what);
    };
    return std::visit(act, *event);
}

template <Role role, Transport T>
template <class M>
void Connection<role, T>::deliver(M& message) {
    ++messages_in_;
    owner_.counts().messages_in.add();
    guarded([&] { handler()->take_message(*this, std::move(message)); });
}

template <Role role, Transport T>
void Connection<role, T>::react(const Part& part) {
    if (part.last) {
        ++messages_in_;
        owner_.counts().messages_in.add();
    }
    // What follows would look like a whole message, although a part of it was lost.
    if (!guarded([&] { handler()->on_part(*this, part); })) protocol_.skip_message();
}

template <Role role, Transport T>
void Connection<role, T>::react(const Ping& ping) {
    report({.kind = ConnectionEvent::Kind::ping_received, .id = id_, .count = ping.payload.size()});
    guarded([&] { handler()->on_ping(*this, ping); });
}

template <Role role, Transport T>
void Connection<role, T>::react(const Pong& pong) {
    if (pong.payload.size() == sizeof(std::uint64_t)) {
        keep_alive_.ponged(load_big_endian<std::uint64_t>(pong.payload), transport().now());
    }
    report({.kind = ConnectionEvent::Kind::pong_received, .id = id_, .count = pong.payload.size()});
    guarded([&] { handler()->on_pong(*this, pong); });
}

template <Role role, Transport T>
void Connection<role, T>::react(const Close& close) {
    report({ConnectionEvent::Kind::close_received, id_, close.code, close.reason});
    report_close_sent({});  // the protocol has repeated the code
    enter_closing();
    report_closed(close);
    linger();
}

template <Role role, Transport T>
void Connection<role, T>::react(const Failed& failed) {
    report_close_sent(message_of(failed.error));
    enter_closing();
    note(message_of(failed.error), make_error_code(failed.error));
    report_closed({close_code_for(failed.error), message_of(failed.error)});
    linger();
}

/// Calls the handler, unless the owner is muted. An exception closes only this connection. Returns true if the reaction
/// was complete.
template <Role role, Transport T>
template <class F>
bool Connection<role, T>::guarded(F&& call) {
    const HandlerCall handler_call{owner_, handler()};
    if (!handler_call.allowed()) return false;
    try {
        call();
        return true;
    } catch (const std::exception& exception) {
        fail_handler(exception.what());
    } catch (...) {
        fail_handler("an exception that is not a std::exception");
    }
    return false;
}

template <Role role, Transport T>
void Connection<role, T>::fail_handler(std::string_view what) {
    owner_.counts().handler_exceptions.add();
    const bool noted = within_memory([&] { note(std::string{"the handler threw: "}.append(what), {}); });
    if (!noted) note("the handler threw", {});
    begin_close(CloseCode::internal_error, "the handler failed");
}

// --- Output ---

template <Role role, Transport T>
SendStatus Connection<role, T>::send_as(SendKind kind, const AnyMessage& message) {
    assert(is_message(kind));
    return contained([&] {
        broadcasts_first();
        if (phase_ != Phase::open) return SendStatus::closed;
        const std::size_t fragment_size = owner_.protocol_options().fragment_size;
        if (MessageFrames::may_take(message, fragment_size)) return send_taken(kind, message);
        const auto written = out_.mark(transport());
        const auto sent = message.visit([this](const auto& m) { return protocol_.send(m, transport().output()); });
        if (!sent) return SendStatus::closed;
        return queued(out_.settle(transport(), owner_, written, kind));
    });
}

/// Sends a received message from the memory that it is in.
template <Role role, Transport T>
SendStatus Connection<role, T>::send_taken(SendKind kind, const AnyMessage& message) {
    const auto taken = protocol_.take_frames(message);
    if (!taken) return SendStatus::closed;
    if (!*taken) return SendStatus::refused;
    const MessageFrames& frames = **taken;
    return queued(out_.push_frames(owner_, *taken, frames, kind, frames.memory()));
}

template <Role role, Transport T>
SendStatus Connection<role, T>::send_shared(const std::shared_ptr<const SharedMessage>& message, SendKind kind) {
    if (!message->is_apart()) return send_shared(message, message->frames.bytes(), kind);
    if (phase_ != Phase::open) return SendStatus::closed;
    return contained([&] { return queued(out_.push_frames(owner_, message, message->apart, kind, 0)); });
}

template <Role role, Transport T>
SendStatus Connection<role, T>::send_shared(const std::shared_ptr<const void>& owner, Bytes frames, SendKind kind) {
    if (phase_ != Phase::open) return SendStatus::closed;
    return contained([&] { return queued(out_.push_shared(owner_, owner, frames, kind)); });
}

template <Role role, Transport T>
bool Connection<role, T>::send_directly(const std::shared_ptr<const void>& owner, Bytes frames, std::size_t messages) {
    if (phase_ != Phase::open || !out_.is_free_for(frames)) return false;
    if (!within_memory([&] { out_.send_directly(stream_, owner_, owner, frames); })) {
        out_of_memory();
        return false;
    }
    bytes_out_ += frames.size();
    messages_out_ += messages;
    owner_.counts().bytes_out.add(frames.size());
    owner_.counts().messages_out.add(messages);
    hold(Hold::send_queue, queue_holds_reading());
    return true;
}

template <Role role, Transport T>
SendStatus Connection<role, T>::begin_message(Opcode type) {
    return contained([&] {
        broadcasts_first();
        if (phase_ != Phase::open) return SendStatus::closed;
        const bool is_type = type == Opcode::text || type == Opcode::binary;
        if (!is_type || out_.open_message() != nullptr) return SendStatus::refused;
        return queued(out_.open_message(owner_, type), 0);
    });
}

template <Role role, Transport T>
SendStatus Connection<role, T>::send_part(Bytes bytes, bool last) {
    return contained([&] {
        if (phase_ != Phase::open) return SendStatus::closed;
        MessageProgress* const message = out_.open_message();
        if (message == nullptr) return SendStatus::refused;
        if (bytes.empty() && !last) return SendStatus::queued;
        const Part part{message->opcode(), bytes, message->size() == 0, last};
        if (!message->pass(bytes) || (last && !message->may_end_here())) return refuse_part(part.first);
        const auto written = out_.mark(transport());
        if (!protocol_.send(part, transport().output())) return SendStatus::closed;
        const auto kind = last ? SendKind::last_part : SendKind::part;
        part_came();
        return queued(out_.settle(transport(), owner_, written, kind), last ? 1 : 0);
    });
}

/// The open message is not UTF-8. If the peer has parts of it, it must not get a message that looks whole.
template <Role role, Transport T>
SendStatus Connection<role, T>::refuse_part(bool is_first) {
    if (is_first) {
        out_.cancel_message();
        send_soon();
    } else {
        fail_message("a text that was sent in pieces was not UTF-8", make_error_code(Errc::invalid_utf8));
    }
    return SendStatus::refused;
}

template <Role role, Transport T>
void Connection<role, T>::fail_message(std::string_view cause, std::error_code error) {
    if (phase_ != Phase::open) return;
    note(cause, error);
    begin_close(CloseCode::internal_error, "a message could not be completed");
}

/// Counts the result of queueing `messages`.
template <Role role, Transport T>
SendStatus Connection<role, T>::queued(const PushResult& pushed, std::uint64_t messages) {
    if (pushed.dropped > 0) count_dropped(pushed.dropped);
    if (pushed.must_close) slow_consumer();
    if (pushed.status != SendStatus::queued) return pushed.status;
    messages_out_ += messages;
    owner_.counts().messages_out.add(messages);
    send_soon();
    return SendStatus::queued;
}

/// The peer will probably never take what is queued. Only the Close frame is still sent.
template <Role role, Transport T>
void Connection<role, T>::slow_consumer() {
    if (phase_ != Phase::open) return;
    owner_.counts().slow_consumers.add();
    const bool is_slow = !out_.delays_too_much();
    note(is_slow ? "slow consumer: its send queue was full" : "too much waited for the end of a message in pieces", {});
    discard_queue();
    begin_close(CloseCode::try_again_later, is_slow ? "slow consumer" : "too much waited for the end of a message");
}

template <Role role, Transport T>
void Connection<role, T>::discard_queue() {
    if (const std::size_t discarded = out_.discard(); discarded > 0) count_dropped(discarded);
}

template <Role role, Transport T>
void Connection<role, T>::count_dropped(std::size_t messages) {
    if (within_memory([this] { extra(); })) extra_->dropped += messages;
    owner_.counts().messages_dropped.add(messages);
    report({.kind = ConnectionEvent::Kind::messages_dropped, .id = id_, .count = messages});
}

template <Role role, Transport T>
SendStatus Connection<role, T>::ping(Bytes payload) {
    if (phase_ != Phase::open) return SendStatus::closed;
    std::array<std::uint8_t, sizeof(std::uint64_t)> number{};
    if (payload.empty()) {
        store_big_endian(MutableBytes{number}, keep_alive_.pinged(transport().now()));
        payload = number;
    }
    return contained([&] {
        const auto written = out_.mark(transport());
        if (!protocol_.ping(payload, transport().output())) return SendStatus::refused;
        if (out_.settle(transport(), owner_, written, SendKind::control).must_close) slow_consumer();
        send_soon();
        return SendStatus::queued;
    });
}

/// The end of in_one_turn() sends the output. Outside of it, the end of the reactor's turn sends it.
template <Role role, Transport T>
void Connection<role, T>::send_soon() {
    if (out_.in_turn() || dirty_) return;
    owner_.flush_later(id_);
    dirty_ = true;
}

template <Role role, Transport T>
void Connection<role, T>::send_output() {
    dirty_ = false;
    if (phase_ >= Phase::ending) return;
    const bool wants_drained = out_.wants_drained();  // sending may remove the queue
    const std::uint64_t bytes = out_.send(stream_, transport(), owner_);
    bytes_out_ += bytes;
    owner_.counts().bytes_out.add(bytes);
    if (within_message_ || !out_.idle() || has_backlog()) note_memory();
    if (queue_noted_ || !out_.idle()) note_queued();
    if (phase_ >= Phase::closing) watch_leaving();
    if (phase_ == Phase::lingering) return linger_when_sent();
    if constexpr (role == Role::server) {
        if (phase_ == Phase::opening) return exchange_sent();
    }
    hold(Hold::send_queue, queue_holds_reading());
    if (out_.delays_messages()) watch_open_message();
    if (wants_drained && out_.is_low()) drained_soon();
}

template <Role role, Transport T>
void Connection<role, T>::note_queued() noexcept {
    queue_noted_ = !out_.idle();
    owner_.on_queued(id_, out_.queued());
}

/// The handler goes on sending only when there is space. If reading waited for its output, two ends that send much to
/// each other would wait forever: neither would take what the other one sends.
template <Role role, Transport T>
void Connection<role, T>::pace_itself() noexcept {
    paces_itself_ = true;
    if (!is_held(Hold::send_queue)) return;
    if (!within_memory([this] { send_soon(); })) out_of_memory();  // send_output() ends the pause
}

/// In a later turn: a reaction is not called within a send, and others are served meanwhile.
template <Role role, Transport T>
void Connection<role, T>::drained_soon() {
    out_.drained();
    part_came();  // its sender may have waited for that
    if (phase_ != Phase::open || drain_due_ || !handler()->wants_drained()) return;
    owner_.go_on_later(id_);
    drain_due_ = true;
}

template <Role role, Transport T>
SendStatus Connection<role, T>::ask_for_receipt(std::uint64_t number) {
    if (phase_ != Phase::open) return SendStatus::closed;
    if (!paces_itself_) pace_itself();
    return contained([&] {
        const bool is_low = out_.is_low();
        if (!is_low) out_.want_drained();
        handler()->on_receipt(number, is_low);
        return SendStatus::queued;
    });
}

template <Role role, Transport T>
void Connection<role, T>::drained() {
    drain_due_ = false;
    if (phase_ != Phase::open || out_.holds_reading()) return;  // others have filled the queue again
    guarded([&] { handler()->on_drained(*this); });
}

template <Role role, Transport T>
void Connection<role, T>::on_sent() {
    in_one_turn([this] {
        keep_alive_.heard(transport().now());  // a peer that takes our bytes is alive, even if it sends none meanwhile
        out_.on_sent();
    });
}

// --- Calls of the program ---

template <Role role, Transport T>
SendStatus Connection<role, T>::take_call(PostedCall& posted) {
    if (phase_ != Phase::open) return SendStatus::closed;
    if (posted.delay.count() > 0) return call_later(posted);
    auto status = SendStatus::dropped;
    in_one_turn([&] { status = call(posted.call); });
    return status;
}

template <Role role, Transport T>
SendStatus Connection<role, T>::after(std::chrono::milliseconds delay, ConnectionCall call) {
    if (!call) return SendStatus::refused;
    if (delay.count() <= 0) return AnyConnection::after(delay, std::move(call));
    PostedCall posted{std::move(call), delay};
    return take_call(posted);
}

/// Makes a call, unless too many wait for a worker.
template <Role role, Transport T>
SendStatus Connection<role, T>::call(ConnectionCall& posted) {
    if (!handler()->takes_calls()) {
        owner_.counts().calls_dropped.add();
        return SendStatus::dropped;
    }
    guarded([&] { handler()->on_posted(*this, posted); });
    return SendStatus::queued;
}

template <Role role, Transport T>
SendStatus Connection<role, T>::call_later(PostedCall& posted) {
    const std::size_t waiting = extra_ && extra_->delayed ? extra_->delayed->size() : 0;
    if (waiting >= owner_.options().max_delayed_calls) {
        owner_.counts().calls_over_limit.add();
        return SendStatus::dropped;
    }
    const bool kept = within_memory([&] {
        auto& delayed = extra().delayed;
        const auto when = later(transport().now(), posted.delay);
        auto first = delayed ? nullptr : std::make_unique<DelayedCalls>();
        (first ? first : delayed)->emplace(when, std::move(posted.call));
        if (first) delayed = std::move(first);
        wake_by(when);
    });
    if (!kept) owner_.counts().calls_dropped.add();
    return kept ? SendStatus::queued : SendStatus::dropped;
}

/// Those that are due now; what they post themselves is due later.
template <Role role, Transport T>
void Connection<role, T>::make_due_calls() {
    const auto now = transport().now();
    while (phase_ == Phase::open && next_call() <= now) {
        auto due = extra_->delayed->extract(extra_->delayed->begin());
        if (extra_->delayed->empty()) extra_->delayed.reset();
        (void)call(due.mapped());
    }
}

// --- Data of the handler ---

/// One pointer has either kind of data, since few handlers use both.
template <Role role, Transport T>
void Connection<role, T>::own_data(std::unique_ptr<ConnectionData> data) noexcept {
    void* const user_data = this->user_data();
    const std::unique_ptr<ConnectionData> before(owned_data());
    owns_data_ = data != nullptr;
    if (data) data->user_data = user_data;
    data_ = data ? data.release() : user_data;
}

// --- Rooms ---

template <Role role, Transport T>
SendStatus Connection<role, T>::join([[maybe_unused]] std::string_view room) {
    if constexpr (role == Role::client) {
        return SendStatus::refused;
    } else {
        if (!is_room_name(room)) return SendStatus::refused;
        if (phase_ != Phase::open) return SendStatus::closed;
        bool joined = false;
        const auto join_it = [&] {
            joined = owner_.memberships().rooms.join(id_.slot, room, owner_.options().max_rooms);
        };
        const bool had_memory = within_memory(join_it);
        if (!had_memory) owner_.counts().joins_dropped.add();
        if (had_memory && !joined) owner_.counts().joins_over_limit.add();
        return joined ? SendStatus::queued : SendStatus::dropped;
    }
}

/// What was published to the room before is sent first.
template <Role role, Transport T>
SendStatus Connection<role, T>::leave([[maybe_unused]] std::string_view room) {
    if constexpr (role == Role::client) {
        return SendStatus::refused;
    } else {
        if (!is_room_name(room)) return SendStatus::refused;
        return contained([&] {
            broadcasts_first();
            (void)owner_.memberships().rooms.leave(id_.slot, room);
            return phase_ < Phase::ending ? SendStatus::queued : SendStatus::closed;
        });
    }
}

// --- Users ---

/// What was sent to the user before is sent first.
template <Role role, Transport T>
SendStatus Connection<role, T>::set_user([[maybe_unused]] std::string_view user) {
    if constexpr (role == Role::client) {
        return SendStatus::refused;
    } else {
        if (!user.empty() && !is_room_name(user)) return SendStatus::refused;
        if (phase_ != Phase::open) return SendStatus::closed;
        bool permitted = false;
        const bool had_memory = within_memory([&] {
            broadcasts_first();
            permitted = become(user);
        });
        if (!had_memory) owner_.counts().joins_dropped.add();
        return permitted ? SendStatus::queued : SendStatus::dropped;
    }
}

/// Returns false if a limit does not permit it. Throws std::bad_alloc; then nothing has changed.
template <Role role, Transport T>
bool Connection<role, T>::become(std::string_view user) requires(role == Role::server) {
    RoomIndex& users = owner_.memberships().users;
    const std::string before{users.room_of(id_.slot)};
    if (user == before) return true;
    const std::string id{user};  // it may be a view of the user before
    if (!id.empty()) (void)users.join(id_.slot, id, 2);
    std::optional<Errc> over;
    const bool had_memory = within_memory([&] { over = owner_.change_user_group(id_, id); });
    if (!had_memory || over) (void)users.leave(id_.slot, id);
    if (!had_memory) throw std::bad_alloc{};
    if (over) return false;
    if (!before.empty()) (void)users.leave(id_.slot, before);
    return true;
}

}  // namespace wsserver
