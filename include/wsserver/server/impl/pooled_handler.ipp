#pragma once

#include "wsserver/server/detail/pooled_handler.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "wsserver/connection/kept_fields.hpp"
#include "wsserver/server/detail/send_window.hpp"

namespace wsserver {

namespace {

/// A reaction without its payload.
struct Reaction {
    enum class Kind : std::uint8_t { open, text, binary, part, ping, pong, drained, call, close };
    Kind kind;
    CloseCode code = CloseCode::no_status;
    Opcode opcode = Opcode::text;  ///< of `part` only, as the next two
    bool first = false;
    bool last = false;
    std::unique_ptr<ConnectionCall> call{};  ///< of `call` only
};
static_assert(sizeof(Reaction) <= 16);

/// The connection that a handler gets on a worker. Its messages reach the reactor in order.
class PooledConnection final : public AnyConnection {
   public:
    PooledConnection(Acceptance& acceptance, const OwnedConnection& connection, std::string_view target,
                     std::shared_ptr<ServerHub> hub)
        : hub_(std::move(hub)),
          any_hub_(hub_),
          id_(connection.id()),
          subprotocol_(acceptance.subprotocol),
          peer_(connection.peer()),
          target_(target),
          route_(acceptance.route),
          kept_(acceptance.kept),
          user_(acceptance.user),
          data_(std::move(acceptance.data)) {}

    SendStatus send(const AnyMessage& message) override {
        if (!may_be_sent(message)) return SendStatus::refused;
        const SendStatus status = put(InboxItem::kind_of(message), message.payload());
        if (status == SendStatus::queued) window_.sent(message.payload().size());
        return status;
    }
    SendStatus send_waiting(const AnyMessage& message) override;
    SendStatus begin_message(Opcode type) override;
    SendStatus append(const AnyMessage& piece) override;
    SendStatus end_message() override;
    bool has_space() override {
        if (is_closed()) return false;
        const SendStatus asked = ask_for_receipt();
        if (asked == SendStatus::closed) return false;
        return asked == SendStatus::dropped || window_.has_space_or_waits();  // without space, a send is `dropped`
    }
    SendWindow& window() noexcept { return window_; }
    SendStatus ping(Bytes payload) override { return hub_->ping(id_, payload); }
    SendStatus close(CloseCode code, std::string_view reason) override { return hub_->close(id_, code, reason); }
    ConnectionId id() const noexcept override { return id_; }
    std::string_view subprotocol() const noexcept override { return subprotocol_; }
    std::string peer() const override { return peer_; }
    std::string_view target() const noexcept override { return target_; }
    std::optional<std::string> parameter(std::string_view name) const override {
        return route_ ? route_->parameter(target_, name) : std::nullopt;
    }
    SendStatus join(std::string_view room) override {
        const SendStatus status = hub_->join(id_, room);
        if (status != SendStatus::queued) return status;
        if (!rooms_) rooms_ = std::make_unique<Rooms>();
        rooms_->emplace(room);
        return status;
    }
    SendStatus leave(std::string_view room) override {
        if (rooms_) {
            if (const auto found = rooms_->find(room); found != rooms_->end()) rooms_->erase(found);
        }
        return hub_->leave(id_, room);
    }
    std::vector<std::string> rooms() const override {
        return rooms_ ? std::vector<std::string>(rooms_->begin(), rooms_->end()) : std::vector<std::string>{};
    }
    std::string_view user() const noexcept override { return user_; }
    SendStatus set_user(std::string_view user) override {
        std::string copy{user};
        const SendStatus status = hub_->set_user(id_, user);
        if (status == SendStatus::queued) user_.swap(copy);
        return status;
    }
    std::optional<std::string_view> request_field(std::string_view name) const noexcept override {
        return kept_.find(name);
    }
    const std::shared_ptr<Hub>& hub() const noexcept override { return any_hub_; }
    ConnectionData* owned_data() const noexcept override { return data_.get(); }
    void own_data(std::unique_ptr<ConnectionData> data) noexcept override { data_.swap(data); }
    void* user_data() const noexcept override { return user_data_; }
    void set_user_data(void* data) noexcept override { user_data_ = data; }
    std::stop_token stop_token() const override {
        asked_to_stop_ = true;
        auto token = hub_->stops()->token(this, deadline());
        if (ended_.load()) hub_->stops()->stop(this);
        return token;
    }
    Clock::time_point deadline() const noexcept override { return later(began_, hub_->stops()->allowed()); }

    /// A reaction begins. Called on its worker.
    void begin_reaction() noexcept { began_ = Worker::coarse_now(); }
    /// Same for its end.
    void end_reaction() noexcept {
        if (std::exchange(asked_to_stop_, false)) hub_->stops()->end(this);
    }
    /// The connection has ended: reactions should return. Called on the thread of the connection. Whichever comes first
    /// of this and stop_token(), the other one sees it.
    void ended() noexcept {
        ended_.store(true);
        hub_->stops()->stop(this);
    }

    /// Tells the connection that a message will not end, if that is due. Returns false without memory for it.
    bool tell_of_broken() noexcept {
        if (broken_by_.empty()) return true;
        const auto tell = [this] { put(InboxItem::Kind::fail_message, bytes_of(broken_by_)); };
        if (within_memory(tell)) broken_by_ = {};
        return broken_by_.empty();
    }

    SendStatus put(InboxItem::Kind kind, Bytes payload = {}) const {
        InboxItem item;
        item.kind = kind;
        item.to = id_;
        item.send_as = SendKind::reply;
        return hub_->put(std::move(item), payload);
    }

   private:
    bool wait_for_space();
    SendStatus put_waiting(InboxItem::Kind kind, Bytes payload);
    SendStatus put_of_message(InboxItem::Kind kind, Bytes payload, bool has_begun);
    void break_off(bool has_begun, std::string_view cause) noexcept;
    InboxItem::Kind kind_of_first_piece() const noexcept {
        return outgoing_->opcode() == Opcode::text ? InboxItem::Kind::begin_text : InboxItem::Kind::begin_binary;
    }
    SendStatus ask_for_receipt();
    bool is_closed() const noexcept { return window_.is_closed() || hub_->gate()->is_closed(); }

    using Rooms = std::set<std::string, std::less<>>;

    const std::shared_ptr<ServerHub> hub_;
    const std::shared_ptr<Hub> any_hub_;
    const ConnectionId id_;
    // Copies: a worker that is stuck in a reaction may use them after the server is gone.
    const std::string subprotocol_;
    const std::string peer_;
    const std::string target_;
    const std::shared_ptr<const PathPattern> route_;
    const KeptFields kept_;
    std::string user_;  ///< as this object knows it
    std::unique_ptr<ConnectionData> data_;
    void* user_data_ = nullptr;
    std::unique_ptr<Rooms> rooms_;  ///< that the handler has joined
    SendWindow window_;
    std::unique_ptr<MessageProgress> outgoing_;  ///< the message that is sent in pieces
    std::string_view broken_by_;                 ///< a literal: why the one before does not end, if that must be told
    Clock::time_point began_{};                  ///< the reaction that runs
    mutable bool asked_to_stop_ = false;         ///< the reaction that runs has a token
    std::atomic<bool> ended_{false};
};

/// How long a worker waits before it looks again: for the end of the server, and for receipts that were dropped.
constexpr std::chrono::milliseconds look_again_interval{50};
/// How often it looks while the inbox of the reactor is full.
constexpr int looks_at_full_inbox = 100;
constexpr std::string_view not_utf8 = "a text that was sent in pieces was not UTF-8";

/// Asks for one ahead of time, so that the reactor may answer before the window is used up. Returns `dropped` if there
/// is no space in the inbox, and `closed` if the connection or the server has ended.
SendStatus PooledConnection::ask_for_receipt() {
    if (!window_.should_ask()) return SendStatus::queued;
    window_.prepare();
    std::array<std::uint8_t, sizeof(std::uint64_t)> number{};
    store_big_endian(MutableBytes{number}, window_.last_sent());
    const SendStatus status = put(InboxItem::Kind::receipt, number);
    if (status == SendStatus::queued) window_.asked();
    return status;
}

/// Returns false if the connection is not open any more.
bool PooledConnection::wait_for_space() {
    for (;;) {
        if (ask_for_receipt() == SendStatus::closed || is_closed()) return false;
        if (window_.has_space()) return true;
        if (!window_.wait(look_again_interval)) window_.ask_again();
    }
}

SendStatus PooledConnection::send_waiting(const AnyMessage& message) {
    if (!may_be_sent(message)) return SendStatus::refused;
    return put_waiting(InboxItem::kind_of(message), message.payload());
}

SendStatus PooledConnection::put_waiting(InboxItem::Kind kind, Bytes payload) {
    for (int look = 0; wait_for_space(); ++look) {
        const SendStatus status = put(kind, payload);
        if (status == SendStatus::queued) window_.sent(payload.size());
        if (status != SendStatus::dropped || look == looks_at_full_inbox) return status;
        std::this_thread::sleep_for(look_again_interval);
    }
    return SendStatus::closed;
}

/// The reactor opens the message with its first piece.
SendStatus PooledConnection::begin_message(Opcode type) {
    // Until the reactor knows of a broken message, it would take the pieces of the next one for its rest.
    if (is_closed() || !tell_of_broken()) return SendStatus::closed;
    if ((type != Opcode::text && type != Opcode::binary) || outgoing_) return SendStatus::refused;
    outgoing_ = std::make_unique<MessageProgress>(type);
    return SendStatus::queued;
}

SendStatus PooledConnection::append(const AnyMessage& piece) {
    if (!outgoing_) return SendStatus::refused;
    if (piece.payload().empty()) return SendStatus::queued;
    const bool has_begun = outgoing_->size() > 0;
    if (!outgoing_->pass(piece.payload())) {
        break_off(has_begun, not_utf8);
        return SendStatus::refused;
    }
    return put_of_message(has_begun ? InboxItem::Kind::append : kind_of_first_piece(), piece.payload(), has_begun);
}

SendStatus PooledConnection::end_message() {
    if (!outgoing_) return SendStatus::refused;
    if (!outgoing_->may_end_here()) {
        break_off(true, not_utf8);
        return SendStatus::refused;
    }
    auto status = SendStatus::queued;
    if (outgoing_->size() == 0) status = put_of_message(kind_of_first_piece(), {}, false);
    if (status == SendStatus::queued) status = put_of_message(InboxItem::Kind::end_message, {}, true);
    outgoing_.reset();
    return status;
}

/// If it fails, the message is over: the peer must not get one without this piece.
SendStatus PooledConnection::put_of_message(InboxItem::Kind kind, Bytes payload, bool has_begun) {
    try {
        const SendStatus status = put_waiting(kind, payload);
        if (status == SendStatus::dropped) break_off(has_begun, "a piece of a message had no place in the inbox");
        return status;
    } catch (...) {
        break_off(has_begun, "out of memory for a piece of a message");
        throw;
    }
}

/// Forgets the message. If the reactor has pieces of it, the connection closes.
void PooledConnection::break_off(bool has_begun, std::string_view cause) noexcept {
    outgoing_.reset();
    if (has_begun) broken_by_ = cause;
    (void)tell_of_broken();
}

class ReactionMailbox final : public Mailbox<Reaction> {
   public:
    ReactionMailbox(Acceptance& acceptance, const OwnedConnection& connection, std::string_view target,
                    std::shared_ptr<ServerHub> hub)
        : Mailbox(TaskName{acceptance.handler->name()}, {}, Priority::message, acceptance.handler.get()),
          handler_(std::move(acceptance.handler)),
          gate_(hub->gate()),
          connection_(acceptance, connection, target, std::move(hub)) {}

    AnyHandler& handler() const noexcept { return *handler_; }
    SendWindow& window() noexcept { return connection_.window(); }
    void connection_ended() noexcept { connection_.ended(); }

   private:
    void on_item(Reaction& reaction, Bytes payload) override {
        if (!call_) call_.emplace(*gate_);  // once in a run, because all workers change the gate
        if (!*call_ || gate_->is_closed()) return;
        connection_.begin_reaction();
        contained(reaction, payload);
        connection_.end_reaction();
    }
    void contained(Reaction& reaction, Bytes payload) noexcept {
        try {
            react(reaction, payload);
        } catch (const std::exception& exception) {
            failed(exception.what());
        } catch (...) {
            failed("an exception that is not a std::exception");
        }
    }

    /// Without memory to report it, on_run_end() tries again until the connection is told.
    void failed(std::string_view what) noexcept {
        fail_is_due_ = !within_memory([&] { connection_.put(InboxItem::Kind::fail, bytes_of(what)); });
    }
    bool on_run_end() noexcept override {
        call_.reset();
        const bool is_told = connection_.tell_of_broken();
        if (fail_is_due_) failed("out of memory");
        return is_told && !fail_is_due_;
    }

    void react(Reaction& reaction, Bytes payload) {
        if (!open_called_ && reaction.kind != Reaction::Kind::open) return;  // there was no memory for on_open()
        switch (reaction.kind) {
            case Reaction::Kind::open:
                open_called_ = gate_->open_called(connection_.id());
                if (!open_called_) return;
                return handler_->on_open(connection_);
            case Reaction::Kind::text:
                return handler_->on_message(connection_, Text::from_payload(payload));
            case Reaction::Kind::binary:
                return handler_->on_message(connection_, Binary{payload});
            case Reaction::Kind::part:
                return deliver({reaction.opcode, payload, reaction.first, reaction.last});
            case Reaction::Kind::ping:
                return handler_->on_ping(connection_, Ping{payload});
            case Reaction::Kind::pong:
                return handler_->on_pong(connection_, Pong{payload});
            case Reaction::Kind::drained:
                return window().is_closed() ? void() : handler_->on_drained(connection_);
            case Reaction::Kind::call:
                return window().is_closed() ? void() : handler_->on_posted(connection_, *reaction.call);
            case Reaction::Kind::close:
                if (!gate_->close_called(connection_.id())) return;
                return close(Close{reaction.code, text_of(payload)});
        }
    }

    /// After an exception, the handler gets nothing more of the message.
    void deliver(const Part& part) {
        if (part.first) skips_message_ = false;
        if (std::exchange(skips_message_, true)) return;
        handler_->on_part(connection_, part);
        skips_message_ = false;
    }

    /// On this worker, because the destructor of the data may be slow.
    void close(const Close& close) {
        const std::unique_ptr<PooledConnection, DropData> ending(&connection_);
        handler_->on_close(connection_, close);
    }
    struct DropData {
        void operator()(PooledConnection* connection) const noexcept { connection->own_data(nullptr); }
    };

    void on_drain() override { connection_.put(InboxItem::Kind::resume); }

    const std::shared_ptr<AnyHandler> handler_;
    const std::shared_ptr<CallbackGate> gate_;
    std::optional<CallbackGate::Call> call_;  ///< while a worker runs its items
    PooledConnection connection_;
    bool open_called_ = false;    ///< on_open() of the handler
    bool skips_message_ = false;  ///< on_part() of the handler threw
    bool fail_is_due_ = false;    ///< the handler threw, and the connection was not told yet
};

/// Puts each reaction into the mailbox. Used on the reactor's thread.
class PooledHandler final : public AnyHandler {
   public:
    PooledHandler(std::shared_ptr<ReactionMailbox> mailbox, OwnedConnection& connection, ReadyMailboxes& ready)
        : mailbox_(std::move(mailbox)), connection_(connection), ready_(ready) {}

    std::string_view name() const noexcept override { return mailbox_->handler().name(); }
    Runs runs() const noexcept override { return Runs::pooled; }
    const AnyHandler& underlying() const noexcept override { return mailbox_->handler(); }
    std::size_t waiting_bytes() const noexcept override { return mailbox_->waiting_bytes(); }
    void on_receipt(std::uint64_t number, bool is_low) override {
        receipt_due_ = std::max(receipt_due_, number);
        if (is_low && confirm()) put_drained();
    }
    void on_closing() noexcept override { mailbox_->window().close(); }
    bool wants_drained() const noexcept override { return receipt_due_ != 0 || mailbox_->handler().wants_drained(); }

    void on_open(AnyConnection&) override { put(Reaction::Kind::open, {}); }
    void on_message(AnyConnection&, const Text& message) override { put(Reaction::Kind::text, message.payload()); }
    void on_message(AnyConnection&, const Binary& message) override { put(Reaction::Kind::binary, message.payload()); }
    bool takes_parts() const noexcept override { return mailbox_->handler().takes_parts(); }
    void on_part(AnyConnection&, const Part& part) override {
        put(Reaction{Reaction::Kind::part, CloseCode::no_status, part.opcode, part.first, part.last}, part.bytes);
    }
    void on_ping(AnyConnection&, const Ping& ping) override { put(Reaction::Kind::ping, ping.payload); }
    void on_pong(AnyConnection&, const Pong& pong) override { put(Reaction::Kind::pong, pong.payload); }
    void on_drained(AnyConnection&) override {
        (void)confirm();
        put_drained();
    }
    bool takes_calls() const noexcept override { return mailbox_->waiting_bytes() <= MailboxLimits{}.bytes; }
    void on_posted(AnyConnection&, ConnectionCall& call) override {
        Reaction reaction{Reaction::Kind::call};
        reaction.call = std::make_unique<ConnectionCall>(std::move(call));
        put(std::move(reaction), {});
    }
    void on_close(AnyConnection&, const Close& close) override {
        mailbox_->connection_ended();
        const auto put_close = [&] { put({Reaction::Kind::close, close.code}, bytes_of(close.reason)); };
        if (within_memory(put_close)) return;
        mailbox_->put_last({Reaction::Kind::close, close.code}, ready_.batch());
        ready_.schedule();
    }

   private:
    void put(Reaction::Kind kind, Bytes payload) { put(Reaction{kind}, payload); }
    void put(Reaction reaction, Bytes payload) {
        const std::size_t memory = ReactionMailbox::memory_of(payload);
        ready_.memory().add(memory);
        connection_.note_memory();
        bool may_go_on = false;
        try {
            may_go_on = mailbox_->put(std::move(reaction), payload, ready_.batch());
        } catch (...) {
            ready_.memory().subtract(memory);
            throw;
        }
        // The mailbox is full. Receive nothing until its on_drain() sends `resume`.
        if (!may_go_on) connection_.hold_receiving();
        ready_.schedule();
    }

    /// Returns true if the handler waits for on_drained().
    bool confirm() {
        const std::uint64_t number = std::exchange(receipt_due_, 0);
        return number != 0 && mailbox_->window().confirm(number, connection_.send_window());
    }
    void put_drained() {
        if (mailbox_->handler().wants_drained()) put(Reaction::Kind::drained, {});
    }

    const std::shared_ptr<ReactionMailbox> mailbox_;
    OwnedConnection& connection_;
    ReadyMailboxes& ready_;
    std::uint64_t receipt_due_ = 0;  ///< the largest number of a receipt that was asked for; 0: none
};

}  // namespace

std::shared_ptr<AnyHandler> make_pooled(Acceptance& acceptance, OwnedConnection& connection, std::string_view target,
                                        std::shared_ptr<ServerHub> hub, ReadyMailboxes& ready) {
    auto mailbox = std::make_shared<ReactionMailbox>(acceptance, connection, target, std::move(hub));
    return std::make_shared<PooledHandler>(std::move(mailbox), connection, ready);
}

}  // namespace wsserver
