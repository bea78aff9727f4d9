#include "wsd-ctl/connect/connect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <csignal>
#include <deque>
#include <optional>

#include "wsd-ctl/connect/line_reader.hpp"
#include "wsd-ctl/connect/no_connection.hpp"
#include "wsd-ctl/connect/trace.hpp"
#include "wsserver/base/shell_words.hpp"
#include "wsserver/base/utf8.hpp"
#include "wsserver/client.hpp"
#include "wsserver/handshake/url.hpp"

namespace wsd::ctl {

namespace {

namespace asio = boost::asio;
using wsserver::Bytes;
using wsserver::CloseCode;
using wsserver::ConnectionEnd;
using wsserver::escape_control;
using Clock = std::chrono::steady_clock;

/// With this many bytes queued no further line is read, so a large file is sent as fast as the server accepts it.
constexpr std::size_t enough_queued = 256 * 1024;
constexpr std::chrono::milliseconds queue_interval{5};
constexpr std::size_t max_line = std::size_t{64} << 20;

std::string hexadecimal(Bytes bytes) {
    std::string text;
    for (const auto byte : bytes) fmt::format_to(std::back_inserter(text), "{:02x}", byte);
    return text;
}

/// One connection from its opening to its end.
class Session {
   public:
    Session(const ConnectOptions& options, const Terminal& terminal)
        : options_(options),
          terminal_(terminal),
          trace_(terminal.err),
          client_(context_, client_options()),
          signals_(context_, SIGINT, SIGTERM),
          timer_(context_) {}

    int run() {
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
    /// Forwards the connection's reactions.
    struct SessionHandler {
        Session* session;
        void on_open(wsserver::AnyConnection& connection) { session->opened(connection); }
        void on_message(wsserver::AnyConnection&, const wsserver::Text& message) {
            const bool escape = session->terminal_.out_is_terminal;
            session->print(escape ? escape_control(message.text) : std::string{message.text});
        }
        void on_message(wsserver::AnyConnection&, const wsserver::Binary& message) {
            session->print(session->options_.binary ? std::string{wsserver::text_of(message.bytes)}
                                                    : hexadecimal(message.bytes));
        }
        void on_pong(wsserver::AnyConnection&, const wsserver::Pong& pong) { session->ponged(pong); }
    };

    wsserver::ClientOptions client_options() {
        wsserver::ClientOptions options;
        options.subprotocols = options_.subprotocols;
        options.origin = options_.origin;
        options.fields = options_.fields;
        options.connect_timeout = options_.timeout;
        if (options_.verbose) options.tap = &trace_;
        return options;
    }

    void say(std::string_view text) const { terminal_.err << text << std::endl; }

    // --- the server

    void answered(const wsserver::HttpResponse& response) {
        if (options_.verbose) trace_.response(response);
    }

    void opened(wsserver::AnyConnection& connection) {
        if (options_.verbose || terminal_.in_is_terminal) {
            say(fmt::format("connected to {}{}{}", connection.peer(),
                            connection.subprotocol().empty() ? "" : ", subprotocol ",
                            escape_control(connection.subprotocol())));
        }
        for (const auto& text : options_.texts) lines_.push_back(text);
        if (!lines_.empty()) {
            input_ended_ = true;
        } else {
            reader_.emplace(terminal_.in, max_line, [this](LineReader::Lines lines) {
                asio::post(context_, [this, lines = std::move(lines)]() mutable { take(std::move(lines)); });
            });
            reader_->more();
        }
        // Not within this reaction: it must return first, so that everything is sent and shown in order.
        asio::post(context_, [this] { send_lines(); });
    }

    void print(const std::string& message) {
        terminal_.out << message << '\n' << std::flush;
        if (!terminal_.out) {
            if (!closing_) exit_at_best_ = terminal_.printed();
            return close(CloseCode::going_away, {});
        }
        if (options_.count && ++received_ == *options_.count) close(CloseCode::normal, {});
    }

    void ponged(const wsserver::Pong& pong) {
        const auto text = wsserver::text_of(pong.payload);
        const auto sent =
            std::find_if(pings_.begin(), pings_.end(), [&](const auto& ping) { return ping.first == text; });
        if (sent == pings_.end()) return;
        const auto time = std::chrono::duration<double, std::milli>(Clock::now() - sent->second).count();
        say(fmt::format("pong after {:.3f} ms{}{}", time, text.empty() ? "" : ": ", escape_control(text)));
        pings_.erase(pings_.begin(), sent + 1);
    }

    // --- the input

    void take(LineReader::Lines lines) {
        for (auto& line : lines.lines) lines_.push_back(std::move(line));
        if (!lines.error.empty()) {
            terminal_.complain("standard input: " + lines.error);
            exit_at_best_ = exit_failed;
        }
        input_ended_ = lines.end;
        send_lines();
    }

    /// Sends lines while the send queue is short.
    void send_lines() {
        while (client_.is_open() && !closing_ && !lines_.empty()) {
            if (const auto info = client_.info(); info && info->queued > enough_queued) return send_lines_later();
            const auto line = std::move(lines_.front());
            lines_.pop_front();
            do_line(line);
        }
        if (!client_.is_open() || closing_) return;
        if (input_ended_) return wait_for_messages();
        if (reader_) reader_->more();
    }

    void send_lines_later() {
        timer_.expires_after(queue_interval);
        timer_.async_wait([this](boost::system::error_code error) {
            if (!error) send_lines();
        });
    }

    /// Executes a line: sends it, or runs it as a command if it begins with a slash. `--text` is always sent.
    void do_line(const std::string& line) {
        if (!options_.texts.empty() || !line.starts_with('/')) return send(line);
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

    void complain(std::string_view text) {
        terminal_.complain(text);
        exit_at_best_ = exit_failed;
    }

    void send(std::string_view text) {
        const auto bytes = wsserver::bytes_of(text);
        if (options_.binary) {
            client_.send(wsserver::Binary{bytes});
        } else if (wsserver::is_valid_utf8(bytes)) {
            client_.send(wsserver::Text{text});
        } else {
            complain("a line is not UTF-8 and was not sent: --binary sends it");
        }
    }

    void ping(std::string_view text) {
        if (text.size() > wsserver::max_control_payload) return complain("a ping carries at most 125 bytes");
        pings_.emplace_back(std::string{text}, Clock::now());
        client_.ping(wsserver::bytes_of(text));
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
        close(code, reason);
    }

    // --- the end

    /// Waits for answers after the end of the input.
    void wait_for_messages() {
        if (!options_.wait) return;
        timer_.expires_after(*options_.wait);
        timer_.async_wait([this](boost::system::error_code error) {
            if (error || closing_) return;
            if (options_.count) {
                terminal_.complain(fmt::format("{} of {} messages were received", received_, *options_.count));
                exit_at_best_ = exit_timeout;
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
        signals_.clear();  // a second one ends the process
        close(CloseCode::going_away, {});
    }

    void ended(const ConnectionEnd& end) {
        if (!end.opened) return finish(could_not_connect(end));
        say("closed: " + describe_end(end));
        const bool clean = end.code == CloseCode::normal || end.code == CloseCode::going_away ||
                           end.code == CloseCode::no_status || (closing_ && end.code == *closing_);
        finish(clean ? exit_at_best_ : exit_closed_abnormally);
    }

    int could_not_connect(const ConnectionEnd& end) {
        const bool named = end.cause.find(options_.url) != std::string::npos;
        terminal_.complain(named ? end.cause : fmt::format("{}: {}", options_.url, end.cause));
        return exit_code_of_unopened(end);
    }

    void finish(int code) {
        exit_code_ = code;
        reader_.reset();
        context_.stop();
    }

    const ConnectOptions& options_;
    const Terminal& terminal_;
    Trace trace_;
    asio::io_context context_;
    wsserver::Client client_;
    asio::signal_set signals_;
    asio::steady_timer timer_;

    std::deque<std::string> lines_{};  ///< read, but not sent yet
    bool input_ended_ = false;
    std::size_t received_ = 0;
    std::vector<std::pair<std::string, Clock::time_point>> pings_{};  ///< without a pong so far
    std::optional<CloseCode> closing_{};                              ///< the code that this side closes with
    int exit_at_best_ = exit_done;
    int exit_code_ = exit_failed;
    std::optional<LineReader> reader_{};  ///< last: its thread posts to the context
};

}  // namespace

int connect(const ConnectOptions& options, const Terminal& terminal) { return Session{options, terminal}.run(); }

}  // namespace wsd::ctl
