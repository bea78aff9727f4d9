// What the wrappers of the C interface share: its values as the library's, and exceptions as its results.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <exception>
#include <string>
#include <string_view>

#include "wsserver/connection/hub.hpp"
#include "wsserver/handler.h"

namespace wsserver::detail {

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

}  // namespace wsserver::detail
