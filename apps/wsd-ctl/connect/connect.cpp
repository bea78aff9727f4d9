#include "wsd-ctl/connect/connect.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <csignal>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <optional>

#include "wsd-ctl/connect/event_printer.hpp"
#include "wsd-ctl/connect/input_format.hpp"
#include "wsd-ctl/connect/input_reader.hpp"
#include "wsd-ctl/connect/no_connection.hpp"
#include "wsd-ctl/connect/trace.hpp"
#include "wsd-ctl/connect/typed_input.hpp"
#include "wsd-ctl/payload.hpp"
#include "wsserver/base/utf8.hpp"
#include "wsserver/client.hpp"
#include "wsserver/handshake/url.hpp"

namespace wsd::ctl {

namespace {

namespace asio = boost::asio;
using wsserver::CloseCode;
using wsserver::ConnectionEnd;
using Clock = std::chrono::steady_clock;

using Messages = std::deque<std::string>;

/// With this many bytes queued no further message is sent, so a large input is sent as fast as the server accepts it.
constexpr std::size_t enough_queued = 256 * 1024;
constexpr std::chrono::milliseconds queue_interval{5};
/// The buffers of both kernels may hold megabytes that the server has not read. Up to this much, it reads them within
/// the time for a closing handshake.
constexpr std::size_t few_bytes = 64 * 1024;
/// A Ping with this payload is sent after the last message: its Pong proves that the server has read all of them.
constexpr std::string_view all_read = "wsd-ctl: all read?";
/// The server may need longer for the bytes in those buffers than for its answer to a ping.
constexpr std::chrono::minutes pong_patience{5};

/// One connection from its opening to its end.
class Session {
   public:
    /// `messages` are sent if there are any; otherwise those that `input` makes of standard input. `typed` is `input`
    /// if a person types it, otherwise null.
    Session(const ConnectOptions& options, const Terminal& terminal, Messages messages, InputFormat& input,
            TypedInput* typed)
        : options_(options),
          terminal_(terminal),
          messages_(std::move(messages)),
          input_(input),
          typed_(typed),
          printer_(EventPrinter::create(options, terminal)),
          trace_(terminal.err),
          client_(context_, client_options()),
          signals_(context_, SIGINT, SIGTERM),
          timer_(context_),
          takes_commands_(messages_.empty() && (terminal.in_is_terminal || options.slash)) {}

    int run() {
        std::signal(SIGPIPE, SIG_IGN);  // a reader of the output that is gone is an error, and the connection is closed
        client_.on_end([this](const ConnectionEnd& end, bool) { ended(end); });
        if (options_.verbose) {
            client_.on_request([this](std::string_view request) { trace_.request(request); });
        }
        client_.on_response([this](const wsserver::HttpResponse& response) { answered(response); });
        signals_.async_wait([this](boost::system::error_code error, int signal) {
            if (!error) interrupted(signal);
        });
        client_.connect(options_.url, SessionHandler{this});
        context_.run();
        return exit_code_;
    }

   private:
    struct SentPing {
        std::string payload;
        std::string text;  ///< that the user gave
        Clock::time_point time;
    };

    /// Forwards the connection's reactions.
    struct SessionHandler {
        Session* session;
        void on_open(wsserver::AnyConnection& connection) { session->opened(connection); }
        void on_message(wsserver::AnyConnection&, const wsserver::Text& message) { session->received(message); }
        void on_message(wsserver::AnyConnection&, const wsserver::Binary& message) { session->received(message); }
        void on_ping(wsserver::AnyConnection&, const wsserver::Ping& ping) { session->pinged(ping); }
        void on_pong(wsserver::AnyConnection&, const wsserver::Pong& pong) { session->ponged(pong); }
    };

    wsserver::ClientOptions client_options() {
        wsserver::ClientOptions options;
        options.subprotocols = options_.subprotocols;
        options.origin = options_.origin;
        options.host = options_.host;
        options.fields = options_.fields;
        options.connect_timeout = options_.timeout;
        // This side reads on while it sends: otherwise two peers that both send could wait for each other.
        auto& queue = options.connection.send_queue;
        queue.high_mark = queue.hard_limit = std::numeric_limits<std::size_t>::max();
        options.connection.pong_timeout = pong_patience;
        if (options_.verbose) options.tap = &trace_;
        return options;
    }

    // --- the server

    void answered(const wsserver::HttpResponse& response) {
        if (options_.verbose) trace_.response(response);
        printer_->answered(response);
        (void)could_print();
    }

    void opened(wsserver::AnyConnection& connection) {
        printer_->opened(connection);
        if (!could_print()) return;
        if (!options_.subprotocols.empty() && connection.subprotocol().empty()) {
            terminal_.warn(
                fmt::format("the server chose none of the subprotocols {}: a browser would end this connection",
                            fmt::join(options_.subprotocols, ", ")));
        }
        if (!messages_.empty()) {
            input_ended_ = true;
        } else {
            reader_.emplace(terminal_.in, terminal_.in_is_terminal && typed_ == nullptr, input_,
                            [this](InputReader::Messages read) {
                                asio::post(context_,
                                           [this, read = std::move(read)]() mutable { take(std::move(read)); });
                            });
            reader_->more();
        }
        // Not within this reaction: it must return first, so that everything is sent and shown in order.
        asio::post(context_, [this] { send_messages(); });
    }

    template <class M>
    void received(const M& message) {
        printer_->received(message);
        if (!could_print()) return;
        if (options_.count && ++received_ == *options_.count) close(CloseCode::normal, {});
    }

    void pinged(const wsserver::Ping& ping) {
        printer_->received(ping);
        (void)could_print();
    }

    void ponged(const wsserver::Pong& pong) {
        const auto text = wsserver::text_of(pong.payload);
        if (text == all_read && when_read_) return std::exchange(when_read_, {})();
        const auto sent =
            std::find_if(pings_.begin(), pings_.end(), [&](const auto& ping) { return ping.payload == text; });
        if (sent == pings_.end()) return;
        printer_->ponged(std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - sent->time), sent->text);
        pings_.erase(pings_.begin(), sent + 1);
        (void)could_print();
    }

    /// Follows each output. If standard output cannot be written, says so once and ends the connection.
    bool could_print() {
        if (terminal_.out) return true;
        if (!std::exchange(output_lost_, true)) {
            const int code = terminal_.printed();
            if (exit_at_best_ == exit_done) exit_at_best_ = code;
        }
        if (client_.is_open()) close(CloseCode::going_away, {});
        return false;
    }

    // --- the input

    void take(InputReader::Messages read) {
        for (auto& message : read.messages) messages_.push_back(std::move(message));
        if (!read.error.empty()) complain("standard input: " + read.error);
        if (read.cut) {
            terminal_.warn(
                "the terminal cuts a line after 4095 bytes, so a message may not be whole: send it from a file "
                "(@FILE) or a pipe");
        }
        input_ended_ = read.end;
        send_messages();
    }

    bool may_send() const { return client_.is_open() && !closing_ && !when_read_; }

    std::size_t queued() const {
        const auto info = client_.info();
        return info ? info->queued : 0;
    }

    /// Sends messages while the send queue is short.
    void send_messages() {
        while (may_send() && !messages_.empty()) {
            if (queued() > enough_queued) return later([this] { send_messages(); });
            const auto message = std::move(messages_.front());
            messages_.pop_front();
            do_line(message);
        }
        if (!may_send()) return;
        if (input_ended_) return after_all_is_read([this] { wait_for_messages(); });
        if (reader_) reader_->more();
    }

    void later(std::function<void()> act) {
        timer_.expires_after(queue_interval);
        timer_.async_wait([act = std::move(act)](boost::system::error_code error) {
            if (!error) act();
        });
    }

    /// Calls `then` when the server has read all that was sent, however long it takes. Nothing else is sent before.
    void after_all_is_read(std::function<void()> then) {
        when_read_ = std::move(then);
        ask_when_read();
    }

    void ask_when_read() {
        if (closing_ || !client_.is_open()) return;
        if (queued() > 0) return later([this] { ask_when_read(); });
        if (sent_ <= few_bytes) return std::exchange(when_read_, {})();
        client_.ping(wsserver::bytes_of(all_read));
    }

    /// Sends a line, or runs it as a command if it begins with a slash and commands are taken.
    void do_line(const std::string& line) {
        if (!takes_commands_ || !line.starts_with('/')) return send(line);
        if (line.starts_with("//")) return send(line.substr(1));
        const std::string_view rest{line};
        const auto word = rest.substr(0, rest.find(' '));
        const auto rest_of_line = word.size() < rest.size() ? rest.substr(word.size() + 1) : std::string_view{};
        if (word == "/ping") return ping(rest_of_line);
        if (word == "/close") return close_with(rest_of_line);
        complain(
            fmt::format("{} is not a command: use /ping [TEXT] or /close [CODE [REASON]]; //{} sends the line as it is",
                        word, rest.substr(1)));
    }

    void complain(std::string_view text) { exit_at_best_ = terminal_.fail(exit_failed, text); }

    void send(std::string_view text) {
        sent_ += text.size();
        const auto status =
            options_.binary ? client_.send(wsserver::bytes_of(text)) : client_.send(wsserver::Text{text});
        if (status == wsserver::SendStatus::refused) {
            complain("a message is not UTF-8 and was not sent: --binary sends it");
        }
    }

    void ping(std::string_view text) {
        if (text.size() > wsserver::max_control_payload) return complain("a ping carries at most 125 bytes");
        // The connection fills an empty Ping with a number of its own.
        const auto payload = text.empty() ? fmt::format("wsd-ctl {}", ++pings_without_text_) : std::string{text};
        pings_.push_back({payload, std::string{text}, Clock::now()});
        client_.ping(wsserver::bytes_of(payload));
    }

    void close_with(std::string_view words) {
        auto code = CloseCode::normal;
        std::string_view reason;
        if (!words.empty()) {
            const auto number = words.substr(0, words.find(' '));
            std::uint16_t value = 0;
            const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
            code = CloseCode{value};
            if (error != std::errc{} || end != number.data() + number.size() || !may_be_sent(code)) {
                return complain(
                    fmt::format("{}: a Close frame may carry 1000 to 1003, 1007 to 1014 and 3000 to 4999", number));
            }
            if (number.size() < words.size()) reason = words.substr(number.size() + 1);
        }
        if (reason.size() > wsserver::max_close_reason || !wsserver::is_valid_utf8(wsserver::bytes_of(reason))) {
            return complain("a reason is UTF-8 and has at most 123 bytes");
        }
        after_all_is_read([this, code, reason = std::string{reason}] { close(code, reason); });
    }

    // --- the end

    /// Waits for answers after the end of the input.
    void wait_for_messages() {
        if (!options_.wait) return;
        timer_.expires_after(*options_.wait);
        timer_.async_wait([this](boost::system::error_code error) {
            if (error || closing_) return;
            if (options_.count) {
                exit_at_best_ = terminal_.fail(
                    exit_timeout, fmt::format("{} of {} messages were received", received_, *options_.count));
            }
            close(CloseCode::normal, {});
        });
    }

    void close(CloseCode code, std::string_view reason) {
        if (closing_) return;
        closing_ = code;
        timer_.cancel();
        // It may be called within a reaction, and messages of the same read may still follow.
        asio::post(context_, [this, code, reason = std::string{reason}] { client_.close(code, reason); });
    }

    void interrupted(int signal) {
        exit_at_best_ = 128 + signal;
        if (!client_.is_open()) {
            client_.close();
            return finish(exit_at_best_);
        }
        if (typed_ != nullptr) typed_->restore();
        signals_.clear();  // a second one ends the process
        close(CloseCode::going_away, {});
    }

    void ended(const ConnectionEnd& end) {
        if (!end.opened) return finish(could_not_connect(end));
        printer_->closed(end);
        (void)could_print();
        const bool clean = end.code == CloseCode::normal || end.code == CloseCode::going_away ||
                           end.code == CloseCode::no_status || (closing_ && end.code == *closing_);
        finish(clean ? exit_at_best_ : exit_closed_abnormally);
    }

    int could_not_connect(const ConnectionEnd& end) {
        const bool named = end.cause.find(options_.url) != std::string::npos;
        return terminal_.fail(exit_code_of_unopened(end),
                              named ? end.cause : fmt::format("{}: {}", options_.url, end.cause));
    }

    void finish(int code) {
        exit_code_ = code;
        reader_.reset();
        context_.stop();
    }

    const ConnectOptions& options_;
    const Terminal& terminal_;
    Messages messages_;  ///< not sent yet
    InputFormat& input_;
    TypedInput* const typed_;
    const std::unique_ptr<EventPrinter> printer_;
    Trace trace_;
    asio::io_context context_;
    wsserver::Client client_;
    asio::signal_set signals_;
    asio::steady_timer timer_;

    const bool takes_commands_;
    bool input_ended_ = false;
    std::size_t sent_ = 0;               ///< bytes of messages
    std::function<void()> when_read_{};  ///< set: no more is sent, and this is called when the server has read all
    std::size_t received_ = 0;
    std::vector<SentPing> pings_{};  ///< without a pong so far
    std::size_t pings_without_text_ = 0;
    bool output_lost_ = false;            ///< standard output could not be written
    std::optional<CloseCode> closing_{};  ///< the code that this side closes with
    int exit_at_best_ = exit_done;
    int exit_code_ = exit_failed;
    std::optional<InputReader> reader_{};  ///< last: its thread posts to the context
};

/// The messages of --text, in order. Files are read before the connection is opened.
wsserver::Result<Messages, std::string> read_messages(const ConnectOptions& options, const Terminal& terminal) {
    Messages messages;
    for (const auto& text : options.texts) {
        auto payload = text.starts_with("@@")  ? wsserver::Result<std::string, std::string>{text.substr(1)}
                       : text.starts_with('@') ? read_payload(text.substr(1), terminal.in)
                                               : wsserver::Result<std::string, std::string>{text};
        if (!payload) return wsserver::Unexpected{payload.error()};
        messages.push_back(*std::move(payload));
    }
    return messages;
}

std::unique_ptr<InputFormat> input_format(const ConnectOptions& options, const Terminal& terminal) {
    if (options.delimiter) return std::make_unique<DelimitedInput>(*options.delimiter);
    if (options.whole || (options.binary && !terminal.in_is_terminal)) return std::make_unique<WholeInput>();
    return std::make_unique<DelimitedInput>('\n');
}

}  // namespace

int connect(const ConnectOptions& options, const Terminal& terminal) {
    auto messages = read_messages(options, terminal);
    if (!messages) return terminal.fail(exit_failed, messages.error());
    const bool types = messages->empty() && terminal.in_is_terminal && !options.whole && !options.delimiter;
    if (const auto typed = types ? TypedInput::open(terminal.in) : nullptr) {
        StreamAbove out{*typed, terminal.out};
        StreamAbove err{*typed, terminal.err};
        const Terminal above{terminal.program,
                             terminal.out_is_terminal ? out : terminal.out,
                             terminal.err_is_terminal ? err : terminal.err,
                             terminal.in,
                             terminal.in_is_terminal,
                             terminal.out_is_terminal,
                             terminal.err_is_terminal,
                             terminal.json};
        return Session{options, above, {}, *typed, typed.get()}.run();
    }
    const auto input = input_format(options, terminal);
    return Session{options, terminal, *std::move(messages), *input, nullptr}.run();
}

}  // namespace wsd::ctl
