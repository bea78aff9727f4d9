// A ControlTarget and a Hub that only record their calls.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "wsserver/control/control_target.hpp"

namespace wsserver::test {

/// A list that one thread fills and another waits for.
class Record {
   public:
    void add(std::string entry) {
        const std::lock_guard lock{mutex_};
        entries_.push_back(std::move(entry));
        changed_.notify_all();
    }
    std::vector<std::string> all() const {
        const std::lock_guard lock{mutex_};
        return entries_;
    }
    /// Waits until there are `count` entries, or for 60 seconds, which only a test that hangs reaches.
    std::vector<std::string> wait_for(std::size_t count) const {
        std::unique_lock lock{mutex_};
        changed_.wait_for(lock, std::chrono::seconds{60}, [&] { return entries_.size() >= count; });
        return entries_;
    }

   private:
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::vector<std::string> entries_;
};

/// Records each call as one line: `send 0-1-1 text hi`.
class FakeHub final : public Hub {
   public:
    Record calls;
    SendStatus status = SendStatus::queued;
    std::size_t receivers = 3;
    bool answers = true;  ///< false: no Completion is called, as if a reactor were stalled

    SendStatus send(ConnectionId to, const AnyMessage& m) override {
        return note("send " + to_string(to) + in_words(m));
    }
    SendStatus ping(ConnectionId to, Bytes) override { return note("ping " + to_string(to)); }
    SendStatus close(ConnectionId to, CloseCode code, std::string_view reason) override {
        return note("close " + to_string(to) + ' ' + number(code) + ' ' + std::string{reason});
    }
    SendStatus broadcast(const Audience& audience, const AnyMessage& m, Completion done) override {
        note("broadcast " + of(audience) + in_words(m), std::move(done));
        return status;
    }
    void ping_all(Completion done) override { note("ping all", std::move(done)); }
    void close_all(CloseCode code, std::string_view reason, Completion done) override {
        note("close all " + number(code) + ' ' + std::string{reason}, std::move(done));
    }

   private:
    static std::string number(CloseCode code) { return std::to_string(static_cast<unsigned>(code)); }
    static std::string of(const Audience& audience) { return audience.subprotocol.value_or("*"); }
    static std::string in_words(const AnyMessage& m) {
        return (m.is_text() ? " text " : " binary ") + std::string{text_of(m.payload())};
    }
    SendStatus note(std::string call) {
        calls.add(std::move(call));
        return status;
    }
    void note(std::string call, Completion done) {
        calls.add(std::move(call));
        answers ? done(receivers) : done.abandon();
    }
};

class FakeTarget final : public ControlTarget {
   public:
    std::shared_ptr<FakeHub> fake_hub = std::make_shared<FakeHub>();
    Record calls;
    std::vector<ConnectionInfo> connections;
    StatusReport report;
    std::map<std::string, std::shared_ptr<AnyHandler>, std::less<>> named;
    std::optional<std::string> refuse;  ///< the error of every call; nothing: calls succeed
    std::atomic<bool> logs = false;     ///< logs_failures()
    std::vector<std::uint16_t> stuck;   ///< reactors that are stalled from the first list() on

    StatusReport status() override { return report; }
    std::vector<ConnectionInfo> list() override {
        if (!stuck.empty()) report.stalled_reactors = stuck;
        return connections;
    }
    std::optional<ConnectionInfo> show(ConnectionId id) override {
        for (const auto& connection : connections) {
            if (connection.id == id) return connection;
        }
        return std::nullopt;
    }
    std::vector<std::uint16_t> stalled_reactors() override { return report.stalled_reactors; }
    std::shared_ptr<Hub> hub() override { return fake_hub; }
    std::vector<HandlerReport> handlers() override { return report.handlers; }
    std::shared_ptr<AnyHandler> find_handler(std::string_view name) override {
        const auto found = named.find(name);
        return found == named.end() ? nullptr : found->second;
    }
    Outcome load_handler(const std::string& subprotocol, const std::string& what) override {
        return note("load '" + subprotocol + "' " + what);
    }
    Outcome unload_handler(const std::string& subprotocol, bool to_default) override {
        return note("unload '" + subprotocol + "'" + (to_default ? " to default" : ""));
    }
    Outcome reload_handler(const std::string& subprotocol) override { return note("reload '" + subprotocol + "'"); }
    Outcome reload_handlers() override { return note("reload all handlers"); }
    Outcome set_log_level(const std::string& level) override { return note("log-level " + level); }
    bool logs_failures() const noexcept override { return logs; }
    Outcome reload() override { return note("reload"); }
    Outcome drain() override { return note("drain"); }
    Outcome undrain() override { return note("undrain"); }
    Outcome stop() override { return note("stop"); }
    std::string version() override { return "fake 1.2.3"; }

   private:
    Outcome note(std::string call) {
        if (refuse) return Unexpected{*refuse};
        calls.add(call);
        return call + " done";
    }
};

}  // namespace wsserver::test
