#pragma once

#include "wsserver/server/detail/program_callbacks.hpp"

#include <exception>
#include <string>

#include "wsserver/base/within_memory.hpp"
#include "wsserver/handshake/handshake.hpp"
#include "wsserver/protocol/error.hpp"

namespace wsserver {

std::optional<HttpResponse> ProgramCallbacks::answer(const HttpRequest& request) const {
    if (!http_answer_) return std::nullopt;
    const CallbackGate::Call call{*gate_};
    if (!call) return std::nullopt;
    try {
        return http_answer_(request);
    } catch (const std::exception& exception) {
        log(LogLevel::error, "on_http threw for " + request.target + ": " + exception.what());
    } catch (...) {
        log(LogLevel::error, "on_http threw for " + request.target + ": an exception that is not a std::exception");
    }
    return HttpResponse{500, {}, "text/plain; charset=utf-8", "the server failed to answer\n"};
}

template <class F>
void ProgramCallbacks::guarded(std::string_view name, F&& function) const {
    const CallbackGate::Call call{*gate_};
    if (!call) return;
    try {
        function();
    } catch (const std::exception& exception) {
        log(LogLevel::error, std::string{name} + " threw: " + exception.what());
    } catch (...) {
        log(LogLevel::error, std::string{name} + " threw an exception that is not a std::exception");
    }
}

void ProgramCallbacks::accepted(const ConnectionStart& start) const {
    if (accept_) guarded("on_accept", [&] { accept_(start); });
}

void ProgramCallbacks::ended(const ConnectionEnd& end) {
    (void)within_memory([&] { count(end); });
    if (end_) guarded("on_end", [&] { end_(end); });
}

void ProgramCallbacks::event(const ConnectionEvent& event) const {
    if (event_) guarded("on_event", [&] { event_(event); });
}

void ProgramCallbacks::count(const ConnectionEnd& end) {
    const bool refused = !end.opened && end.error.category() == wsserver_category();
    if (!end.opened && !refused) return;
    const std::lock_guard lock(mutex_);
    if (end.opened) ++closes_[static_cast<std::uint16_t>(end.code)];
    if (refused && end.refused_with != 0) ++refusals_[end.refused_with];
}

void ProgramCallbacks::log(LogLevel level, std::string_view text) const noexcept {
    if (!log_) return;
    const CallbackGate::Call call{*gate_};
    if (!call) return;
    try {
        log_(level, text);
    } catch (...) {
        // There is no other place to report it.
    }
}

std::map<std::uint16_t, std::uint64_t> ProgramCallbacks::closes() const {
    const std::lock_guard lock(mutex_);
    return closes_;
}

std::map<unsigned, std::uint64_t> ProgramCallbacks::refusals() const {
    const std::lock_guard lock(mutex_);
    return refusals_;
}

}  // namespace wsserver
