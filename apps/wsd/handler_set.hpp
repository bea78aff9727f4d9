// Which handler serves which subprotocol, and where each came from: from the configuration or by command.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/config.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/connection/any_handler.hpp"
#include "wsserver/handler/shared_object.hpp"
#include "wsserver/server.hpp"

namespace wsd {

/// What can be said of a configuration's handlers without loading them: shared objects that can't be read.
ConfigErrors missing_handlers(const Config& config);

/// Not for several threads at once. `server` must outlive it.
class HandlerSet {
   public:
    HandlerSet(wsserver::Server& server, wsserver::HandlerLog log) : server_(server), log_(std::move(log)) {}

    /// Lets everything serve that the configuration names, and takes away what it no longer names; what commands
    /// have loaded stays, unless the configuration wants another one there. What serves already and hasn't changed
    /// (a shared object: its file neither) stays untouched. With an error nothing has changed.
    /// Returns what was done, a line each.
    wsserver::Result<std::vector<std::string>, ConfigErrors> apply(const Config& config);

    /// Lets `what` serve, loading it anew in any case. Returns the handler's name.
    wsserver::Result<std::string, std::string> load(const std::string& subprotocol, const std::string& what,
                                                    const Config& config);
    /// False if nothing serves it.
    bool unload(const std::string& subprotocol);

    /// `built in`, or the path of its shared object; empty if nothing serves it.
    std::string source_of(const std::string& subprotocol) const;

   private:
    /// Tells whether a file is still the one that was loaded.
    struct Stamp {
        dev_t device = 0;
        ino_t inode = 0;
        off_t size = 0;
        std::int64_t changed_s = 0;
        std::int64_t changed_ns = 0;
        bool operator==(const Stamp&) const = default;
    };
    struct Entry {
        std::string what;    ///< a built-in's name, or the path that was found for it
        std::string config;  ///< what the shared object was handed
        Stamp stamp;
        bool by_command = false;
        std::shared_ptr<wsserver::AnyHandler> handler;
    };

    static Stamp stamp_of(const std::string& path);
    wsserver::Result<Entry, std::string> make(const std::string& subprotocol, const std::string& what,
                                              const Config& config) const;

    wsserver::Server& server_;
    wsserver::HandlerLog log_;
    std::map<std::string, Entry> entries_;  // by subprotocol
};

}  // namespace wsd
