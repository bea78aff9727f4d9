// The functions that the program gave to the server: what reports to them, and what they may not break.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "wsserver/base/callback.hpp"
#include "wsserver/server.hpp"
#include "wsserver/server/detail/callback_gate.hpp"

namespace wsserver {

/// Calls nothing once the gate is closed. The functions are set before the server starts; then any thread may call the
/// other members.
class ProgramCallbacks {
   public:
    explicit ProgramCallbacks(std::shared_ptr<CallbackGate> gate) noexcept : gate_(std::move(gate)) {}

    void on_http(Server::HttpAnswer answer) { http_answer_ = std::move(answer); }
    void on_accept(Callback<void(const ConnectionStart&)> listener) { accept_ = std::move(listener); }
    void on_end(Callback<void(const ConnectionEnd&)> listener) { end_ = std::move(listener); }
    void on_event(Callback<void(const ConnectionEvent&)> listener) { event_ = std::move(listener); }
    void on_log(Callback<void(LogLevel, std::string_view)> listener) { log_ = std::move(listener); }

    /// The response is 500 if the program's function throws.
    std::optional<HttpResponse> answer(const HttpRequest& request) const;
    void accepted(const ConnectionStart& start) const;
    /// Counts the close code of a connection that was open or the status of a refusal, and tells the program.
    void ended(const ConnectionEnd& end);
    void event(const ConnectionEvent& event) const;
    void log(LogLevel level, std::string_view text) const noexcept;

    /// The number of ended connections by close code.
    std::map<std::uint16_t, std::uint64_t> closes() const;
    /// The number of refused connections by HTTP status.
    std::map<unsigned, std::uint64_t> refusals() const;

   private:
    void count(const ConnectionEnd& end);
    /// Calls a function of the program if the gate is open. It is called `name` in the log if it throws.
    template <class F>
    void guarded(std::string_view name, F&& function) const;

    const std::shared_ptr<CallbackGate> gate_;
    Server::HttpAnswer http_answer_;
    Callback<void(const ConnectionStart&)> accept_;
    Callback<void(const ConnectionEnd&)> end_;
    Callback<void(const ConnectionEvent&)> event_;
    Callback<void(LogLevel, std::string_view)> log_;
    mutable std::mutex mutex_;
    std::map<std::uint16_t, std::uint64_t> closes_;
    std::map<unsigned, std::uint64_t> refusals_;
};

}  // namespace wsserver
