// A handler whose code can be replaced while its connections stay open.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <forward_list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "wsserver/base/result.hpp"
#include "wsserver/connection/any_handler.hpp"
#include "wsserver/connection/saved_state.hpp"

namespace wsserver {

class ServerHandlers;

/// A handler that forwards to another one, its current version, which replace() changes. The server keeps it all the
/// time:
///
///     auto chat = std::make_shared<ReplaceableHandler>(load_handler("./chat.so").value());
///     server.handle("chat", chat);
///     ...
///     chat->replace(load_handler("./chat.so").value());  // the new code serves the open connections, too
///     hand_over_connections(server, chat);
///
/// Each connection moves to the new version before its next reaction, where its reactions run and in order with them.
/// A reaction that runs ends in the old version, and no message is lost or seen twice. hand_over_connections() moves
/// those that are silent, too. An old version ends when it has no connection, no call, and no posted call any more.
///
/// What a version knows about a connection, its AnyConnection::user_data(), means nothing to the next one. So a
/// connection that has some moves only if its version can save it and the next one restores it
/// (AnyHandler::saves_connections(), restores_connections()); otherwise it stays with its version until it ends. One
/// without user_data() moves in any case; if the next version does not restore connections, it gets on_open().
/// Versions must not use AnyConnection::own_data(): a class with `Data` cannot be one, unless it is in a shared object.
///
/// Calls that a class of a program has posted to a connection are made after it has moved, too: they must own what they
/// use. Those of shared objects are not.
class ReplaceableHandler final : public AnyHandler {
   public:
    /// Serves with `first`. Its runs() is also that of this handler. Throws std::invalid_argument if it cannot be a
    /// version.
    explicit ReplaceableHandler(const std::shared_ptr<AnyHandler>& first);
    ~ReplaceableHandler() override;

    /// Passes the state of the current version to `next`, which does not serve yet. Calls code of both, which may
    /// block. The current one continues to serve, and what changes in it afterwards is not passed. An error is a text;
    /// then `next` must not serve.
    Result<void, std::string> pass_state_to(AnyHandler& next);
    /// Serves with `next` from now on. Any thread, one at a time. An error is a text, and nothing has changed: a
    /// pooled handler cannot replace one that runs inline, and a class with `Data` or on_part() no handler.
    Result<void, std::string> serve_with(const std::shared_ptr<AnyHandler>& next);
    /// Both of these.
    Result<void, std::string> replace(const std::shared_ptr<AnyHandler>& next);
    /// Serves with a handler that knows nothing of this one. For each open connection, on_close() of the old one, with
    /// 1012, and on_open() of `next` are called, and nothing is saved. An exception of on_close() is ignored. `next` is
    /// not asked whether it lets the clients in. Otherwise as serve_with().
    Result<void, std::string> give_to(const std::shared_ptr<AnyHandler>& next);
    /// The handler of the current version.
    std::shared_ptr<AnyHandler> current_handler() const;

    /// What has become of a version.
    struct Version {
        std::uint64_t number = 0;     ///< 1 for the first one
        std::size_t connections = 0;  ///< that it serves
        std::size_t staying = 0;      ///< of these, that a newer version cannot take over
    };
    /// The versions that have not ended, from the oldest to the current one. Any thread.
    std::vector<Version> versions() const;

    /// For code of a version that runs later: whether it is the version of the connection. True for a connection that
    /// no ReplaceableHandler serves. On the connection's thread.
    static bool is_version_of(const AnyConnection& connection, const void* version) noexcept;

    // AnyHandler
    bool keeps_data() const noexcept override { return true; }
    std::string_view name() const noexcept override { return *name_.load(std::memory_order_acquire); }
    Runs runs() const noexcept override { return runs_; }
    bool wants_drained() const noexcept override { return wants_drained_.load(std::memory_order_relaxed); }
    bool decides_upgrades() const noexcept override { return decides_upgrades_.load(std::memory_order_relaxed); }
    Admission on_upgrade(const UpgradeRequest& request) override;
    void on_open(AnyConnection& connection) override;
    void on_message(AnyConnection& connection, const Text& message) override;
    void on_message(AnyConnection& connection, const Binary& message) override;
    void take_message(AnyConnection& connection, Text&& message) override;
    void take_message(AnyConnection& connection, Binary&& message) override;
    void on_ping(AnyConnection& connection, const Ping& ping) override;
    void on_pong(AnyConnection& connection, const Pong& pong) override;
    void on_drained(AnyConnection& connection) override;
    void on_close(AnyConnection& connection, const Close& close) override;
    void on_posted(AnyConnection& connection, ConnectionCall& call) override;
    CommandAnswer on_command(std::span<const std::string> words, Bytes payload) override;

   private:
    struct Loaded;
    struct Served;
    /// A version that was replaced. Its handler has not ended before its last posted call has been made.
    struct Earlier {
        std::uint64_t number;
        std::weak_ptr<Loaded> loaded;
        std::weak_ptr<AnyHandler> handler;
    };

    std::shared_ptr<Loaded> current() const;
    Result<void, std::string> serve_with(const std::shared_ptr<AnyHandler>& next, bool is_other);
    void use(const std::shared_ptr<AnyHandler>& handler, bool is_other);
    /// Calls `f` with the version of the connection, after it has moved to the current one.
    template <class F>
    void react(AnyConnection& connection, F&& f);
    void move(AnyConnection& connection, Served& served);
    static void reopen(AnyConnection& connection, Served& served, std::shared_ptr<Loaded> next);

    const Runs runs_;
    std::atomic<const Loaded*> newest_{nullptr};  ///< current_, to compare with only
    std::atomic<bool> wants_drained_{false};      ///< of any version so far: an old one may still serve
    std::atomic<bool> decides_upgrades_{false};
    std::atomic<const std::string*> name_{nullptr};
    mutable std::mutex mutex_{};         // guards what follows
    std::shared_ptr<Loaded> current_{};  ///< not null after the constructor
    std::vector<Earlier> earlier_{};
    std::forward_list<std::string> names_{};  ///< all that versions had: readers may still have one
};

/// Moves the open connections of `handler` to its current version soon, also those that are silent.
void hand_over_connections(ServerHandlers& server, const std::shared_ptr<ReplaceableHandler>& handler);

}  // namespace wsserver
