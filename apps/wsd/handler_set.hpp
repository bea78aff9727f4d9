// Which handler serves which subprotocol, and whether the configuration or a command loaded it.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/config.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/connection/any_handler.hpp"
#include "wsserver/handler/replaceable_handler.hpp"
#include "wsserver/handler/shared_object.hpp"
#include "wsserver/server.hpp"

namespace wsd {

/// Errors that can be found without loading handlers: shared objects that cannot be read.
ConfigErrors missing_handlers(const Config& config);

/// Errors of shared objects that do not start: each is tried in a process of its own.
ConfigErrors broken_handlers(const Config& config);

/// The configuration with what scripts need: they find the cookies of a client's opening handshake.
Config with_needs_of_scripts(Config config);

/// This program, for trials of shared objects: `PROGRAM --try-handler PATH`.
constexpr std::string_view this_program = "/proc/self/exe";

/// One change at a time; source_of() may be called meanwhile from another thread. Shared objects are loaded on threads
/// of their own, and no lock is held meanwhile. `server` must outlive this object.
class HandlerSet {
   public:
    /// Tries each shared object first with `trial_program`, in a process of its own; empty: loads it at once. Changes
    /// fail as soon as `stop` is requested.
    HandlerSet(wsserver::Server& server, wsserver::HandlerLog log, std::string_view trial_program,
               std::stop_token stop = {})
        : server_(server), log_(std::move(log)), trial_program_(trial_program), stop_(std::move(stop)) {}

    /// Loads the handlers that the configuration names and removes those that it no longer names. Handlers that were
    /// loaded by command stay, unless the configuration names another one for their subprotocol. Handlers that have not
    /// changed (for a shared object: its file, too) are left alone. On an error nothing changes.
    /// Returns what was done, one line for each change.
    wsserver::Result<std::vector<std::string>, ConfigErrors> apply(const Config& config);

    /// Serves `subprotocol` with `what`, which is always loaded again, for new connections. Returns the handler's name.
    wsserver::Result<std::string, std::string> load(const std::string& subprotocol, const std::string& what,
                                                    const Config& config);
    /// Loads the shared object of `subprotocol` again, and that serves the open connections, too. On an error, the old
    /// code continues to serve.
    wsserver::Result<std::string, std::string> reload(const std::string& subprotocol, const Config& config);
    /// The subprotocols that shared objects serve.
    std::vector<std::string> replaceable() const;
    /// Those whose file has changed since it was loaded, and since the last call has not. Each change is reported once.
    std::vector<std::string> changed();
    /// False if nothing serves `subprotocol`.
    bool unload(const std::string& subprotocol);
    /// The same, but its connections stay open and the default handler serves them.
    wsserver::Result<void, std::string> unload_to_default(const std::string& subprotocol);

    /// `built in`, or the path of the shared object; empty if nothing serves `subprotocol`.
    std::string source_of(const std::string& subprotocol) const;

   private:
    /// Identifies a version of a file, to see whether it has changed since it was loaded.
    struct Stamp {
        dev_t device = 0;
        ino_t inode = 0;
        off_t size = 0;
        std::int64_t changed_s = 0;
        std::int64_t changed_ns = 0;
        bool operator==(const Stamp&) const = default;
    };
    struct Entry {
        std::string what;    ///< the name of a built-in handler, or a path
        std::string config;  ///< the text that the shared object was given
        Stamp stamp;
        bool by_command = false;
        std::shared_ptr<wsserver::AnyHandler> handler;                     ///< of the server
        std::shared_ptr<wsserver::ReplaceableHandler> replaceable{};       ///< the same; null for a built-in handler
        std::vector<std::weak_ptr<wsserver::ReplaceableHandler>> heirs{};  ///< whose connections it has taken over
        Stamp seen{};                                                      ///< by changed()
        Stamp tried{};                                                     ///< reported by it
    };
    using Made = wsserver::Result<std::shared_ptr<wsserver::AnyHandler>, std::string>;

    static Stamp stamp_of(const std::string& path);
    /// Loads `what`. If it replaces code, that code passes its state on.
    Made load_code(const std::string& subprotocol, const std::string& what, const std::string& config,
                   const std::shared_ptr<wsserver::ReplaceableHandler>& replaced) const;
    wsserver::Result<Entry, std::string> make(const std::string& subprotocol, const std::string& what,
                                              const Config& config) const;
    /// Code that was loaded to replace that of an entry.
    struct NewCode {
        std::string config;
        Stamp stamp;
        std::shared_ptr<wsserver::AnyHandler> handler;
    };
    wsserver::Result<NewCode, std::string> load_again(const std::string& subprotocol, const Config& config) const;
    wsserver::Result<void, std::string> replace(const std::string& subprotocol, NewCode code);
    void set(const std::string& subprotocol, Entry entry);
    /// False if there is none.
    bool erase(const std::string& subprotocol);

    wsserver::Server& server_;
    wsserver::HandlerLog log_;
    std::string trial_program_;
    std::stop_token stop_;
    mutable std::mutex mutex_;              // guards entries_ while it changes
    std::map<std::string, Entry> entries_;  // by subprotocol
};

}  // namespace wsd
