#pragma once

#include "wsserver/server/detail/pooled_handler.hpp"

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "wsserver/connection/kept_fields.hpp"

namespace wsserver {

namespace {

/// A reaction without its payload.
struct Reaction {
    enum class Kind : std::uint8_t { open, text, binary, ping, pong, drained, close };
    Kind kind;
    CloseCode code = CloseCode::no_status;
};

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
        return may_be_sent(message) ? put(InboxItem::kind_of(message), message.payload()) : SendStatus::refused;
    }
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

    SendStatus put(InboxItem::Kind kind, Bytes payload = {}) {
        InboxItem item;
        item.kind = kind;
        item.to = id_;
        item.send_as = SendKind::reply;
        return hub_->put(std::move(item), payload);
    }

   private:
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
};

class ReactionMailbox final : public Mailbox<Reaction> {
   public:
    ReactionMailbox(Acceptance& acceptance, const OwnedConnection& connection, std::string_view target,
                    std::shared_ptr<ServerHub> hub)
        : Mailbox(TaskName{acceptance.handler->name()}, {}, Priority::message, acceptance.handler.get()),
          handler_(std::move(acceptance.handler)),
          gate_(hub->gate()),
          connection_(acceptance, connection, target, std::move(hub)) {}

    AnyHandler& handler() const noexcept { return *handler_; }

   private:
    void on_item(Reaction& reaction, Bytes payload) override {
        if (!call_) call_.emplace(*gate_);  // once in a run, because all workers change the gate
        if (!*call_ || gate_->is_closed()) return;
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
        if (fail_is_due_) failed("out of memory");
        return !fail_is_due_;
    }

    void react(const Reaction& reaction, Bytes payload) {
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
            case Reaction::Kind::ping:
                return handler_->on_ping(connection_, Ping{payload});
            case Reaction::Kind::pong:
                return handler_->on_pong(connection_, Pong{payload});
            case Reaction::Kind::drained:
                return handler_->on_drained(connection_);
            case Reaction::Kind::close:
                if (!gate_->close_called(connection_.id())) return;
                return close(Close{reaction.code, text_of(payload)});
        }
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
    bool open_called_ = false;  ///< on_open() of the handler
    bool fail_is_due_ = false;  ///< the handler threw, and the connection was not told yet
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
    bool wants_drained() const noexcept override { return mailbox_->handler().wants_drained(); }

    void on_open(AnyConnection&) override { put(Reaction::Kind::open, {}); }
    void on_message(AnyConnection&, const Text& message) override { put(Reaction::Kind::text, message.payload()); }
    void on_message(AnyConnection&, const Binary& message) override { put(Reaction::Kind::binary, message.payload()); }
    void on_ping(AnyConnection&, const Ping& ping) override { put(Reaction::Kind::ping, ping.payload); }
    void on_pong(AnyConnection&, const Pong& pong) override { put(Reaction::Kind::pong, pong.payload); }
    void on_drained(AnyConnection&) override { put(Reaction::Kind::drained, {}); }
    void on_close(AnyConnection&, const Close& close) override {
        const auto put_close = [&] { put(Reaction::Kind::close, bytes_of(close.reason), close.code); };
        if (within_memory(put_close)) return;
        mailbox_->put_last({Reaction::Kind::close, close.code}, ready_.batch());
        ready_.schedule();
    }

   private:
    void put(Reaction::Kind kind, Bytes payload, CloseCode code = CloseCode::no_status) {
        const std::size_t memory = ReactionMailbox::memory_of(payload);
        ready_.memory().add(memory);
        connection_.note_memory();
        bool may_go_on = false;
        try {
            may_go_on = mailbox_->put({kind, code}, payload, ready_.batch());
        } catch (...) {
            ready_.memory().subtract(memory);
            throw;
        }
        // The mailbox is full. Receive nothing until its on_drain() sends `resume`.
        if (!may_go_on) connection_.hold_receiving();
        ready_.schedule();
    }

    const std::shared_ptr<ReactionMailbox> mailbox_;
    OwnedConnection& connection_;
    ReadyMailboxes& ready_;
};

}  // namespace

std::shared_ptr<AnyHandler> make_pooled(Acceptance& acceptance, OwnedConnection& connection, std::string_view target,
                                        std::shared_ptr<ServerHub> hub, ReadyMailboxes& ready) {
    auto mailbox = std::make_shared<ReactionMailbox>(acceptance, connection, target, std::move(hub));
    return std::make_shared<PooledHandler>(std::move(mailbox), connection, ready);
}

}  // namespace wsserver
