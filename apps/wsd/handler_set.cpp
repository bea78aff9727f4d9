#include "wsd/handler_set.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/control/text_format.hpp"
#include "wsserver/handler/handler_trial.hpp"
#include "wsserver/handler/handlers.hpp"

namespace wsd {

namespace {

using wsserver::Result;
using wsserver::Unexpected;

bool is_file(const std::string& what) { return what.find('/') != std::string::npos; }

/// The key in the configuration that names the handler, and the source of its value.
std::string place_of(const std::string& subprotocol, const Config& config) {
    const auto key = subprotocol.empty() ? std::string{"default_handler"} : "handlers." + subprotocol;
    return fmt::format("{} ({})", key, config.source(key));
}

std::map<std::string, std::string> wanted_by(const Config& config) {
    auto wanted = config.handlers;
    wanted.insert_or_assign(std::string{}, config.default_handler);
    return wanted;
}

std::string config_for(const std::string& subprotocol, const Config& config) {
    const auto found = config.handler_config.find(subprotocol);
    return found == config.handler_config.end() ? std::string{} : found->second;
}

/// `stock.so` is in the folder of handlers. Anything with a slash is a path already.
std::string resolve(const std::string& what, const Config& config) {
    const bool bare = !is_file(what) && what.find(".so") != std::string::npos;
    return bare ? config.handler_dir + "/" + what : what;
}

/// In another process, so that an object that crashes or hangs does not harm this one.
Result<void, std::string> try_first(std::string_view program, const std::string& path, const std::string& config) {
    const wsserver::HandlerTrial trial{{std::string{program}, "--try-handler", path}};
    auto tried = wsserver::try_handler(trial, config);
    if (tried) return {};
    // The other process names this program and the file already.
    std::string_view reason = tried.error();
    if (reason.starts_with("wsd: handler ")) return Unexpected{std::string{reason.substr(5)}};
    return Unexpected{fmt::format("handler '{}': {}", wsserver::escape_control(path), reason)};
}

}  // namespace

ConfigErrors broken_handlers(const Config& config) {
    ConfigErrors errors;
    for (const auto& [subprotocol, what] : wanted_by(config)) {
        const auto path = resolve(what, config);
        if (!is_file(path) || !wsserver::is_shared_object(path)) continue;
        const auto tried = try_first(this_program, path, config_for(subprotocol, config));
        if (!tried) errors.push_back(place_of(subprotocol, config) + ": " + tried.error());
    }
    return errors;
}

Config with_needs_of_scripts(Config config) {
    for (const auto& [subprotocol, what] : wanted_by(config)) {
        const auto path = resolve(what, config);
        if (!is_file(path) || wsserver::is_shared_object(path)) continue;
        config.server.kept_fields = {"Cookie"};
    }
    return config;
}

ConfigErrors missing_handlers(const Config& config) {
    ConfigErrors errors;
    for (const auto& [subprotocol, what] : wanted_by(config)) {
        const auto path = resolve(what, config);
        if (!is_file(path) || ::access(path.c_str(), R_OK) == 0) continue;
        errors.push_back(
            fmt::format("{}: {}: {}", place_of(subprotocol, config), path, std::generic_category().message(errno)));
    }
    return errors;
}

HandlerSet::Stamp HandlerSet::stamp_of(const std::string& path) {
    struct stat status {};
    if (!is_file(path) || ::stat(path.c_str(), &status) != 0) return {};
    return {status.st_dev, status.st_ino, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

HandlerSet::Made HandlerSet::load_code(const std::string& subprotocol, const std::string& what,
                                       const std::string& config,
                                       const std::shared_ptr<wsserver::ReplaceableHandler>& replaced) const {
    // A load that hangs must neither keep the old code, nor change anything when it goes on at last.
    const auto gave_up = std::make_shared<std::atomic<bool>>(false);
    const bool replaces = replaced != nullptr;
    const auto load = [what, subprotocol, config, log = log_, trial = trial_program_, gave_up, replaces,
                       old = std::weak_ptr{replaced}]() -> Made {
        if (is_file(what) && wsserver::is_shared_object(what) && !trial.empty()) {
            if (const auto tried = try_first(trial, what, config); !tried) return Unexpected{tried.error()};
        }
        auto made = wsserver::make_handler_of(what, subprotocol, config, log);
        if (!made || !replaces) return made;
        const auto passes = old.lock();
        if (!passes || *gave_up) return Unexpected{std::string{"it was given up"}};
        if (const auto passed = passes->pass_state_to(**made); !passed) {
            return Unexpected{fmt::format("handler '{}': {}", wsserver::escape_control(what), passed.error())};
        }
        return made;
    };
    auto made = is_file(what) ? wsserver::load_within(wsserver::handler_load_deadline, stop_, what, load) : load();
    *gave_up = !made;
    return made;
}

Result<HandlerSet::Entry, std::string> HandlerSet::make(const std::string& subprotocol, const std::string& what,
                                                        const Config& config) const {
    Entry entry{resolve(what, config), config_for(subprotocol, config), {}, false, {}};
    entry.stamp = stamp_of(entry.what);  // before loading, so that a change in the meantime is noticed next time
    entry.seen = entry.stamp;
    auto handler = load_code(subprotocol, entry.what, entry.config, nullptr);
    if (!handler) return Unexpected{handler.error()};
    entry.handler = *std::move(handler);
    if (is_file(entry.what)) {
        entry.replaceable = std::make_shared<wsserver::ReplaceableHandler>(std::move(entry.handler));
        entry.handler = entry.replaceable;
    }
    return entry;
}

Result<HandlerSet::NewCode, std::string> HandlerSet::load_again(const std::string& subprotocol,
                                                                const Config& config) const {
    const Entry& entry = entries_.at(subprotocol);
    NewCode code{config_for(subprotocol, config), stamp_of(entry.what), {}};
    auto handler = load_code(subprotocol, entry.what, code.config, entry.replaceable);
    if (!handler) return Unexpected{handler.error()};
    code.handler = *std::move(handler);
    return code;
}

Result<void, std::string> HandlerSet::replace(const std::string& subprotocol, NewCode code) {
    const wsserver::HandlersEndLater later;  // the end of the old code is not waited for
    Entry& entry = entries_.at(subprotocol);
    if (auto served = entry.replaceable->serve_with(code.handler); !served) return served;
    wsserver::hand_over_connections(server_, entry.replaceable);
    for (const auto& heir : entry.heirs) {
        const auto follows = heir.lock();
        if (!follows) continue;
        if (const auto follows_too = follows->serve_with(code.handler); !follows_too) {
            log_(wsserver::LogLevel::warning, entry.handler->name(),
                 "connections that it has taken over stay with its old code: " + follows_too.error());
        }
        wsserver::hand_over_connections(server_, follows);
    }
    std::erase_if(entry.heirs, [](const auto& heir) { return heir.expired(); });
    const std::lock_guard lock{mutex_};
    entry.config = std::move(code.config);
    entry.stamp = entry.seen = code.stamp;
    return {};
}

Result<std::string, std::string> HandlerSet::reload(const std::string& subprotocol, const Config& config) {
    const auto entry = entries_.find(subprotocol);
    if (entry == entries_.end() || !entry->second.replaceable) {
        return Unexpected{std::string{"it is built in; only shared objects can be reloaded"}};
    }
    auto code = load_again(subprotocol, config);
    if (!code) return Unexpected{code.error()};
    if (const auto replaced = replace(subprotocol, *std::move(code)); !replaced) {
        return Unexpected{
            fmt::format("handler '{}': {}", wsserver::escape_control(entry->second.what), replaced.error())};
    }
    return std::string{entry->second.handler->name()};
}

std::vector<std::string> HandlerSet::replaceable() const {
    std::vector<std::string> all;
    for (const auto& [subprotocol, entry] : entries_) {
        if (entry.replaceable) all.push_back(subprotocol);
    }
    return all;
}

std::vector<std::string> HandlerSet::changed() {
    std::vector<std::string> changed;
    for (auto& [subprotocol, entry] : entries_) {
        const Stamp now = entry.replaceable ? stamp_of(entry.what) : Stamp{};
        const bool is_new = now != Stamp{} && now != entry.stamp;
        // A file that is still written changes once more. One that cannot be loaded is not tried again.
        if (is_new && now == entry.seen && now != entry.tried) {
            changed.push_back(subprotocol);
            entry.tried = now;
        }
        entry.seen = now;
    }
    return changed;
}

Result<std::vector<std::string>, ConfigErrors> HandlerSet::apply(const Config& config) {
    std::map<std::string, Entry> fresh;
    std::map<std::string, NewCode> again;
    ConfigErrors errors;
    const auto wanted = wanted_by(config);
    for (const auto& [subprotocol, what] : wanted) {
        const auto current = entries_.find(subprotocol);
        const auto path = resolve(what, config);
        const bool is_same = current != entries_.end() && current->second.what == path;
        if (is_same && current->second.stamp == stamp_of(path) &&
            current->second.config == config_for(subprotocol, config)) {
            continue;
        }
        const auto report = [&, &subprotocol = subprotocol](const std::string& error) {
            errors.push_back(place_of(subprotocol, config) + ": " + error);
        };
        if (is_same && current->second.replaceable) {
            auto code = load_again(subprotocol, config);
            code ? static_cast<void>(again.emplace(subprotocol, *std::move(code))) : report(code.error());
        } else {
            auto entry = make(subprotocol, what, config);
            entry ? static_cast<void>(fresh.emplace(subprotocol, *std::move(entry))) : report(entry.error());
        }
    }
    if (!errors.empty()) return Unexpected{std::move(errors)};

    std::vector<std::string> done;
    for (auto& [subprotocol, code] : again) {
        const auto replaced = replace(subprotocol, std::move(code));
        const auto& what = entries_.at(subprotocol).what;
        done.push_back(fmt::format("{}: {} {}", wsserver::name_of_subprotocol(subprotocol), what,
                                   replaced ? "serves with its new code" : "keeps its old code: " + replaced.error()));
    }
    for (auto& [subprotocol, entry] : fresh) {
        done.push_back(fmt::format("{}: {} serves", wsserver::name_of_subprotocol(subprotocol), entry.what));
        set(subprotocol, std::move(entry));
    }
    std::vector<std::string> no_longer_wanted;
    for (auto& [subprotocol, entry] : entries_) {
        const bool named = wanted.contains(subprotocol);
        if (named) entry.by_command = false;
        if (!named && !entry.by_command) no_longer_wanted.push_back(subprotocol);
    }
    for (const auto& subprotocol : no_longer_wanted) {
        done.push_back(fmt::format("{}: no longer served", wsserver::name_of_subprotocol(subprotocol)));
        server_.remove_handler(subprotocol, wsserver::CloseCode::service_restart);
        erase(subprotocol);
    }
    return done;
}

Result<std::string, std::string> HandlerSet::load(const std::string& subprotocol, const std::string& what,
                                                  const Config& config) {
    auto entry = make(subprotocol, what, config);
    if (!entry) return Unexpected{entry.error()};
    entry->by_command = true;
    std::string name{entry->handler->name()};
    set(subprotocol, *std::move(entry));
    return name;
}

bool HandlerSet::unload(const std::string& subprotocol) {
    erase(subprotocol);
    return server_.remove_handler(subprotocol, wsserver::CloseCode::service_restart);
}

Result<void, std::string> HandlerSet::unload_to_default(const std::string& subprotocol) {
    const auto entry = entries_.find(subprotocol);
    const auto heir = entries_.find(std::string{});
    if (entry == entries_.end()) return Unexpected{"nothing serves " + wsserver::name_of_subprotocol(subprotocol)};
    if (subprotocol.empty()) return Unexpected{std::string{"it is the default handler"}};
    if (heir == entries_.end()) return Unexpected{std::string{"there is no default handler"}};
    const auto replaceable = entry->second.replaceable;
    if (!replaceable) {
        return Unexpected{
            std::string{"a built-in handler cannot give its connections away; unload it without "
                        "--to-default, and they are closed with 1012"}};
    }
    Entry& taker = heir->second;
    taker.heirs.reserve(taker.heirs.size() + 1);  // nothing may fail after give_to()
    auto given = replaceable->give_to(taker.replaceable ? taker.replaceable->current_handler() : taker.handler);
    if (!given) return given;
    taker.heirs.push_back(replaceable);
    server_.retire_handler(subprotocol);
    wsserver::hand_over_connections(server_, replaceable);
    erase(subprotocol);
    return {};
}

void HandlerSet::set(const std::string& subprotocol, Entry entry) {
    server_.handle(subprotocol, entry.handler);
    const std::lock_guard lock{mutex_};
    std::swap(entries_[subprotocol], entry);  // the old handler may be slow to end: after the lock is released
}

bool HandlerSet::erase(const std::string& subprotocol) {
    decltype(entries_)::node_type erased;  // destroyed after the lock is released
    const std::lock_guard lock{mutex_};
    erased = entries_.extract(subprotocol);
    return !erased.empty();
}

std::string HandlerSet::source_of(const std::string& subprotocol) const {
    const std::lock_guard lock{mutex_};
    const auto found = entries_.find(subprotocol);
    if (found == entries_.end()) return {};
    return is_file(found->second.what) ? found->second.what : "built in";
}

}  // namespace wsd
