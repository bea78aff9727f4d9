#include "wsd-ctl/connect/event_printer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "wsd-ctl/connect/no_connection.hpp"
#include "wsd-ctl/connect/payload_text.hpp"
#include "wsserver/base/shell_words.hpp"
#include "wsserver/base/utf8.hpp"
#include "wsserver/control/json.hpp"

namespace wsd::ctl {

namespace {

using std::chrono::microseconds;
using wsserver::AnyConnection;
using wsserver::Binary;
using wsserver::Bytes;
using wsserver::ConnectionEnd;
using wsserver::escape_control;
using wsserver::HttpResponse;
using wsserver::JsonObject;
using wsserver::Ping;
using wsserver::Text;

/// Bytes of a binary message that a terminal shows without --hex: as many rows as a large window has.
constexpr std::size_t most_dumped = 1024;

class TextPrinter final : public EventPrinter {
   public:
    TextPrinter(const ConnectOptions& options, const Terminal& terminal) : options_(options), terminal_(terminal) {}

    void answered(const HttpResponse&) override {}

    void opened(const AnyConnection& connection) override {
        if (!options_.verbose && !terminal_.in_is_terminal) return;
        say(fmt::format("connected to {}{}{}", connection.peer(),
                        connection.subprotocol().empty() ? "" : ", subprotocol ",
                        escape_control(connection.subprotocol())));
    }

    void received(const Text& message) override {
        if (options_.hex) return dump("text", message.payload(), message.text.size());
        print(terminal_.out_is_terminal ? escape_control(message.text) : std::string{message.text}, "\n");
    }

    /// With --binary the bytes are written as they are, so that a file that is received is the file that was sent.
    void received(const Binary& message) override {
        if (options_.hex) return dump("binary", message.bytes, message.bytes.size());
        if (terminal_.out_is_terminal) return dump("binary", message.bytes, most_dumped);
        if (!options_.binary) return print(hexadecimal(message.bytes), "\n");
        print(wsserver::text_of(message.bytes), options_.delimiter ? "\n" : "");
    }

    void received(const Ping&) override {}  // --verbose shows its frame

    void ponged(microseconds round_trip, std::string_view text) override {
        const auto time = std::chrono::duration<double, std::milli>(round_trip).count();
        say(fmt::format("pong after {:.3f} ms{}{}", time, text.empty() ? "" : ": ", escape_control(text)));
    }

    void closed(const ConnectionEnd& end) override { say("closed: " + describe_end(end)); }

   private:
    void say(std::string_view text) const { terminal_.err << text << std::endl; }
    void print(std::string_view text, std::string_view end) const { terminal_.out << text << end << std::flush; }

    void dump(std::string_view type, Bytes bytes, std::size_t most) const {
        auto text = fmt::format("{}, {} byte{}\n", type, bytes.size(), bytes.size() == 1 ? "" : "s");
        text += hex_dump(bytes.first(std::min(bytes.size(), most)));
        if (bytes.size() > most) text += fmt::format("... {} more bytes: --hex shows all\n", bytes.size() - most);
        print(text, "");
    }

    const ConnectOptions& options_;
    const Terminal& terminal_;
};

class JsonPrinter final : public EventPrinter {
   public:
    explicit JsonPrinter(const Terminal& terminal) : terminal_(terminal) {}

    void answered(const HttpResponse& response) override {
        headers_ = headers_of(response);
        if (response.status == 101) return;
        print(event("refused").add("status", response.status).raw("headers", headers_).add("body", response.body));
    }

    void opened(const AnyConnection& connection) override {
        print(event("open")
                  .add("peer", connection.peer())
                  .add("subprotocol", connection.subprotocol())
                  .raw("headers", headers_));
    }

    void received(const Text& message) override {
        print(event("message").add("type", "text").add("text", message.text));
    }

    void received(const Binary& message) override {
        print(event("message").add("type", "binary").add("base64", base64(message.bytes)));
    }

    void received(const Ping& ping) override { print(with_payload(event("ping"), ping.payload)); }

    void ponged(microseconds round_trip, std::string_view text) override {
        print(with_payload(event("pong").add("rtt_ms", std::optional{round_trip}), wsserver::bytes_of(text)));
    }

    void closed(const ConnectionEnd& end) override {
        print(event("close")
                  .add("code", static_cast<unsigned>(end.code))
                  .add("reason", end.reason)
                  .add("cause", end.cause));
    }

   private:
    static std::string headers_of(const HttpResponse& response) {
        std::vector<std::string> headers;
        headers.reserve(response.fields.size());
        for (const auto& field : response.fields) {
            headers.push_back(JsonObject{}.add("name", field.name).add("value", field.value).text());
        }
        return wsserver::json_array(headers);
    }

    /// The payload of a control frame may be text or not.
    static JsonObject with_payload(JsonObject object, Bytes payload) {
        if (wsserver::is_valid_utf8(payload)) return object.add("text", wsserver::text_of(payload));
        return object.add("base64", base64(payload));
    }

    JsonObject event(std::string_view name) const {
        const auto since_begin = std::chrono::steady_clock::now() - begin_;
        return JsonObject{}
            .add("event", name)
            .add("time_ms", std::optional{std::chrono::duration_cast<microseconds>(since_begin)});
    }

    void print(const JsonObject& object) const { terminal_.out << object.text() << std::endl; }

    const Terminal& terminal_;
    const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
    std::string headers_{"[]"};
};

}  // namespace

std::unique_ptr<EventPrinter> EventPrinter::create(const ConnectOptions& options, const Terminal& terminal) {
    if (options.json) return std::make_unique<JsonPrinter>(terminal);
    return std::make_unique<TextPrinter>(options, terminal);
}

}  // namespace wsd::ctl
