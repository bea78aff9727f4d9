// What a script may ask for, and what is wrong with a request.
#pragma once

#include <array>
#include <charconv>
#include <limits>

#include "wsserver/base/utf8.hpp"
#include "wsserver/connection/any_connection.hpp"
#include "wsserver/handler/detail/script_worker.hpp"

namespace wsserver {
namespace {

template <class Number>
std::optional<Number> number_in(std::string_view text) noexcept {
    Number number{};
    const auto* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc{} || stop != end || text.empty()) return std::nullopt;
    return number;
}

/// The header line of a frame as it is shown in an error.
std::string described(const ScriptFrame& frame) {
    std::string line = "the request '";
    for (const std::string& word : frame.words) line += (&word == &frame.words.front() ? "" : " ") + word;
    return line + "': ";
}

/// A message of the kind that a word names; nothing if it is another word.
std::optional<AnyMessage> message_of(std::string_view kind, const std::string& payload) {
    if (kind == "text") return AnyMessage{std::string_view{payload}};
    if (kind == "binary") return AnyMessage{Binary{bytes_of(payload)}};
    return std::nullopt;
}

/// A request, and how many words it has.
struct RequestForm {
    std::string_view word;
    std::size_t least, most;
    std::string_view usage;
};
constexpr std::array<RequestForm, 16> request_forms{{
    {"send", 3, 3, "send ID text|binary LENGTH"},
    {"broadcast", 3, 4, "broadcast text|binary SUBPROTOCOL [EXCEPT-ID] LENGTH"},
    {"publish", 3, 4, "publish text|binary ROOM [EXCEPT-ID] LENGTH"},
    {"to-user", 3, 4, "to-user text|binary USER [EXCEPT-ID] LENGTH"},
    {"close", 3, 3, "close ID CODE LENGTH"},
    {"join", 3, 3, "join ID ROOM 0"},
    {"leave", 3, 3, "leave ID ROOM 0"},
    {"user", 3, 3, "user ID USER 0"},
    {"timer", 4, 4, "timer ID NAME MILLISECONDS 0"},
    {"state", 3, 3, "state ID VERSION LENGTH"},
    {"accept", 2, 3, "accept NUMBER [USER] LENGTH"},
    {"refuse", 3, 4, "refuse NUMBER STATUS [CONTENT-TYPE] LENGTH"},
    {"reply", 3, 4, "reply NUMBER ok|error [VERSION] LENGTH"},
    {"log", 2, 2, "log debug|info|warning|error LENGTH"},
    {"pong", 2, 2, "pong NUMBER 0"},
    {"ready", 1, 20, "ready [WORD...] 0"},
}};

}  // namespace

std::shared_ptr<Hub> ScriptWorker::hub() {
    const std::lock_guard lock{mutex_};
    return hub_.lock();
}

ScriptWorker::Fault ScriptWorker::obey(const ScriptFrame& frame) {
    const std::string& word = frame.words.front();
    const auto form = std::ranges::find(request_forms, word, &RequestForm::word);
    if (form == request_forms.end()) return described(frame) + "there is no such request";
    if (frame.words.size() < form->least || frame.words.size() > form->most) {
        return described(frame) + "want: " + std::string{form->usage};
    }
    if (word == "ready") return obey_ready(frame);
    if (!ready_) return described(frame) + "the first one must be: ready [WORD...] 0";
    if (word == "log") return obey_log(frame);
    if (word == "send" || word == "broadcast" || word == "publish" || word == "to-user") return obey_message(frame);
    if (word == "accept" || word == "refuse" || word == "reply" || word == "pong") return obey_answer(frame);
    return obey_connection(frame);
}

ScriptWorker::Fault ScriptWorker::obey_ready(const ScriptFrame& frame) {
    if (ready_) return described(frame) + "it is ready already";
    {
        const std::lock_guard lock{mutex_};
        ready_ = true;
        if (!first_start_) first_start_.emplace(std::set<std::string>{frame.words.begin() + 1, frame.words.end()});
    }
    changed_.notify_all();
    return std::nullopt;
}

ScriptWorker::Fault ScriptWorker::obey_message(const ScriptFrame& frame) {
    const auto& words = frame.words;
    const bool is_to_one = words[0] == "send";
    const auto message = message_of(words[is_to_one ? 2 : 1], frame.payload);
    if (!message) return described(frame) + "its kind must be text or binary";
    std::optional<ConnectionId> id;
    if (is_to_one || words.size() > 3) {
        id = parse_connection_id(words[is_to_one ? 1 : 3]);
        if (!id) return described(frame) + "it has no id of a connection";
    }
    const auto to = hub();
    if (!to) return std::nullopt;  // there has been no connection yet
    auto status = SendStatus::closed;
    if (is_to_one) {
        status = to->send(*id, *message);
    } else {
        Audience audience{.except = id};
        (words[0] == "publish"   ? audience.room
         : words[0] == "to-user" ? audience.user
                                 : audience.subprotocol) = words[2];
        status = to->broadcast(audience, *message);
    }
    if (status == SendStatus::refused) note(LogLevel::warning, described(frame) + "the text is not UTF-8");
    return std::nullopt;
}

/// Requests about one connection. It may be gone: then nothing happens.
ScriptWorker::Fault ScriptWorker::obey_connection(const ScriptFrame& frame) {
    const auto& words = frame.words;
    const auto id = parse_connection_id(words[1]);
    if (!id) return described(frame) + "it has no id of a connection";
    if (words[0] == "timer") return obey_timer(frame, *id);
    if (words[0] == "state") {
        const auto version = number_in<std::uint32_t>(words[2]);
        if (!version) return described(frame) + "its version must be a number";
        const std::lock_guard lock{mutex_};
        if (const auto gate = saving_.find(*id); gate != saving_.end()) gate->second->save({*version, frame.payload});
        return std::nullopt;
    }
    const auto to = hub();
    if (words[0] == "close") {
        const auto code = number_in<std::uint16_t>(words[2]);
        const bool is_valid = code && may_be_sent(CloseCode{*code}) && frame.payload.size() <= max_close_reason &&
                              is_valid_utf8(bytes_of(frame.payload));
        if (!is_valid)
            return described(frame) + "want a close code that may be sent, and a reason of at most 123 bytes";
        if (to) (void)to->close(*id, CloseCode{*code}, frame.payload);
        return std::nullopt;
    }
    if (!to) return std::nullopt;
    auto status = SendStatus::queued;
    if (words[0] == "join") status = to->join(*id, words[2]);
    if (words[0] == "leave") status = to->leave(*id, words[2]);
    if (words[0] == "user") status = to->set_user(*id, words[2]);
    if (status == SendStatus::refused)
        note(LogLevel::warning, described(frame) + "want a name of 1 to 255 bytes of UTF-8");
    return std::nullopt;
}

ScriptWorker::Fault ScriptWorker::obey_timer(const ScriptFrame& frame, ConnectionId id) {
    const auto delay = number_in<std::uint32_t>(frame.words[3]);
    if (!delay) return described(frame) + "want: timer ID NAME MILLISECONDS 0";
    const auto to = hub();
    if (!to) return std::nullopt;
    (void)to->post_after(id, std::chrono::milliseconds{*delay},
                         [weak = weak_from_this(), name = frame.words[2]](AnyConnection& connection) {
                             if (const auto self = weak.lock()) (void)self->put(connection.id(), {"timer", name});
                         });
    return std::nullopt;
}

ScriptWorker::Fault ScriptWorker::obey_answer(const ScriptFrame& frame) {
    const auto number = number_in<std::uint64_t>(frame.words[1]);
    if (!number) return described(frame) + "its number must be that of the event";
    if (frame.words[0] == "pong") {
        pong(*number);
        return std::nullopt;
    }
    Ticket ticket;
    {
        const std::lock_guard lock{mutex_};
        const auto found = tickets_.find(*number);
        if (found == tickets_.end()) return std::nullopt;  // the answer is late
        ticket = std::move(found->second);
        tickets_.erase(found);
    }
    ticket.answer(frame);
    return std::nullopt;
}

void ScriptWorker::pong(std::uint64_t number) {
    if (number == ping_) ping_ = 0;
    std::shared_ptr<ScriptGate> gate;
    {
        const std::lock_guard lock{mutex_};
        const auto found = gates_.find(number);
        if (found == gates_.end()) return;
        gate = std::move(found->second.gate);
        saving_.erase(found->second.id);
        gates_.erase(found);
    }
    gate->open();
}

ScriptWorker::Fault ScriptWorker::obey_log(const ScriptFrame& frame) {
    constexpr std::array<std::string_view, 4> levels{"debug", "info", "warning", "error"};
    const auto level = std::ranges::find(levels, frame.words[1]);
    if (level == levels.end()) return described(frame) + "want: log debug|info|warning|error LENGTH";
    note(static_cast<LogLevel>(level - levels.begin()), frame.payload);
    return std::nullopt;
}

}  // namespace wsserver
