// Turns a C++ class that reacts to messages into a shared object for wsd. A program with its own server can use the
// same class (any_handler.hpp). The compiler determines which reactions the class has:
//
//     class Greeter {
//      public:
//         void on_open(wsserver::AnyConnection& connection) { connection.send("hello"); }
//     };
//     WSSERVER_HANDLER(Greeter)
//
// It needs only the headers: messages are sent through the C interface of handler.h.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "wsserver/connection/any_handler.hpp"
#include "wsserver/handler.h"

namespace wsserver {

/// The server's functions for a handler in a shared object, apart from connections. The handler's constructor gets it
/// if it takes `(const HandlerHost&)` or `(const HandlerHost&, std::string_view config)`. It may be copied, and used
/// from any thread until the handler's destructor has run.
class HandlerHost {
   public:
    /// `host` must outlive the object.
    HandlerHost(const wsserver_host& host, std::shared_ptr<Hub> hub) : host_(&host), hub_(std::move(hub)) {}

    /// The hub, which reaches connections by their ids. It returns `closed` until the handler has had a connection.
    const std::shared_ptr<Hub>& hub() const noexcept { return hub_; }

    /// Writes an entry to the server's log.
    void log_info(std::string_view text) const { log(WSSERVER_LOG_INFO, text); }
    /// Same with the level `warning`.
    void log_warning(std::string_view text) const { log(WSSERVER_LOG_WARNING, text); }
    /// Same with the level `error`.
    void log_error(std::string_view text) const { log(WSSERVER_LOG_ERROR, text); }

   private:
    void log(int level, std::string_view text) const { host_->log(host_, level, text.data(), text.size()); }

    const wsserver_host* host_;
    std::shared_ptr<Hub> hub_;
};

namespace detail {

constexpr SendStatus status_of(int answer) noexcept {
    switch (answer) {
        case WSSERVER_QUEUED:
            return SendStatus::queued;
        case WSSERVER_DROPPED:
            return SendStatus::dropped;
        case WSSERVER_CLOSED:
            return SendStatus::closed;
        default:
            return SendStatus::refused;
    }
}

constexpr wsserver_connection_id id_for_host(ConnectionId id) noexcept { return {id.reactor, id.slot, id.generation}; }

inline std::string_view text_from(wsserver_view view) noexcept { return {view.data, view.size}; }

/// Returns 0, or 1 if `f` threw. No exception may cross the C interface.
template <class F>
int guarded_for_host(const wsserver_host& host, F&& f) noexcept {
    try {
        f();
        return 0;
    } catch (const std::exception& exception) {
        const std::string_view why{exception.what()};
        host.set_error(&host, why.data(), why.size());
    } catch (...) {
        constexpr std::string_view why{"an exception that is not a std::exception"};
        host.set_error(&host, why.data(), why.size());
    }
    return 1;
}

/// Whether the server has rooms, users, flow control and calls for shared objects.
inline bool has_rooms(const wsserver_host& host) noexcept { return WSSERVER_HOST_HAS(&host, upgrade_set_user); }

/// The server's hub as a shared object sees it.
class HostHub final : public Hub, public std::enable_shared_from_this<HostHub> {
   public:
    /// `has_data` is as for HostConnection.
    explicit HostHub(const wsserver_host& host, bool has_data = false) noexcept : host_(&host), has_data_(has_data) {}

    SendStatus send(ConnectionId to, const AnyMessage& message) override {
        const wsserver_connection_id id = id_for_host(to);
        return status_of(message.visit(overloaded{
            [&](const Text& m) { return host_->send_text_to(host_, id, m.text.data(), m.text.size()); },
            [&](const Binary& m) { return host_->send_binary_to(host_, id, m.bytes.data(), m.bytes.size()); },
        }));
    }
    SendStatus ping(ConnectionId to, Bytes payload) override {
        return status_of(host_->ping_to(host_, id_for_host(to), payload.data(), payload.size()));
    }
    SendStatus close(ConnectionId to, CloseCode code, std::string_view reason) override {
        const auto number = static_cast<std::uint16_t>(code);
        return status_of(host_->close_to(host_, id_for_host(to), number, reason.data(), reason.size()));
    }
    SendStatus send(std::span<const ConnectionId> to, const AnyMessage& message, Completion done = {}) override {
        if (!has_rooms(*host_)) return Hub::send(to, message, std::move(done));
        std::vector<wsserver_connection_id> ids;
        for (const ConnectionId id : to) ids.push_back(id_for_host(id));
        const CompletionForC completion{std::move(done)};
        return status_of(message.visit(overloaded{
            [&](const Text& m) {
                return host_->send_text_to_each(host_, ids.data(), ids.size(), m.text.data(), m.text.size(),
                                                completion.through, completion.context);
            },
            [&](const Binary& m) {
                return host_->send_binary_to_each(host_, ids.data(), ids.size(), m.bytes.data(), m.bytes.size(),
                                                  completion.through, completion.context);
            },
        }));
    }
    SendStatus join(ConnectionId member, std::string_view room) override {
        if (!has_rooms(*host_)) return SendStatus::refused;
        return status_of(host_->add_to_room(host_, id_for_host(member), room.data(), room.size()));
    }
    SendStatus leave(ConnectionId member, std::string_view room) override {
        if (!has_rooms(*host_)) return SendStatus::refused;
        return status_of(host_->remove_from_room(host_, id_for_host(member), room.data(), room.size()));
    }
    SendStatus set_user(ConnectionId of, std::string_view user) override {
        if (!has_rooms(*host_)) return SendStatus::refused;
        return status_of(host_->set_user_of(host_, id_for_host(of), user.data(), user.size()));
    }
    SendStatus post(ConnectionId to, ConnectionCall call) override { return post_after(to, {}, std::move(call)); }
    SendStatus post_after(ConnectionId to, std::chrono::milliseconds delay, ConnectionCall call) override;
    SendStatus pause_receiving(ConnectionId of) override {
        return has_rooms(*host_) ? status_of(host_->pause_receiving_of(host_, id_for_host(of))) : SendStatus::refused;
    }
    SendStatus resume_receiving(ConnectionId of) override {
        return has_rooms(*host_) ? status_of(host_->resume_receiving_of(host_, id_for_host(of))) : SendStatus::refused;
    }
    std::size_t queued(ConnectionId of) const noexcept override {
        return has_rooms(*host_) ? host_->queued_of(host_, id_for_host(of)) : 0;
    }
    SendStatus broadcast(const Audience& audience, const AnyMessage& message, Completion done = {}) override {
        if (audience.room || audience.user) return broadcast_to_members(audience, message, std::move(done));
        const Address to{audience};
        const CompletionForC completion{std::move(done)};
        return status_of(message.visit(overloaded{
            [&](const Text& m) {
                return host_->broadcast_text(host_, to.subprotocol, to.except, m.text.data(), m.text.size(),
                                             completion.through, completion.context);
            },
            [&](const Binary& m) {
                return host_->broadcast_binary(host_, to.subprotocol, to.except, m.bytes.data(), m.bytes.size(),
                                               completion.through, completion.context);
            },
        }));
    }
    void ping_all(Completion done = {}) override {
        const CompletionForC completion{std::move(done)};
        host_->ping_all(host_, completion.through, completion.context);
    }
    void close_all(CloseCode code, std::string_view reason, Completion done = {}) override {
        const CompletionForC completion{std::move(done)};
        host_->close_all(host_, static_cast<std::uint16_t>(code), reason.data(), reason.size(), completion.through,
                         completion.context);
    }

   private:
    SendStatus broadcast_to_members(const Audience& audience, const AnyMessage& message, Completion done) {
        if (!has_rooms(*host_)) return SendStatus::refused;  // the end of `done` reports 0
        const Address to{audience};
        const auto view = [](const std::optional<std::string>& text) {
            return text ? wsserver_view{text->data(), text->size()} : wsserver_view{nullptr, 0};
        };
        const wsserver_audience members{sizeof(wsserver_audience), to.subprotocol, to.except, view(audience.room),
                                        view(audience.user)};
        const CompletionForC completion{std::move(done)};
        return status_of(message.visit(overloaded{
            [&](const Text& m) {
                return host_->broadcast_text_to(host_, &members, m.text.data(), m.text.size(), completion.through,
                                                completion.context);
            },
            [&](const Binary& m) {
                return host_->broadcast_binary_to(host_, &members, m.bytes.data(), m.bytes.size(), completion.through,
                                                  completion.context);
            },
        }));
    }

    /// A call for C. The host calls it exactly once, and that call deletes it.
    struct CallForC {
        const wsserver_host* host;
        std::shared_ptr<Hub> hub;
        bool has_data;
        ConnectionCall call;
    };
    static int call(void* context, wsserver_connection* connection) noexcept;

    /// An Audience for C. Valid as long as the Audience.
    struct Address {
        explicit Address(const Audience& audience)
            : subprotocol(audience.subprotocol ? audience.subprotocol->c_str() : nullptr),
              id(id_for_host(audience.except.value_or(ConnectionId{}))),
              except(audience.except ? &id : nullptr) {}
        Address(const Address&) = delete;

        const char* subprotocol;
        wsserver_connection_id id;
        const wsserver_connection_id* except;
    };

    /// A Completion for C. The host calls it exactly once, and that call deletes it.
    struct CompletionForC {
        explicit CompletionForC(Completion done)
            : through(done ? &tell : nullptr),
              context(through != nullptr ? new Completion{std::move(done)} : nullptr) {}

        wsserver_count through;
        void* context;
    };

    static void tell(void* context, std::size_t receivers) noexcept {
        const std::unique_ptr<Completion> done{static_cast<Completion*>(context)};
        (*done)(receivers);
    }

    const wsserver_host* host_;
    const bool has_data_;
};

/// A connection of the server as a shared object sees it.
class HostConnection final : public AnyConnection {
   public:
    /// `has_data`: the handler wants data of its own for each connection. Then the pointer that the server keeps for
    /// the handler is that of the data.
    HostConnection(const wsserver_host& host, const std::shared_ptr<Hub>& hub, wsserver_connection* connection,
                   bool has_data = false) noexcept
        : host_(host), hub_(hub), connection_(connection), has_data_(has_data) {}

    SendStatus send(const AnyMessage& message) override {
        return status_of(message.visit(overloaded{
            [this](const Text& m) { return host_.send_text(connection_, m.text.data(), m.text.size()); },
            [this](const Binary& m) { return host_.send_binary(connection_, m.bytes.data(), m.bytes.size()); },
        }));
    }
    SendStatus ping(Bytes payload = {}) override {
        return status_of(host_.ping(connection_, payload.data(), payload.size()));
    }
    SendStatus close(CloseCode code = CloseCode::normal, std::string_view reason = {}) override {
        return status_of(host_.close(connection_, static_cast<std::uint16_t>(code), reason.data(), reason.size()));
    }
    ConnectionId id() const noexcept override {
        const auto id = host_.id(connection_);
        return {static_cast<std::uint16_t>(id.reactor), id.slot, id.generation};
    }
    std::string_view subprotocol() const noexcept override { return text_from(host_.subprotocol(connection_)); }
    std::string peer() const override { return std::string{text_from(host_.peer(connection_))}; }
    std::string_view target() const noexcept override { return text_from(host_.target(connection_)); }
    std::optional<std::string> parameter(std::string_view name) const override {
        if (!WSSERVER_HOST_HAS(&host_, parameter)) return std::nullopt;
        const auto value = host_.parameter(connection_, name.data(), name.size());
        return value.data != nullptr ? std::optional{std::string{text_from(value)}} : std::nullopt;
    }
    std::optional<std::string_view> request_field(std::string_view name) const noexcept override {
        if (!has_rooms(host_)) return std::nullopt;
        const auto value = host_.request_field(connection_, name.data(), name.size());
        return value.data != nullptr ? std::optional{text_from(value)} : std::nullopt;
    }
    SendStatus join(std::string_view room) override {
        return has_rooms(host_) ? status_of(host_.join(connection_, room.data(), room.size())) : SendStatus::refused;
    }
    SendStatus leave(std::string_view room) override {
        return has_rooms(host_) ? status_of(host_.leave(connection_, room.data(), room.size())) : SendStatus::refused;
    }
    std::vector<std::string> rooms() const override {
        std::vector<std::string> all;
        for (std::size_t i = 0; has_rooms(host_); ++i) {
            const auto room = host_.room(connection_, i);
            if (room.data == nullptr) break;
            all.emplace_back(text_from(room));
        }
        return all;
    }
    std::string_view user() const noexcept override {
        return has_rooms(host_) ? text_from(host_.user(connection_)) : std::string_view{};
    }
    SendStatus set_user(std::string_view user) override {
        return has_rooms(host_) ? status_of(host_.set_user(connection_, user.data(), user.size()))
                                : SendStatus::refused;
    }
    std::size_t queued() const noexcept override { return has_rooms(host_) ? host_.queued(connection_) : 0; }
    bool has_space() override { return !has_rooms(host_) || host_.has_space(connection_) != 0; }
    SendStatus send_waiting(const AnyMessage& message) override {
        if (!has_rooms(host_)) return SendStatus::refused;
        return status_of(message.visit(overloaded{
            [this](const Text& m) { return host_.send_text_waiting(connection_, m.text.data(), m.text.size()); },
            [this](const Binary& m) { return host_.send_binary_waiting(connection_, m.bytes.data(), m.bytes.size()); },
        }));
    }
    SendStatus pause_receiving() override {
        return has_rooms(host_) ? status_of(host_.pause_receiving(connection_)) : SendStatus::refused;
    }
    SendStatus resume_receiving() override {
        return has_rooms(host_) ? status_of(host_.resume_receiving(connection_)) : SendStatus::refused;
    }
    const std::shared_ptr<Hub>& hub() const noexcept override { return hub_; }
    ConnectionData* owned_data() const noexcept override {
        return has_data_ ? static_cast<ConnectionData*>(host_.user_data(connection_)) : nullptr;
    }
    void own_data(std::unique_ptr<ConnectionData> data) noexcept override {
        if (!has_data_) return;
        const std::unique_ptr<ConnectionData> before(owned_data());
        host_.set_user_data(connection_, data.release());
    }
    void* user_data() const noexcept override {
        if (!has_data_) return host_.user_data(connection_);
        return owned_data() != nullptr ? owned_data()->user_data : nullptr;
    }
    void set_user_data(void* data) noexcept override {
        if (!has_data_) return host_.set_user_data(connection_, data);
        if (owned_data() != nullptr) owned_data()->user_data = data;
    }

   private:
    const wsserver_host& host_;
    const std::shared_ptr<Hub>& hub_;
    wsserver_connection* connection_;
    const bool has_data_;
};

inline int HostHub::call(void* context, wsserver_connection* connection) noexcept {
    const std::unique_ptr<CallForC> posted{static_cast<CallForC*>(context)};
    if (connection == nullptr) return 0;
    return guarded_for_host(*posted->host, [&] {
        HostConnection seen{*posted->host, posted->hub, connection, posted->has_data};
        posted->call(seen);
    });
}

inline SendStatus HostHub::post_after(ConnectionId to, std::chrono::milliseconds delay, ConnectionCall call) {
    if (!has_rooms(*host_)) return SendStatus::refused;
    constexpr std::int64_t longest = std::numeric_limits<std::uint32_t>::max();
    const auto time = static_cast<std::uint32_t>(std::clamp<std::int64_t>(delay.count(), 0, longest));
    auto* const context = new CallForC{host_, shared_from_this(), has_data_, std::move(call)};
    return status_of(host_->post(host_, id_for_host(to), time, &HostHub::call, context));
}

/// An opening handshake as a shared object sees it.
class HostUpgradeRequest final : public UpgradeRequest {
   public:
    HostUpgradeRequest(const wsserver_host& host, wsserver_upgrade* upgrade) : host_(host), upgrade_(upgrade) {
        for (std::size_t i = 0;; ++i) {
            const auto subprotocol = host.upgrade_subprotocol(upgrade, i);
            if (subprotocol.data == nullptr) break;
            subprotocols_.emplace_back(text_from(subprotocol));
        }
        request_.method = text_from(host.upgrade_method(upgrade));
        request_.target = text_from(host.upgrade_target(upgrade));
        wsserver_view name{}, value{};
        for (std::size_t i = 0; host.upgrade_field(upgrade, i, &name, &value) != 0; ++i) {
            request_.fields.push_back({std::string{text_from(name)}, std::string{text_from(value)}});
        }
    }

    std::string_view target() const noexcept override { return request_.target; }
    std::optional<std::string> query(std::string_view name) const override {
        const auto value = this->value(WSSERVER_QUERY, name);
        return value ? std::optional{std::string{*value}} : std::nullopt;
    }
    std::string_view find(std::string_view name) const noexcept override {
        return value(WSSERVER_FIELD, name).value_or(std::string_view{});
    }
    std::optional<std::string_view> cookie(std::string_view name) const override {
        return value(WSSERVER_COOKIE, name);
    }
    std::span<const std::string> subprotocols() const noexcept override { return subprotocols_; }
    std::string_view origin() const noexcept override { return find("origin"); }
    std::string_view peer() const noexcept override { return text_from(host_.upgrade_peer(upgrade_)); }
    const HttpRequest& request() const override { return request_; }

   private:
    std::optional<std::string_view> value(int kind, std::string_view name) const noexcept {
        const auto value = host_.upgrade_value(upgrade_, kind, name.data(), name.size());
        return value.data != nullptr ? std::optional{text_from(value)} : std::nullopt;
    }

    const wsserver_host& host_;
    wsserver_upgrade* upgrade_;
    HttpRequest request_;
    std::vector<std::string> subprotocols_;
};

/// Passes the decision of a class to the server. Throws if the server does not take it.
inline void decide_upgrade(const wsserver_host& host, wsserver_upgrade* upgrade, const Admission& admission) {
    if (admission.subprotocol || admission.handler) {
        throw std::invalid_argument{"a handler chooses no subprotocol and no other handler"};
    }
    if (admission.data) throw std::invalid_argument{"a handler in a shared object gives no data of a connection"};
    const auto done = [](int answer) {
        if (answer == WSSERVER_DROPPED) throw std::bad_alloc{};
        if (answer != WSSERVER_QUEUED) throw std::invalid_argument{"a handler refuses with a status of 300 to 999"};
    };
    const auto& refusal = admission.refusal;
    for (const HttpField& field : refusal ? refusal->fields : admission.fields) {
        done(host.upgrade_add_field(upgrade, field.name.data(), field.name.size(), field.value.data(),
                                    field.value.size()));
    }
    if (!refusal && !admission.user.empty()) {
        if (!has_rooms(host)) throw std::runtime_error{"the server is too old: it has no users"};
        const std::string& user = admission.user;
        if (host.upgrade_set_user(upgrade, user.data(), user.size()) == WSSERVER_REFUSED) {
            throw std::invalid_argument{"a user id has 1 to 255 bytes of UTF-8"};
        }
    }
    if (!refusal) return;
    done(host.upgrade_refuse(upgrade, refusal->status, refusal->content_type.c_str(), refusal->body.data(),
                             refusal->body.size()));
}

/// A loaded handler. Each function of its table catches the exceptions of the class.
template <class H>
class Plugin {
   public:
    static void* create(const wsserver_host* host, const char* config) noexcept {
        void* plugin = nullptr;
        guarded_for_host(*host, [&] { plugin = new Plugin{*host, config}; });
        return plugin;
    }
    static void destroy(void* plugin) noexcept { delete static_cast<Plugin*>(plugin); }

    static int on_upgrade(void* plugin, wsserver_upgrade* upgrade) noexcept {
        auto& self = *static_cast<Plugin*>(plugin);
        return guarded_for_host(self.host_, [&] {
            const HostUpgradeRequest request{self.host_, upgrade};
            decide_upgrade(self.host_, upgrade, self.handler_.on_upgrade(request));
        });
    }
    static int on_open(void* plugin, wsserver_connection* connection) noexcept {
        return react(plugin, connection, [](AnyHandler& handler, AnyConnection& c) { handler.on_open(c); });
    }
    static int on_text(void* plugin, wsserver_connection* connection, const char* text, std::size_t size) noexcept {
        return react(plugin, connection, [&](AnyHandler& handler, AnyConnection& c) {
            handler.on_message(c, Text{{text, size}});
        });
    }
    static int on_binary(void* plugin, wsserver_connection* connection, const unsigned char* bytes,
                         std::size_t size) noexcept {
        return react(plugin, connection, [&](AnyHandler& handler, AnyConnection& c) {
            handler.on_message(c, Binary{{bytes, size}});
        });
    }
    static int on_ping(void* plugin, wsserver_connection* connection, const unsigned char* bytes,
                       std::size_t size) noexcept {
        return react(plugin, connection, [&](AnyHandler& handler, AnyConnection& c) {
            handler.on_ping(c, Ping{{bytes, size}});
        });
    }
    static int on_pong(void* plugin, wsserver_connection* connection, const unsigned char* bytes,
                       std::size_t size) noexcept {
        return react(plugin, connection, [&](AnyHandler& handler, AnyConnection& c) {
            handler.on_pong(c, Pong{{bytes, size}});
        });
    }
    static int on_drained(void* plugin, wsserver_connection* connection) noexcept {
        return react(plugin, connection, [](AnyHandler& handler, AnyConnection& c) { handler.on_drained(c); });
    }
    static int on_close(void* plugin, wsserver_connection* connection, std::uint16_t code, const char* reason,
                        std::size_t size) noexcept {
        const int failed = react(plugin, connection, [&](AnyHandler& handler, AnyConnection& c) {
            handler.on_close(c, Close{CloseCode{code}, {reason, size}});
        });
        auto& self = *static_cast<Plugin*>(plugin);
        self.as_seen(connection).own_data(nullptr);
        return failed;
    }
    static int on_command(void* plugin, const wsserver_view* words, std::size_t count, const unsigned char* payload,
                          std::size_t size) noexcept {
        auto& self = *static_cast<Plugin*>(plugin);
        bool ok = false;
        const int failed = guarded_for_host(self.host_, [&] {
            std::vector<std::string> copies;
            for (const auto& word : std::span{words, count}) copies.emplace_back(word.data, word.size);
            const auto answer = self.handler_.on_command(copies, Bytes{payload, size});
            self.host_.answer(&self.host_, answer.output.data(), answer.output.size());
            ok = answer.ok;
        });
        return failed || !ok;
    }

   private:
    Plugin(const wsserver_host& host, std::string_view config)
        : Plugin(host, config, std::make_shared<HostHub>(host, has_data<H>)) {}
    Plugin(const wsserver_host& host, std::string_view config, const std::shared_ptr<Hub>& hub)
        : host_(asking(host)), hub_(hub), handler_(make(HandlerHost{host, hub}, config)) {}

    /// A class that relies on on_upgrade() must not serve clients about which it was not asked.
    static const wsserver_host& asking(const wsserver_host& host) {
        if (reacts_to_upgrade<H> && !WSSERVER_HOST_HAS(&host, upgrade_refuse)) {
            throw std::runtime_error{"the server is too old: it does not call on_upgrade"};
        }
        return host;
    }

    static HandlerOf<H> make(const HandlerHost& host, std::string_view config) {
        using Takes = std::string_view;
        if constexpr (std::is_constructible_v<H, const HandlerHost&, Takes>) {
            return HandlerOf<H>{{}, std::in_place, host, config};
        } else if constexpr (std::is_constructible_v<H, Takes>) {
            return HandlerOf<H>{{}, std::in_place, config};
        } else {
            if (!config.empty()) throw std::invalid_argument{"the handler takes no configuration"};
            if constexpr (std::is_constructible_v<H, const HandlerHost&>) {
                return HandlerOf<H>{{}, std::in_place, host};
            } else {
                return HandlerOf<H>{{}, std::in_place};
            }
        }
    }

    template <class F>
    static int react(void* plugin, wsserver_connection* connection, F&& reaction) noexcept {
        auto& self = *static_cast<Plugin*>(plugin);
        return guarded_for_host(self.host_, [&] {
            HostConnection c = self.as_seen(connection);
            reaction(self.handler_, c);
        });
    }
    HostConnection as_seen(wsserver_connection* connection) const noexcept {
        return {host_, hub_, connection, has_data<H>};
    }

    const wsserver_host& host_;
    std::shared_ptr<Hub> hub_;
    HandlerOf<H> handler_;
};

template <class H>
constexpr wsserver_handler table_of(const char* name) noexcept {
    wsserver_handler table{};
    table.abi_version = WSSERVER_HANDLER_ABI;
    table.size = sizeof(table);
    table.name = name;
    if constexpr (requires { H::runs; }) {
        table.runs = H::runs == Runs::pooled ? WSSERVER_POOLED : WSSERVER_INLINE;
    }
    table.create = &Plugin<H>::create;
    table.destroy = &Plugin<H>::destroy;
    // Always set: AnyHandler reacts to messages that the class does not react to.
    table.on_text = &Plugin<H>::on_text;
    table.on_binary = &Plugin<H>::on_binary;
    if constexpr (reacts_to_open<H> || has_data<H>) table.on_open = &Plugin<H>::on_open;
    if constexpr (reacts_to_ping<H>) table.on_ping = &Plugin<H>::on_ping;
    if constexpr (reacts_to_pong<H>) table.on_pong = &Plugin<H>::on_pong;
    if constexpr (reacts_to_close<H> || has_data<H>) table.on_close = &Plugin<H>::on_close;
    if constexpr (reacts_to_command<H>) table.on_command = &Plugin<H>::on_command;
    if constexpr (reacts_to_drained<H>) table.on_drained = &Plugin<H>::on_drained;
    if constexpr (reacts_to_upgrade<H>) table.on_upgrade = &Plugin<H>::on_upgrade;
    return table;
}

}  // namespace detail
}  // namespace wsserver

/// Exports the class `H` as the handler of this shared object. Use it once, at namespace scope, in one source file.
/// Calls the first of these constructors that `H` has: (const HandlerHost&, std::string_view config),
/// (std::string_view config), (const HandlerHost&), (). If the constructor throws, the handler is not loaded, and the
/// exception's text is the cause in the error.
// The table is in an unnamed namespace. As a static of a template it would be unique in the whole process, and a second
// version of the same handler would use the table of the first one.
#define WSSERVER_HANDLER(H)                                                                                            \
    namespace {                                                                                                        \
    constexpr ::wsserver_handler wsserver_handler_table = ::wsserver::detail::table_of<H>(#H);                         \
    }                                                                                                                  \
    extern "C" WSSERVER_EXPORT const ::wsserver_handler* wsserver_handler_v1(void) { return &wsserver_handler_table; } \
    static_assert(true, "a semicolon may follow")
