// The server's side of handler.h: the functions that a handler in a shared object can call.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/connection/admission.hpp"
#include "wsserver/connection/hub.hpp"
#include "wsserver/connection/saved_state.hpp"
#include "wsserver/handler.h"
#include "wsserver/handler/shared_object.hpp"
#include "wsserver/handshake/upgrade_request.hpp"

namespace wsserver {

/// Where handlers log if no one has said otherwise.
void log_to_standard_error(LogLevel level, std::string_view name, std::string_view text);

/// The table that create() gets, followed by private members.
class SharedObjectHost : public wsserver_host {
   public:
    SharedObjectHost(std::string name, HandlerLog log);
    SharedObjectHost(const SharedObjectHost&) = delete;
    SharedObjectHost& operator=(const SharedObjectHost&) = delete;

    static const SharedObjectHost& of(const wsserver_host* host) noexcept {
        return *static_cast<const SharedObjectHost*>(host);
    }

    const std::string& name() const noexcept { return name_; }
    const HandlerLog& log_to() const noexcept { return log_to_; }

    /// The hub of the connection that was opened last; null if there was none or its server is gone.
    std::shared_ptr<Hub> hub() const;
    void remember(const std::shared_ptr<Hub>& hub);

    /// The result keeps the handler and its code in memory. Null after the handler's end has started.
    std::shared_ptr<const void> owner() const noexcept { return owner_.lock(); }
    /// Must be called before the handler is started.
    void set_owner(const std::shared_ptr<const void>& owner) noexcept { owner_ = owner; }

   private:
    std::string name_;
    HandlerLog log_to_;
    std::weak_ptr<const void> owner_{};
    mutable std::mutex mutex_{};
    std::weak_ptr<Hub> hub_{};  // weak: a server owns its handlers
};

/// An opening handshake, and what on_upgrade() of a shared object decides about it.
class UpgradeForObject {
   public:
    /// `request` must outlive the object.
    explicit UpgradeForObject(const UpgradeRequest& request) noexcept : request_(request) {}
    UpgradeForObject(const UpgradeForObject&) = delete;
    UpgradeForObject& operator=(const UpgradeForObject&) = delete;

    static UpgradeForObject& of(wsserver_upgrade* upgrade) noexcept {
        return *reinterpret_cast<UpgradeForObject*>(upgrade);
    }
    static const UpgradeForObject& of(const wsserver_upgrade* upgrade) noexcept {
        return *reinterpret_cast<const UpgradeForObject*>(upgrade);
    }
    wsserver_upgrade* for_object() noexcept { return reinterpret_cast<wsserver_upgrade*>(this); }

    const UpgradeRequest& request() const noexcept { return request_; }
    /// The first value with this name; null if there is none. Valid as long as the object.
    const std::string* value(int kind, std::string_view name);
    void add_field(HttpField field) { fields_.push_back(std::move(field)); }
    void refuse(HttpResponse response) { refusal_ = std::move(response); }
    void set_user(std::string user) noexcept { user_ = std::move(user); }
    /// What was decided. Called once.
    Admission take_admission();

   private:
    const UpgradeRequest& request_;
    std::deque<std::string> values_{};  ///< never move
    std::vector<HttpField> fields_{};
    std::optional<HttpResponse> refusal_{};
    std::string user_{};
};

/// The state that a shared object fills.
struct StateForObject {
    SavedState saved{};
    bool is_cut = false;  ///< a part of it could not be written

    static StateForObject& of(wsserver_state* state) noexcept { return *reinterpret_cast<StateForObject*>(state); }
    wsserver_state* for_object() noexcept { return reinterpret_cast<wsserver_state*>(this); }
};

/// While an object exists, code of a handler may be on this thread's stack.
class HostCall {
   public:
    HostCall() noexcept : within_another_(std::exchange(is_under_way(), true)) {}
    HostCall(const HostCall&) = delete;
    HostCall& operator=(const HostCall&) = delete;
    ~HostCall() { is_under_way() = within_another_; }

    /// Whether there is an object on this thread.
    static bool& is_under_way() noexcept;

   private:
    const bool within_another_;
};

/// The texts that a handler passed to set_error() and answer() during its call on this thread.
struct HandlerSaid {
    std::string error{};
    std::string answer{};
};
HandlerSaid& handler_said() noexcept;

}  // namespace wsserver
