#pragma once

#include "wsserver/handler/detail/shared_object_host.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/base/utf8.hpp"
#include "wsserver/connection/any_connection.hpp"
#include "wsserver/connection/rooms.hpp"
#include "wsserver/handler/replaceable_handler.hpp"

namespace wsserver {
namespace {

// No exception may cross the C interface, so each function here catches all exceptions.

int number_of(SendStatus status) noexcept {
    switch (status) {
        case SendStatus::queued:
            return WSSERVER_QUEUED;
        case SendStatus::dropped:
            return WSSERVER_DROPPED;
        case SendStatus::closed:
            return WSSERVER_CLOSED;
        case SendStatus::refused:
            break;
    }
    return WSSERVER_REFUSED;
}

ConnectionId id_from(wsserver_connection_id id) noexcept {
    return {static_cast<std::uint16_t>(id.reactor), id.slot, id.generation};
}

std::string_view text_from(const char* text, std::size_t size) noexcept {
    return size > 0 ? std::string_view{text, size} : std::string_view{};
}

Bytes bytes_from(const void* bytes, std::size_t size) noexcept {
    return size > 0 ? Bytes{static_cast<const std::uint8_t*>(bytes), size} : Bytes{};
}

AnyConnection& connection_of(wsserver_connection* connection) noexcept {
    return *reinterpret_cast<AnyConnection*>(connection);
}
const AnyConnection& connection_of(const wsserver_connection* connection) noexcept {
    return *reinterpret_cast<const AnyConnection*>(connection);
}

/// Returns the SendStatus of `f` for C. If memory runs out, the result is that of a full queue.
template <class F>
int guarded(F&& f) noexcept {
    try {
        return number_of(f());
    } catch (...) {
        return WSSERVER_DROPPED;
    }
}

int send_text(wsserver_connection* connection, const char* text, std::size_t size) {
    return guarded([&] { return connection_of(connection).send(text_from(text, size)); });
}
int send_binary(wsserver_connection* connection, const void* bytes, std::size_t size) {
    return guarded([&] { return connection_of(connection).send(Binary{bytes_from(bytes, size)}); });
}
int ping_connection(wsserver_connection* connection, const void* bytes, std::size_t size) {
    return guarded([&] { return connection_of(connection).ping(bytes_from(bytes, size)); });
}
int close_connection(wsserver_connection* connection, std::uint16_t code, const char* reason, std::size_t size) {
    const auto text = text_from(reason, size);
    if (!is_valid_utf8(bytes_of(text))) return WSSERVER_REFUSED;
    return guarded([&] { return connection_of(connection).close(CloseCode{code}, text); });
}

wsserver_view view_of(std::string_view text) noexcept { return {text.data(), text.size()}; }

wsserver_connection_id id(const wsserver_connection* connection) {
    const auto id = connection_of(connection).id();
    return {id.reactor, id.slot, id.generation};
}
wsserver_view subprotocol(const wsserver_connection* connection) {
    return view_of(connection_of(connection).subprotocol());
}
/// The text must be valid until the reaction returns. A thread runs one reaction at a time.
wsserver_view peer(const wsserver_connection* connection) noexcept {
    thread_local std::string text;
    try {
        text = connection_of(connection).peer();
    } catch (...) {
        return {"", 0};
    }
    return view_of(text);
}
wsserver_view target(const wsserver_connection* connection) { return view_of(connection_of(connection).target()); }
wsserver_view parameter(const wsserver_connection* connection, const char* name, std::size_t size) noexcept {
    thread_local std::string text;
    try {
        auto value = connection_of(connection).parameter(text_from(name, size));
        if (!value) return {nullptr, 0};
        text = *std::move(value);
    } catch (...) {
        return {nullptr, 0};
    }
    return view_of(text);
}
void* user_data(const wsserver_connection* connection) { return connection_of(connection).user_data(); }
void set_user_data(wsserver_connection* connection, void* data) { connection_of(connection).set_user_data(data); }

template <class F>
int with_hub(const wsserver_host* host, F&& f) noexcept {
    return guarded([&] {
        const auto hub = SharedObjectHost::of(host).hub();
        return hub ? f(*hub) : SendStatus::closed;
    });
}

int send_text_to(const wsserver_host* host, wsserver_connection_id to, const char* text, std::size_t size) {
    return with_hub(host, [&](Hub& hub) { return hub.send(id_from(to), text_from(text, size)); });
}
int send_binary_to(const wsserver_host* host, wsserver_connection_id to, const void* bytes, std::size_t size) {
    return with_hub(host, [&](Hub& hub) { return hub.send(id_from(to), Binary{bytes_from(bytes, size)}); });
}
int ping_to(const wsserver_host* host, wsserver_connection_id to, const void* bytes, std::size_t size) {
    return with_hub(host, [&](Hub& hub) { return hub.ping(id_from(to), bytes_from(bytes, size)); });
}
int close_to(const wsserver_host* host, wsserver_connection_id to, std::uint16_t code, const char* reason,
             std::size_t size) {
    const auto text = text_from(reason, size);
    if (!is_valid_utf8(bytes_of(text))) return WSSERVER_REFUSED;
    return with_hub(host, [&](Hub& hub) { return hub.close(id_from(to), CloseCode{code}, text); });
}

Audience audience_of(const char* subprotocol, const wsserver_connection_id* except) {
    Audience audience;
    if (subprotocol) audience.subprotocol = subprotocol;
    if (except) audience.except = id_from(*except);
    return audience;
}

/// Lets a handler end. The thread may be a reactor's, so it does not wait for destroy() if it was the last owner.
void release(std::shared_ptr<const void>& owner) noexcept {
    const HostCall under_way;
    owner.reset();
}

/// The callback of a shared object. It is called exactly once, even if the server has ended. Keeps the handler alive
/// until then, so that the code is not unloaded.
class CountForHandler {
   public:
    CountForHandler(std::shared_ptr<const void> owner, wsserver_count done, void* context) noexcept
        : owner_(std::move(owner)), done_(done), context_(context) {}
    CountForHandler(CountForHandler&& other) noexcept
        : owner_(std::move(other.owner_)), done_(std::exchange(other.done_, nullptr)), context_(other.context_) {}
    CountForHandler& operator=(CountForHandler&&) = delete;
    ~CountForHandler() {
        (*this)(0);
        release(owner_);
    }

    void operator()(std::size_t receivers) noexcept {
        if (const auto done = std::exchange(done_, nullptr)) done(context_, receivers);
    }

   private:
    std::shared_ptr<const void> owner_;
    wsserver_count done_;
    void* context_;
};

/// Calls `action` with a hub and a Completion that calls `done`. The Completion keeps the handler alive until then, so
/// that `done` is not unloaded. Within destroy() nothing can keep the handler alive, so no request with a `done` is
/// made.
template <class Action>
int run_for_all(const wsserver_host* host, wsserver_count done, void* context, Action&& action) noexcept {
    // The Completion may be the handler's last owner and be destroyed before this function returns.
    const HostCall call;
    bool handed_over = false;
    const int answer = guarded([&] {
        const auto hub = SharedObjectHost::of(host).hub();
        auto owner = SharedObjectHost::of(host).owner();
        if (!hub || (done && !owner)) return SendStatus::closed;
        Completion completion;
        if (done) {
            completion = CountForHandler{std::move(owner), done, context};
            handed_over = true;
        }
        return action(*hub, std::move(completion));
    });
    if (done && !handed_over) done(context, 0);
    return answer;
}

int refuse_all(wsserver_count done, void* context) {
    if (done) done(context, 0);
    return WSSERVER_REFUSED;
}

int broadcast_text(const wsserver_host* host, const char* subprotocol, const wsserver_connection_id* except,
                   const char* text, std::size_t size, wsserver_count done, void* context) {
    return run_for_all(host, done, context, [&](Hub& hub, Completion count) {
        return hub.broadcast(audience_of(subprotocol, except), text_from(text, size), std::move(count));
    });
}
int broadcast_binary(const wsserver_host* host, const char* subprotocol, const wsserver_connection_id* except,
                     const void* bytes, std::size_t size, wsserver_count done, void* context) {
    return run_for_all(host, done, context, [&](Hub& hub, Completion count) {
        return hub.broadcast(audience_of(subprotocol, except), Binary{bytes_from(bytes, size)}, std::move(count));
    });
}
int ping_all(const wsserver_host* host, wsserver_count done, void* context) {
    return run_for_all(host, done, context, [](Hub& hub, Completion count) {
        hub.ping_all(std::move(count));
        return SendStatus::queued;
    });
}
int close_all(const wsserver_host* host, std::uint16_t code, const char* reason, std::size_t size, wsserver_count done,
              void* context) {
    const auto text = text_from(reason, size);
    if (!may_be_sent(CloseCode{code}) || size > max_close_reason || !is_valid_utf8(bytes_of(text))) {
        return refuse_all(done, context);
    }
    return run_for_all(host, done, context, [&](Hub& hub, Completion count) {
        hub.close_all(CloseCode{code}, text, std::move(count));
        return SendStatus::queued;
    });
}

void log(const wsserver_host* host, int level, const char* text, std::size_t size) {
    const auto known = static_cast<LogLevel>(std::clamp(level, WSSERVER_LOG_DEBUG + 0, WSSERVER_LOG_ERROR + 0));
    guarded([&] {
        const auto& self = SharedObjectHost::of(host);
        self.log_to()(known, self.name(), escape_control(text_from(text, size)));
        return SendStatus::queued;
    });
}

void set_error(const wsserver_host*, const char* text, std::size_t size) {
    guarded([&] { return handler_said().error = text_from(text, size), SendStatus::queued; });
}

void answer(const wsserver_host*, const char* text, std::size_t size) {
    guarded([&] { return handler_said().answer += text_from(text, size), SendStatus::queued; });
}

constexpr wsserver_view no_view{nullptr, 0};

wsserver_view upgrade_method(const wsserver_upgrade* upgrade) {
    return view_of(UpgradeForObject::of(upgrade).request().request().method);
}
wsserver_view upgrade_target(const wsserver_upgrade* upgrade) {
    return view_of(UpgradeForObject::of(upgrade).request().target());
}
wsserver_view upgrade_peer(const wsserver_upgrade* upgrade) {
    return view_of(UpgradeForObject::of(upgrade).request().peer());
}
wsserver_view upgrade_subprotocol(const wsserver_upgrade* upgrade, std::size_t index) {
    const auto subprotocols = UpgradeForObject::of(upgrade).request().subprotocols();
    return index < subprotocols.size() ? view_of(subprotocols[index]) : no_view;
}
int upgrade_field(const wsserver_upgrade* upgrade, std::size_t index, wsserver_view* name, wsserver_view* value) {
    const auto& fields = UpgradeForObject::of(upgrade).request().request().fields;
    if (index >= fields.size()) return 0;
    *name = view_of(fields[index].name);
    *value = view_of(fields[index].value);
    return 1;
}
wsserver_view upgrade_value(wsserver_upgrade* upgrade, int kind, const char* name, std::size_t size) noexcept {
    try {
        const std::string* value = UpgradeForObject::of(upgrade).value(kind, text_from(name, size));
        return value != nullptr ? view_of(*value) : no_view;
    } catch (...) {
        return no_view;
    }
}
int upgrade_add_field(wsserver_upgrade* upgrade, const char* name, std::size_t name_size, const char* value,
                      std::size_t value_size) {
    return guarded([&] {
        UpgradeForObject::of(upgrade).add_field(
            {std::string{text_from(name, name_size)}, std::string{text_from(value, value_size)}});
        return SendStatus::queued;
    });
}
int upgrade_refuse(wsserver_upgrade* upgrade, unsigned status, const char* content_type, const void* body,
                   std::size_t size) {
    if (status < 300 || status > 999) return WSSERVER_REFUSED;
    return guarded([&] {
        HttpResponse response;
        response.status = status;
        if (content_type != nullptr) response.content_type = content_type;
        response.body = text_of(bytes_from(body, size));
        UpgradeForObject::of(upgrade).refuse(std::move(response));
        return SendStatus::queued;
    });
}

int upgrade_set_user(wsserver_upgrade* upgrade, const char* user, std::size_t size) {
    return guarded([&] {
        const std::string_view id = text_from(user, size);
        if (!is_room_name(id)) return SendStatus::refused;
        UpgradeForObject::of(upgrade).set_user(std::string{id});
        return SendStatus::queued;
    });
}

// --- Rooms, users and flow control of a connection ---

wsserver_view request_field(const wsserver_connection* connection, const char* name, std::size_t size) {
    const auto value = connection_of(connection).request_field(text_from(name, size));
    return value ? wsserver_view{value->empty() ? "" : value->data(), value->size()} : no_view;
}
int join(wsserver_connection* connection, const char* room, std::size_t size) {
    return guarded([&] { return connection_of(connection).join(text_from(room, size)); });
}
int leave(wsserver_connection* connection, const char* room, std::size_t size) {
    return guarded([&] { return connection_of(connection).leave(text_from(room, size)); });
}
wsserver_view room(const wsserver_connection* connection, std::size_t index) noexcept {
    thread_local std::vector<std::string> rooms;
    try {
        if (index == 0) rooms = connection_of(connection).rooms();
    } catch (...) {
        rooms.clear();
    }
    return index < rooms.size() ? view_of(rooms[index]) : no_view;
}
wsserver_view user(const wsserver_connection* connection) { return view_of(connection_of(connection).user()); }
int set_user(wsserver_connection* connection, const char* user, std::size_t size) {
    return guarded([&] { return connection_of(connection).set_user(text_from(user, size)); });
}
std::size_t queued(const wsserver_connection* connection) { return connection_of(connection).queued(); }
int has_space(wsserver_connection* connection) noexcept {
    try {
        return connection_of(connection).has_space() ? 1 : 0;
    } catch (...) {
        return 0;
    }
}
int send_text_waiting(wsserver_connection* connection, const char* text, std::size_t size) {
    return guarded([&] { return connection_of(connection).send_waiting(text_from(text, size)); });
}
int send_binary_waiting(wsserver_connection* connection, const void* bytes, std::size_t size) {
    return guarded([&] { return connection_of(connection).send_waiting(Binary{bytes_from(bytes, size)}); });
}
int pause_receiving(wsserver_connection* connection) {
    return guarded([&] { return connection_of(connection).pause_receiving(); });
}
int resume_receiving(wsserver_connection* connection) {
    return guarded([&] { return connection_of(connection).resume_receiving(); });
}

// --- The same by id ---

/// The call of a shared object. It is called exactly once: with null if it is not made. Keeps the handler alive until
/// then.
class CallForHandler {
   public:
    CallForHandler(const SharedObjectHost& host, wsserver_call call, void* context) noexcept
        : host_(&host), owner_(host.owner()), call_(call), context_(context) {}
    CallForHandler(CallForHandler&& other) noexcept
        : host_(other.host_),
          owner_(std::move(other.owner_)),
          call_(std::exchange(other.call_, nullptr)),
          context_(other.context_) {}
    CallForHandler& operator=(CallForHandler&&) = delete;
    ~CallForHandler() {
        if (call_ != nullptr) call_(context_, nullptr);
        release(owner_);
    }

    bool has_owner() const noexcept { return owner_ != nullptr; }
    void operator()(AnyConnection& connection) {
        if (!ReplaceableHandler::is_version_of(connection, owner_.get())) return;  // the destructor calls with null
        auto& error = handler_said().error;
        error.clear();
        const auto call = std::exchange(call_, nullptr);
        const int failed = call(context_, reinterpret_cast<wsserver_connection*>(&connection));
        if (failed == 0) return;
        throw std::runtime_error{
            host_->name() + ": a posted call: " + (error.empty() ? "it returned " + std::to_string(failed) : error)};
    }

   private:
    const SharedObjectHost* host_;
    std::shared_ptr<const void> owner_;
    wsserver_call call_;
    void* context_;
};

int post(const wsserver_host* host, wsserver_connection_id to, std::uint32_t delay, wsserver_call call, void* context) {
    // The call may be the handler's last owner and be destroyed before this function returns.
    const HostCall under_way;
    if (call == nullptr) return WSSERVER_REFUSED;
    CallForHandler posted{SharedObjectHost::of(host), call, context};
    if (!posted.has_owner()) return WSSERVER_CLOSED;  // within destroy()
    return with_hub(host, [&](Hub& hub) {
        return hub.post_after(id_from(to), std::chrono::milliseconds{delay}, std::move(posted));
    });
}
int add_to_room(const wsserver_host* host, wsserver_connection_id member, const char* room, std::size_t size) {
    return with_hub(host, [&](Hub& hub) { return hub.join(id_from(member), text_from(room, size)); });
}
int remove_from_room(const wsserver_host* host, wsserver_connection_id member, const char* room, std::size_t size) {
    return with_hub(host, [&](Hub& hub) { return hub.leave(id_from(member), text_from(room, size)); });
}
int set_user_of(const wsserver_host* host, wsserver_connection_id of, const char* user, std::size_t size) {
    return with_hub(host, [&](Hub& hub) { return hub.set_user(id_from(of), text_from(user, size)); });
}
std::size_t queued_of(const wsserver_host* host, wsserver_connection_id of) {
    const auto hub = SharedObjectHost::of(host).hub();
    return hub ? hub->queued(id_from(of)) : 0;
}
int pause_receiving_of(const wsserver_host* host, wsserver_connection_id of) {
    return with_hub(host, [&](Hub& hub) { return hub.pause_receiving(id_from(of)); });
}
int resume_receiving_of(const wsserver_host* host, wsserver_connection_id of) {
    return with_hub(host, [&](Hub& hub) { return hub.resume_receiving(id_from(of)); });
}

// --- Many connections at once ---

int send_to_each(const wsserver_host* host, const wsserver_connection_id* to, std::size_t count,
                 const AnyMessage& message, wsserver_count done, void* context) {
    return run_for_all(host, done, context, [&](Hub& hub, Completion completion) {
        std::vector<ConnectionId> ids;
        for (std::size_t i = 0; i < count; ++i) ids.push_back(id_from(to[i]));
        return hub.send(ids, message, std::move(completion));
    });
}
int send_text_to_each(const wsserver_host* host, const wsserver_connection_id* to, std::size_t count, const char* text,
                      std::size_t size, wsserver_count done, void* context) {
    return send_to_each(host, to, count, text_from(text, size), done, context);
}
int send_binary_to_each(const wsserver_host* host, const wsserver_connection_id* to, std::size_t count,
                        const void* bytes, std::size_t size, wsserver_count done, void* context) {
    return send_to_each(host, to, count, Binary{bytes_from(bytes, size)}, done, context);
}

Audience audience_of(const wsserver_audience& given) {
    Audience audience = audience_of(given.subprotocol, given.except);
    if (given.room.data != nullptr) audience.room = text_from(given.room.data, given.room.size);
    if (given.user.data != nullptr) audience.user = text_from(given.user.data, given.user.size);
    return audience;
}
int broadcast_to(const wsserver_host* host, const wsserver_audience* audience, const AnyMessage& message,
                 wsserver_count done, void* context) {
    return run_for_all(host, done, context, [&](Hub& hub, Completion completion) {
        return hub.broadcast(audience_of(*audience), message, std::move(completion));
    });
}
int broadcast_text_to(const wsserver_host* host, const wsserver_audience* audience, const char* text, std::size_t size,
                      wsserver_count done, void* context) {
    return broadcast_to(host, audience, text_from(text, size), done, context);
}
int broadcast_binary_to(const wsserver_host* host, const wsserver_audience* audience, const void* bytes,
                        std::size_t size, wsserver_count done, void* context) {
    return broadcast_to(host, audience, Binary{bytes_from(bytes, size)}, done, context);
}

int write_state(wsserver_state* state, std::uint32_t version, const void* bytes, std::size_t size) {
    StateForObject& written = StateForObject::of(state);
    const int status = guarded([&] {
        SavedState& saved = written.saved;
        if (size > WSSERVER_MAX_STATE - saved.bytes.size()) return SendStatus::refused;
        saved.bytes.append(text_of(bytes_from(bytes, size)));
        saved.version = version;
        return SendStatus::queued;
    });
    written.is_cut = written.is_cut || status != WSSERVER_QUEUED;
    return status;
}

constexpr wsserver_host functions{
    .abi_version = WSSERVER_HANDLER_ABI,
    .size = sizeof(wsserver_host),
    .send_text = send_text,
    .send_binary = send_binary,
    .ping = ping_connection,
    .close = close_connection,
    .id = id,
    .subprotocol = subprotocol,
    .peer = peer,
    .target = target,
    .user_data = user_data,
    .set_user_data = set_user_data,
    .send_text_to = send_text_to,
    .send_binary_to = send_binary_to,
    .ping_to = ping_to,
    .close_to = close_to,
    .broadcast_text = broadcast_text,
    .broadcast_binary = broadcast_binary,
    .ping_all = ping_all,
    .close_all = close_all,
    .log = log,
    .set_error = set_error,
    .answer = answer,
    .parameter = parameter,
    .upgrade_method = upgrade_method,
    .upgrade_target = upgrade_target,
    .upgrade_peer = upgrade_peer,
    .upgrade_subprotocol = upgrade_subprotocol,
    .upgrade_field = upgrade_field,
    .upgrade_value = upgrade_value,
    .upgrade_add_field = upgrade_add_field,
    .upgrade_refuse = upgrade_refuse,
    .upgrade_set_user = upgrade_set_user,
    .request_field = request_field,
    .join = join,
    .leave = leave,
    .room = room,
    .user = user,
    .set_user = set_user,
    .queued = queued,
    .has_space = has_space,
    .send_text_waiting = send_text_waiting,
    .send_binary_waiting = send_binary_waiting,
    .pause_receiving = pause_receiving,
    .resume_receiving = resume_receiving,
    .post = post,
    .add_to_room = add_to_room,
    .remove_from_room = remove_from_room,
    .set_user_of = set_user_of,
    .queued_of = queued_of,
    .pause_receiving_of = pause_receiving_of,
    .resume_receiving_of = resume_receiving_of,
    .send_text_to_each = send_text_to_each,
    .send_binary_to_each = send_binary_to_each,
    .broadcast_text_to = broadcast_text_to,
    .broadcast_binary_to = broadcast_binary_to,
    .write_state = write_state,
};

}  // namespace

void log_to_standard_error(LogLevel, std::string_view name, std::string_view text) {
    std::fprintf(stderr, "%.*s: %.*s\n", static_cast<int>(name.size()), name.data(), static_cast<int>(text.size()),
                 text.data());
}

SharedObjectHost::SharedObjectHost(std::string name, HandlerLog log_function)
    : wsserver_host(functions),
      name_(std::move(name)),
      log_to_(log_function ? std::move(log_function) : log_to_standard_error) {}

std::shared_ptr<Hub> SharedObjectHost::hub() const {
    const std::lock_guard lock(mutex_);
    return hub_.lock();
}

void SharedObjectHost::remember(const std::shared_ptr<Hub>& hub) {
    const std::lock_guard lock(mutex_);
    hub_ = hub;
}

const std::string* UpgradeForObject::value(int kind, std::string_view name) {
    const auto kept = [this](std::string_view text) { return &values_.emplace_back(text); };
    switch (kind) {
        case WSSERVER_FIELD: {
            const HttpField* field = find_field(request_.request().fields, name);
            return field != nullptr ? &field->value : nullptr;
        }
        case WSSERVER_QUERY: {
            const auto value = request_.query(name);
            return value ? kept(*value) : nullptr;
        }
        case WSSERVER_COOKIE: {
            const auto value = request_.cookie(name);
            return value ? kept(*value) : nullptr;
        }
        default:
            return nullptr;
    }
}

Admission UpgradeForObject::take_admission() {
    Admission admission;
    if (refusal_) {
        refusal_->fields = std::move(fields_);
        admission.refusal = std::move(refusal_);
    } else {
        admission.fields = std::move(fields_);
        admission.user = std::move(user_);
    }
    return admission;
}

bool& HostCall::is_under_way() noexcept {
    thread_local bool under_way = false;
    return under_way;
}

HandlerSaid& handler_said() noexcept {
    thread_local HandlerSaid said;
    return said;
}

}  // namespace wsserver
