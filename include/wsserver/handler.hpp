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

#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "wsserver/connection/any_handler.hpp"
#include "wsserver/handler.h"
#include "wsserver/handler/detail/host_calls.hpp"
#include "wsserver/handler/detail/host_connection.hpp"
#include "wsserver/handler/detail/host_hub.hpp"
#include "wsserver/handler/detail/host_upgrade.hpp"

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
    static int save_state(void* plugin, wsserver_state* state) noexcept {
        auto& self = *static_cast<Plugin*>(plugin);
        return guarded_for_host(self.host_, [&] { write(self.host_, state, self.handler_.save_state()); });
    }
    static int restore_state(void* plugin, std::uint32_t version, const unsigned char* bytes,
                             std::size_t size) noexcept {
        auto& self = *static_cast<Plugin*>(plugin);
        return guarded_for_host(self.host_, [&] { self.handler_.restore_state(read(version, bytes, size)); });
    }
    static int save_connection(void* plugin, wsserver_connection* connection, wsserver_state* state) noexcept {
        auto& self = *static_cast<Plugin*>(plugin);
        const int failed = react(plugin, connection, [&](AnyHandler& handler, AnyConnection& c) {
            write(self.host_, state, handler.save_connection(c));
        });
        if (!failed) self.as_seen(connection).own_data(nullptr);
        return failed;
    }
    static int restore_connection(void* plugin, wsserver_connection* connection, std::uint32_t version,
                                  const unsigned char* bytes, std::size_t size) noexcept {
        return react(plugin, connection, [&](AnyHandler& handler, AnyConnection& c) {
            handler.restore_connection(c, read(version, bytes, size));
        });
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

    static void write(const wsserver_host& host, wsserver_state* state, const SavedState& saved) {
        const int status = host.write_state(state, saved.version, saved.bytes.data(), saved.bytes.size());
        if (status != WSSERVER_QUEUED) throw std::runtime_error{"its state is too large"};
    }
    static SavedState read(std::uint32_t version, const unsigned char* bytes, std::size_t size) {
        return {version, std::string{reinterpret_cast<const char*>(bytes), size}};
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
    static_assert(!reacts_to_part<H>, "a handler in a shared object has on_message, not on_part");
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
    if constexpr (saves_state<H>) table.save_state = &Plugin<H>::save_state;
    if constexpr (restores_state<H>) table.restore_state = &Plugin<H>::restore_state;
    if constexpr (saves_connection<H>) table.save_connection = &Plugin<H>::save_connection;
    if constexpr (restores_connection<H> || has_data<H>) table.restore_connection = &Plugin<H>::restore_connection;
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
