#pragma once

#include "wsserver/handler/script_handler.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/handler/detail/handler_end.hpp"
#include "wsserver/handler/detail/script_worker.hpp"
#include "wsserver/handler/detail/shared_object_host.hpp"
#include "wsserver/handshake/http_values.hpp"

namespace wsserver {
namespace {

/// The version of a SavedState that is the number of a gate, and not bytes of a script.
constexpr std::uint32_t gate_version = 0x57534747;

/// Gates on their way from an old handler to a new one.
class GatesUnderWay {
   public:
    static GatesUnderWay& of_process() {
        static auto* const gates = new GatesUnderWay;  // never destroyed: a thread may outlive main()
        return *gates;
    }
    SavedState put(std::shared_ptr<ScriptGate> gate) {
        const std::lock_guard lock{mutex_};
        const std::uint64_t number = ++last_;
        gates_[number] = std::move(gate);
        return {gate_version, std::to_string(number)};
    }
    /// An open gate with the state itself, if it is not that of a gate.
    std::shared_ptr<ScriptGate> take(const SavedState& state) {
        if (state.version == gate_version) {
            const std::lock_guard lock{mutex_};
            auto found = gates_.extract(std::stoull(state.bytes));
            if (!found.empty()) return std::move(found.mapped());
        }
        auto gate = std::make_shared<ScriptGate>();
        if (state.version != 0 && state.version != gate_version) gate->save(state);
        gate->open();
        return gate;
    }

   private:
    std::mutex mutex_;
    std::map<std::uint64_t, std::shared_ptr<ScriptGate>> gates_;
    std::uint64_t last_ = 0;
};

// --- The environment of a connection, in the words of CGI (RFC 3875 §4.1) ---

void add_variable(std::string& lines, std::string_view name, std::string_view value) {
    lines += name;
    lines += '=';
    for (const char c : value) lines += c == '\n' || c == '\r' || c == '\0' ? ' ' : c;
    lines += '\n';
}

void add_field(std::string& lines, std::string_view name, std::string_view value) {
    std::string variable = "HTTP_";
    for (const char c : name) {
        variable += c == '-' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
    add_variable(lines, variable, value);
}

/// What is known before and after the opening handshake.
void add_request(std::string& lines, std::string_view peer, std::string_view target) {
    const auto port = peer.rfind(':');
    const bool has_port = port != std::string_view::npos && !peer.starts_with("unix:");
    std::string_view address = has_port ? peer.substr(0, port) : peer;
    if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
    add_variable(lines, "REMOTE_ADDR", address);
    if (has_port) add_variable(lines, "REMOTE_PORT", peer.substr(port + 1));
    add_variable(lines, "REQUEST_METHOD", "GET");
    add_variable(lines, "REQUEST_URI", target);
    const auto path = path_of(target);
    add_variable(lines, "PATH_INFO", percent_decoded(path).value_or(std::string{path}));
    add_variable(lines, "QUERY_STRING", query_of(target));
}

/// Fields that scripts find after the opening handshake, if the server keeps them.
constexpr std::array<std::string_view, 8> useful_fields{
    "Cookie", "Authorization", "Host", "Origin", "User-Agent", "Accept-Language", "X-Forwarded-For", "Referer"};

std::string environment_of(const AnyConnection& connection) {
    std::string lines;
    add_request(lines, connection.peer(), connection.target());
    add_variable(lines, "SUBPROTOCOL", connection.subprotocol());
    if (!connection.user().empty()) add_variable(lines, "REMOTE_USER", connection.user());
    for (const std::string_view name : useful_fields) {
        if (const auto value = connection.request_field(name)) add_field(lines, name, *value);
    }
    return lines;
}

std::string environment_of(const UpgradeRequest& request) {
    std::string lines;
    add_request(lines, request.peer(), request.target());
    for (const HttpField& field : request.request().fields) add_field(lines, field.name, field.value);
    return lines;
}

/// `Name: value` lines.
std::vector<HttpField> fields_in(std::string_view lines) {
    std::vector<HttpField> fields;
    while (!lines.empty()) {
        const auto line = lines.substr(0, lines.find('\n'));
        lines.remove_prefix(std::min(line.size() + 1, lines.size()));
        const auto colon = line.find(':');
        if (colon == std::string_view::npos) continue;
        auto value = line.substr(colon + 1);
        while (value.starts_with(' ')) value.remove_prefix(1);
        fields.push_back({std::string{line.substr(0, colon)}, std::string{value}});
    }
    return fields;
}

/// A handler whose reactions are events of a process.
class ScriptHandler final : public AnyHandler {
   public:
    ScriptHandler(std::string name, const std::shared_ptr<const ScriptOptions>& options, const HandlerLog& log)
        : name_(std::move(name)), log_(log) {
        for (std::size_t i = 0; i < options->processes; ++i) {
            workers_.push_back(std::make_shared<ScriptWorker>(options, name_, log));
        }
    }
    ~ScriptHandler() override {
        for (const auto& worker : workers_) worker->stop();
    }

    /// Waits until all processes are ready.
    Result<void, std::string> start() {
        for (const auto& worker : workers_) {
            auto known = worker->start();
            if (!known) return Unexpected{known.error()};
            known_ = *std::move(known);
        }
        return {};
    }
    const HandlerLog& log_to() const noexcept { return log_; }

    std::string_view name() const noexcept override { return name_; }
    bool wants_drained() const noexcept override { return known_.contains("drained"); }
    bool decides_upgrades() const noexcept override { return known_.contains("upgrade"); }

    Admission on_upgrade(const UpgradeRequest& request) override {
        auto answer = worker_of(next_.fetch_add(1)).ask("upgrade", {}, environment_of(request), answer_within);
        if (!answer) throw std::runtime_error{answer.error()};
        const auto& words = answer->words;
        Admission admission;
        if (words[0] == "refuse") {
            HttpResponse refusal;
            refusal.status = static_cast<unsigned>(std::atoi(words[2].c_str()));
            if (words.size() > 3) refusal.content_type = words[3];
            refusal.body = std::move(answer->payload);
            return Admission::refuse(std::move(refusal));
        }
        if (words[0] != "accept") throw std::runtime_error{name_ + ": it answered an upgrade with " + words[0]};
        if (words.size() > 2) admission.user = words[2];
        admission.fields = fields_in(answer->payload);
        return admission;
    }
    void on_open(AnyConnection& connection) override {
        worker_of(connection).add(connection.id(), connection.hub(), environment_of(connection), nullptr);
    }
    void on_message(AnyConnection& connection, const Text& message) override { pass(connection, "text", message.text); }
    void on_message(AnyConnection& connection, const Binary& message) override {
        pass(connection, "binary", text_of(message.bytes));
    }
    void on_drained(AnyConnection& connection) override {
        if (wants_drained()) pass(connection, "drained", {});
    }
    void on_close(AnyConnection& connection, const Close& close) override {
        const auto code = std::to_string(static_cast<unsigned>(close.code));
        worker_of(connection).remove(connection.id(), {"close", code}, close.reason);
    }
    CommandAnswer on_command(std::span<const std::string> words, Bytes payload) override {
        if (!known_.contains("command")) return AnyHandler::on_command(words, payload);
        auto answer =
            worker_of(next_.fetch_add(1)).ask("command", {words.begin(), words.end()}, text_of(payload), answer_within);
        if (!answer) return {false, answer.error()};
        return {answer->words.size() > 2 && answer->words[2] == "ok", std::move(answer->payload)};
    }

    SavedState save_state() override {
        if (!known_.contains("save")) return {};
        auto answer = workers_.front()->ask("save", {}, {}, answer_within);
        if (!answer) throw std::runtime_error{answer.error()};
        if (answer->words.size() < 3 || answer->words[2] != "ok") throw std::runtime_error{answer->payload};
        const int version = answer->words.size() > 3 ? std::atoi(answer->words[3].c_str()) : 1;
        return {static_cast<std::uint32_t>(version), std::move(answer->payload)};
    }
    void restore_state(const SavedState& state) override {
        if (state.version == 0 || !known_.contains("restore-all")) return;
        for (const auto& worker : workers_) {
            auto answer = worker->ask("restore-all", {std::to_string(state.version)}, state.bytes, answer_within);
            if (!answer) throw std::runtime_error{answer.error()};
            if (answer->words.size() < 3 || answer->words[2] != "ok") throw std::runtime_error{answer->payload};
        }
    }
    bool saves_connections() const noexcept override { return true; }
    bool restores_connections() const noexcept override { return true; }
    SavedState save_connection(AnyConnection& connection) override {
        return GatesUnderWay::of_process().put(worker_of(connection).hand_over(connection.id()));
    }
    void restore_connection(AnyConnection& connection, const SavedState& state) override {
        worker_of(connection)
            .add(connection.id(), connection.hub(), environment_of(connection),
                 GatesUnderWay::of_process().take(state));
    }

   private:
    /// Less than a client waits for its opening handshake, or wsd-ctl for an answer.
    static constexpr std::chrono::milliseconds answer_within{4'500};

    ScriptWorker& worker_of(std::size_t number) const { return *workers_[number % workers_.size()]; }
    ScriptWorker& worker_of(const AnyConnection& connection) const {
        return worker_of(std::size_t{connection.id().slot} + connection.id().reactor);
    }
    void pass(AnyConnection& connection, std::string word, std::string_view payload) {
        switch (worker_of(connection).put(connection.id(), {std::move(word)}, payload)) {
            case ScriptWorker::Put::queued:
                return;
            case ScriptWorker::Put::pause:
                (void)connection.pause_receiving();
                return;
            case ScriptWorker::Put::full:
                (void)connection.close(CloseCode::try_again_later, "the script is too slow");
        }
    }

    const std::string name_;
    const HandlerLog log_;
    std::vector<std::shared_ptr<ScriptWorker>> workers_;
    std::set<std::string> known_;
    std::atomic<std::size_t> next_{0};
};

}  // namespace

Result<std::shared_ptr<AnyHandler>, std::string> start_script(std::string name, ScriptOptions options,
                                                              std::string_view config, HandlerLog log) {
    if (options.command.empty()) return Unexpected{std::string{"a script needs the path of a program"}};
    options.processes = std::clamp<std::size_t>(options.processes, 1, 64);
    options.environment.insert(options.environment.begin(),
                               {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
                                "WSD_CONFIG=" + std::string{config}});
    if (!log) log = log_to_standard_error;
    const auto shared = std::make_shared<const ScriptOptions>(std::move(options));
    const auto handler = own_until_its_end(std::make_unique<ScriptHandler>(std::move(name), shared, log));
    if (auto started = handler->start(); !started) {
        return Unexpected{started.error()};
    }
    return std::shared_ptr<AnyHandler>{handler};
}

}  // namespace wsserver
