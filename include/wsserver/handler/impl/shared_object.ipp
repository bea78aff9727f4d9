#pragma once

#include "wsserver/handler/shared_object.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/handler.h"
#include "wsserver/handler/detail/handler_end.hpp"
#include "wsserver/handler/detail/shared_library.hpp"
#include "wsserver/handler/detail/shared_object_host.hpp"
#include "wsserver/scheduling/awaited.hpp"
#include "wsserver/scheduling/foreign_calls.hpp"

namespace wsserver {
namespace {

using Problem = Unexpected<std::string>;

/// The shared object's table as this program knows it. Functions that an older table lacks are null.
struct SharedObjectTable : wsserver_handler {
    static Result<SharedObjectTable, std::string> read(const wsserver_handler* theirs) {
        if (!theirs) return Problem{"wsserver_handler_v1() returned no table"};
        if (theirs->abi_version != WSSERVER_HANDLER_ABI) {
            return Problem{"it has version " + std::to_string(theirs->abi_version) +
                           " of the handler interface and this program has version " +
                           std::to_string(WSSERVER_HANDLER_ABI) + "; build it with the headers of this program"};
        }
        if (theirs->size < offsetof(wsserver_handler, on_command) + sizeof(theirs->on_command)) {
            return Problem{"its table has " + std::to_string(theirs->size) +
                           " bytes, which is too few; set its size to sizeof(struct wsserver_handler)"};
        }
        SharedObjectTable table{};
        std::memcpy(static_cast<wsserver_handler*>(&table), theirs,
                    std::min(std::size_t{theirs->size}, sizeof(wsserver_handler)));
        if (!table.create) return Problem{"its table has no create function"};
        if (table.runs != WSSERVER_INLINE && table.runs != WSSERVER_POOLED) {
            return Problem{"runs in its table is neither WSSERVER_INLINE nor WSSERVER_POOLED"};
        }
        return table;
    }
};

std::string file_name_of(std::string_view path) { return std::string{path.substr(path.rfind('/') + 1)}; }

/// The address of bytes for C. It is not null even if there are no bytes.
const unsigned char* start_of(Bytes bytes) noexcept {
    static constexpr unsigned char nothing = 0;
    return bytes.empty() ? &nothing : bytes.data();
}
const char* start_of(std::string_view text) noexcept { return text.empty() ? "" : text.data(); }

class SharedObjectHandler final : public AnyHandler {
   public:
    SharedObjectHandler(SharedLibrary library, const SharedObjectTable& table, std::string name, HandlerLog log)
        : library_(std::move(library)), table_(table), host_(std::move(name), std::move(log)) {}
    ~SharedObjectHandler() override {
        if (handler_ && table_.destroy) table_.destroy(handler_);
    }

    /// `owner` owns this object.
    Result<void, std::string> start(const std::shared_ptr<const void>& owner, std::string_view config) {
        host_.set_owner(owner);
        auto& said = handler_said() = {};
        handler_ = table_.create(&host_, std::string{config}.c_str());
        if (handler_) return {};
        return Problem{"it cannot start: " + (said.error.empty() ? "it gave no reason" : escape_control(said.error))};
    }

    SharedLibrary take_library() noexcept { return std::move(library_); }
    const HandlerLog& log_to() const noexcept { return host_.log_to(); }
    std::string_view name() const noexcept override { return host_.name(); }
    Runs runs() const noexcept override { return table_.runs == WSSERVER_POOLED ? Runs::pooled : Runs::inline_; }

    bool decides_upgrades() const noexcept override { return table_.on_upgrade != nullptr; }
    Admission on_upgrade(const UpgradeRequest& request) override {
        UpgradeForObject upgrade{request};
        handler_said().error.clear();
        const int failed = table_.on_upgrade(handler_, upgrade.for_object());
        if (failed) throw std::runtime_error{reason("on_upgrade", failed)};
        return upgrade.take_admission();
    }
    void on_open(AnyConnection& connection) override {
        host_.remember(connection.hub());
        react("on_open", table_.on_open, connection);
    }
    void on_message(AnyConnection& connection, const Text& message) override {
        if (!table_.on_text) return decline(connection);
        react("on_text", table_.on_text, connection, start_of(message.text), message.text.size());
    }
    void on_message(AnyConnection& connection, const Binary& message) override {
        if (!table_.on_binary) return decline(connection);
        react("on_binary", table_.on_binary, connection, start_of(message.bytes), message.bytes.size());
    }
    void on_ping(AnyConnection& connection, const Ping& ping) override {
        react("on_ping", table_.on_ping, connection, start_of(ping.payload), ping.payload.size());
    }
    void on_pong(AnyConnection& connection, const Pong& pong) override {
        react("on_pong", table_.on_pong, connection, start_of(pong.payload), pong.payload.size());
    }
    bool wants_drained() const noexcept override { return table_.on_drained != nullptr; }
    void on_drained(AnyConnection& connection) override { react("on_drained", table_.on_drained, connection); }
    void on_close(AnyConnection& connection, const Close& close) override {
        react("on_close", table_.on_close, connection, static_cast<std::uint16_t>(close.code), start_of(close.reason),
              close.reason.size());
    }

    CommandAnswer on_command(std::span<const std::string> words, Bytes payload) override {
        if (!table_.on_command) return AnyHandler::on_command(words, payload);
        std::vector<wsserver_view> views;
        for (const auto& word : words) views.push_back({word.c_str(), word.size()});
        auto& said = handler_said() = {};
        const int failed = table_.on_command(handler_, views.data(), views.size(), start_of(payload), payload.size());
        if (failed && said.answer.empty()) said.answer = reason("on_command", failed);
        return {failed == 0, std::move(said.answer)};
    }

    SavedState save_state() override {
        StateForObject state;
        call("save_state", table_.save_state, state.for_object());
        return complete(std::move(state), "save_state");
    }
    void restore_state(const SavedState& state) override {
        call("restore_state", table_.restore_state, state.version, start_of(bytes_of(state.bytes)), state.bytes.size());
    }
    bool restores_connections() const noexcept override { return table_.restore_connection != nullptr; }
    bool saves_connections() const noexcept override { return table_.save_connection != nullptr; }
    SavedState save_connection(AnyConnection& connection) override {
        StateForObject state;
        try {
            react("save_connection", table_.save_connection, connection, state.for_object());
            return complete(std::move(state), "save_connection");
        } catch (const std::exception& error) {
            host_.log_to()(LogLevel::warning, host_.name(), error.what());
            throw;
        }
    }
    void restore_connection(AnyConnection& connection, const SavedState& state) override {
        host_.remember(connection.hub());
        react("restore_connection", table_.restore_connection, connection, state.version,
              start_of(bytes_of(state.bytes)), state.bytes.size());
    }

   private:
    /// Calls the reaction if it is set. Throws if it fails; then the caller closes the connection with 1011.
    template <class Reaction, class... Arguments>
    void react(const char* what, Reaction reaction, AnyConnection& connection, Arguments... arguments) {
        call(what, reaction, reinterpret_cast<wsserver_connection*>(&connection), arguments...);
    }
    /// The same for any function that returns 0 for success.
    template <class Function, class... Arguments>
    void call(const char* what, Function function, Arguments... arguments) {
        if (!function) return;
        handler_said().error.clear();
        const int failed = function(handler_, arguments...);
        if (failed) throw std::runtime_error{reason(what, failed)};
    }

    /// Throws if a part of the state could not be written, whatever the object has made of that.
    SavedState complete(StateForObject&& state, const char* what) const {
        if (state.is_cut) throw std::runtime_error{host_.name() + ": " + what + ": the state is too large"};
        return std::move(state.saved);
    }

    std::string reason(const char* what, int failed) const {
        const auto& said = handler_said().error;
        return host_.name() + ": " + what + ": " + (said.empty() ? "it returned " + std::to_string(failed) : said);
    }

    SharedLibrary library_;  // first: all other members may point into it
    SharedObjectTable table_;
    SharedObjectHost host_;
    void* handler_ = nullptr;
};

void report_slow_end(const HandlerLog& log, const std::string& name) noexcept {
    try {
        log(LogLevel::warning, name,
            "destroy() has not returned within " + std::to_string(handler_end_deadline.count()) +
                " ms; it continues on a thread of its own");
    } catch (...) {  // the log has failed, or there is no memory for the text
    }
}

/// The reasons that the file tells were logged when it was loaded.
void report_code_that_stays(const HandlerLog& log, const std::string& name, const SharedLibrary& library) noexcept {
    if (!library.reason_to_stay().empty()) return;
    try {
        log(LogLevel::warning, name,
            "its code stays in memory: perhaps a thread that still runs has used a thread_local object of it");
    } catch (...) {
    }
}

struct HandlerEnd {
    void operator()(SharedObjectHandler* handler) const noexcept {
        try {
            end_on_own_thread(std::string{handler->name()}, handler->log_to(),
                              [handler, log = handler->log_to(), name = std::string{handler->name()}] {
                                  SharedLibrary library = handler->take_library();
                                  delete handler;
                                  if (!library.close()) report_code_that_stays(log, name, library);
                              });
        } catch (...) {  // without memory the handler stays in memory
        }
    }
};

/// Handlers that may be ending at the same time, those that wait for others included. Ends are never refused, since
/// nothing else would end these handlers, so no further one is loaded until some have returned.
constexpr std::size_t most_ends = 2 * ForeignCalls::most;

bool too_many_end() {
    const auto calls = ForeignCalls::of_process().states();
    const auto ends = std::count_if(calls.begin(), calls.end(),
                                    [](const auto& call) { return call.kind == ForeignCalls::Kind::end; });
    return ends >= static_cast<std::ptrdiff_t>(most_ends);
}

Result<std::shared_ptr<AnyHandler>, std::string> open_handler(const std::string& path, std::string_view name,
                                                              std::string_view config, HandlerLog log) {
    if (too_many_end()) {
        return Problem{
            std::to_string(most_ends) +
            " handlers have not ended: `status` names them; if their destroy() hangs, only a restart ends them"};
    }
    auto library = SharedLibrary::open(path);
    if (!library) return Problem{library.error()};
    using Entry = const wsserver_handler* (*)();
    const auto entry = reinterpret_cast<Entry>(library->find("wsserver_handler_v1"));
    if (!entry) {
        return Problem{
            "it has no function wsserver_handler_v1, so it is not a handler or is for another version; see handler.h, "
            "or WSSERVER_HANDLER in handler.hpp"};
    }
    const auto table = SharedObjectTable::read(entry());
    if (!table) return Problem{table.error()};
    std::string own_name{name};
    if (own_name.empty()) own_name = table->name ? std::string{table->name} : file_name_of(path);
    const std::string stays = library->reason_to_stay();
    const std::shared_ptr<SharedObjectHandler> handler{
        new SharedObjectHandler(*std::move(library), *table, std::move(own_name), std::move(log)), HandlerEnd{}};
    if (const auto started = handler->start(handler, config); !started) return Problem{started.error()};
    if (!stays.empty()) {
        handler->log_to()(LogLevel::warning, handler->name(),
                          "its code may stay in memory after it has ended: " + stays);
    }
    return std::shared_ptr<AnyHandler>{handler};
}

}  // namespace

/// On a thread of its own, since destroy() may hang, and since it joins the handler's threads, of which this may be
/// one. If the handler's code may be on this thread's stack, it cannot be waited for: it is unloaded.
void end_on_own_thread(const std::string& name, const HandlerLog& log, std::function<void()> end) noexcept {
    try {
        const Awaited<bool> ended;
        const auto started = ForeignCalls::of_process().start_or_queue(
            ForeignCalls::Kind::end, "destroy() of " + name, [end = std::move(end), deliver = ended.deliver()] {
                end();
                deliver(true);
            });
        const bool waits = started == ForeignCalls::Start::started && !HostCall::is_under_way() &&
                           !HandlersEndLater::is_on_this_thread();
        if (waits && !ended.wait({}, handler_end_deadline)) report_slow_end(log, name);
    } catch (...) {  // without memory or a thread the handler stays in memory
    }
}

Result<std::shared_ptr<AnyHandler>, std::string> load_handler(const std::string& path, std::string_view name,
                                                              std::string_view config, HandlerLog log) {
    auto handler = open_handler(path, name, config, std::move(log));
    if (!handler) return Problem{"handler '" + escape_control(path) + "': " + handler.error()};
    return handler;
}

Result<std::shared_ptr<AnyHandler>, std::string> load_within(std::chrono::milliseconds deadline, std::stop_token stop,
                                                             const std::string& what, HandlerLoader load) {
    using Loaded = Result<std::shared_ptr<AnyHandler>, std::string>;
    const auto problem = [&](const std::string& text) {
        return Problem{"handler '" + escape_control(what) + "': " + text};
    };
    const Awaited<Loaded> loaded;
    const auto started =
        ForeignCalls::of_process().start(ForeignCalls::Kind::load, "create() of " + escape_control(what),
                                         [load = std::move(load), deliver = loaded.deliver()] {
                                             deliver([&]() -> Loaded {
                                                 try {
                                                     return load();
                                                 } catch (const std::exception& error) {  // such as bad_alloc
                                                     return Problem{std::string{error.what()}};
                                                 }
                                             }());
                                         });
    if (started == ForeignCalls::Start::busy) {
        return problem(std::to_string(ForeignCalls::most) +
                       " handlers hang while they start: `status` names them, and only a restart ends them");
    }
    if (started == ForeignCalls::Start::no_thread) {
        return problem("no thread can be started to load it; raise the limit of threads (ulimit -u)");
    }
    if (auto result = loaded.wait(stop, deadline)) return *std::move(result);
    if (stop.stop_requested()) return problem("the program stops, and its start has not ended");
    return problem("its start does not end within " + std::to_string(deadline.count()) +
                   " ms: a constructor or create() hangs");
}

bool& HandlersEndLater::is_on_this_thread() noexcept {
    thread_local bool later = false;
    return later;
}

bool wait_for_handler_ends(std::chrono::milliseconds most) {
    return ForeignCalls::of_process().wait_for_all(ForeignCalls::Kind::end, most);
}

}  // namespace wsserver
