#include "wsd-ctl/connect/connect_options.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <string_view>

#include "common/flags.hpp"
#include "common/units.hpp"
#include "wsd-ctl/connect/request_field.hpp"
#include "wsserver/base/shell_words.hpp"

namespace wsd::ctl {

namespace {

using wsserver::Result;
using wsserver::Unexpected;

/// Long enough for most answers, short enough for a script.
constexpr std::chrono::milliseconds default_wait{1'000};

constexpr std::array<std::string_view, 16> flags{
    "--header", "--host",      "--subprotocol", "--origin", "--text",    "--binary", "--hex",     "--whole",
    "--slash",  "--delimiter", "--wait",        "--count",  "--timeout", "--json",   "--verbose", "--help"};

/// Seconds, as in `0.5`; or a time with its unit; or `forever`.
Result<std::optional<std::chrono::milliseconds>, std::string> wait_of(const std::string& text) {
    if (text == "forever") return std::optional<std::chrono::milliseconds>{};
    double seconds = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error == std::errc{} && end == text.data() + text.size() && seconds >= 0 && seconds < 1e9) {
        return std::optional{std::chrono::milliseconds{static_cast<std::int64_t>(seconds * 1e3)}};
    }
    const auto time = parse_time(text);
    if (!time)
        return Unexpected{fmt::format("--wait {}: expected seconds, or `forever`", wsserver::escape_control(text))};
    return std::optional{*time};
}

/// One character, or an escape sequence as in C.
Result<char, std::string> delimiter_of(const std::string& text) {
    if (text.size() == 1) return text.front();
    constexpr std::array<std::pair<std::string_view, char>, 4> escapes{
        {{"\\n", '\n'}, {"\\r", '\r'}, {"\\t", '\t'}, {"\\0", '\0'}}};
    for (const auto& [name, character] : escapes) {
        if (text == name) return character;
    }
    return Unexpected{
        fmt::format("--delimiter {}: expected one character, or \\n, \\r, \\t or \\0", wsserver::escape_control(text))};
}

/// `--binary @FILE` is `--binary --text @FILE`. A flag with a value that may be missing would take the URL for it.
std::vector<std::string> split_binary(const std::vector<std::string>& words) {
    constexpr std::string_view with_file = "--binary=@";
    std::vector<std::string> result;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (words[i].starts_with(with_file)) {
            result.insert(result.end(), {"--binary", "--text", words[i].substr(with_file.size() - 1)});
            continue;
        }
        result.push_back(words[i]);
        const bool has_file = words[i] == "--binary" && i + 1 < words.size() && words[i + 1].starts_with('@');
        if (has_file) result.emplace_back("--text");
    }
    return result;
}

Result<void, std::string> check_together(const ConnectOptions& options) {
    if (options.whole && options.delimiter)
        return Unexpected{std::string{"--whole and --delimiter exclude each other"}};
    const bool describes_input = options.whole || options.delimiter || options.slash;
    if (options.hex && options.json) return Unexpected{std::string{"--hex and --json exclude each other"}};
    if (!options.texts.empty() && describes_input) {
        return Unexpected{std::string{
            "--whole, --delimiter and --slash are about standard input, which is not read: --text or @FILE is sent"}};
    }
    return {};
}

std::string explain(const std::vector<std::string>& extra) {
    for (const auto& word : extra) {
        if (!word.starts_with('-')) continue;
        const auto meant = wsserver::closest_match(word.substr(0, word.find('=')), flags);
        return fmt::format("{} is not a flag of connect{}", word,
                           meant.empty() ? "" : fmt::format("; did you mean {}?", meant));
    }
    return fmt::format("{} is one word too many: connect takes one URL (--text sends a text)", extra.front());
}

}  // namespace

Result<ConnectOptions, std::string> parse_connect_options(const std::vector<std::string>& words,
                                                          ConnectOptions options) {
    std::vector<std::string> fields;
    std::string wait, timeout, count, delimiter;
    Flags own{Flags::OtherWords::collected};
    own.add_word("URL", options.url);
    // Each takes one value and may be given again; values may begin with a dash.
    own.add_values("-H,--header", fields);
    own.add_values("--subprotocol", options.subprotocols);
    own.add_values("--text", options.texts);
    own.add_value("--origin", options.origin);
    own.add_value("--host", options.host);
    own.add_value("--wait", wait);
    own.add_value("--count", count);
    own.add_value("--timeout", timeout);
    own.add_value("--delimiter", delimiter);
    own.add_switch("--binary", options.binary);
    own.add_switch("--whole", options.whole);
    own.add_switch("--slash", options.slash);
    own.add_switch("--hex", options.hex);
    own.add_switch("--json", options.json);
    own.add_switch("-v,--verbose", options.verbose);
    own.add_switch("-h,--help", options.wants_help);
    const auto extra = own.parse(split_binary(words));
    if (!extra) return Unexpected{extra.error()};
    if (options.wants_help) return options;
    if (!extra->empty()) return Unexpected{explain(*extra)};
    if (options.url.empty()) return Unexpected{std::string{"the URL is missing: connect ws://HOST:PORT/PATH"}};
    for (const auto& text : fields) {
        auto field = parse_request_field(text);
        if (!field) return Unexpected{field.error()};
        options.fields.push_back(*std::move(field));
    }
    options.host = take_host(options.fields, std::move(options.host));
    if (!delimiter.empty()) {
        const auto character = delimiter_of(delimiter);
        if (!character) return Unexpected{character.error()};
        options.delimiter = *character;
    }
    if (const auto good = check_together(options); !good) return Unexpected{good.error()};
    if (!count.empty()) {
        std::size_t number = 0;
        const auto [end, error] = std::from_chars(count.data(), count.data() + count.size(), number);
        if (error != std::errc{} || end != count.data() + count.size() || number == 0) {
            return Unexpected{
                fmt::format("--count {}: expected a number of messages, 1 or more", wsserver::escape_control(count))};
        }
        options.count = number;
    }
    // With --count, wait for the messages however long they take.
    if (!options.count) options.wait = default_wait;
    if (!wait.empty()) {
        const auto time = wait_of(wait);
        if (!time) return Unexpected{time.error()};
        options.wait = *time;
    }
    if (!timeout.empty()) {
        const auto time = parse_time(timeout);
        if (!time) return Unexpected{"--timeout: " + time.error()};
        options.timeout = *time == std::chrono::milliseconds{0} ? std::chrono::milliseconds::max() : *time;
    }
    return options;
}

std::string connect_help() {
    return "usage: connect [FLAGS] URL\n"
           "\n"
           "  A WebSocket client for debugging; it needs no wsd. Lines of standard input are sent as text messages, "
           "and\n"
           "  received messages are printed on standard output, one a line (binary ones in hexadecimal; on a "
           "terminal as\n"
           "  a hex dump).\n"
           "\n"
           "URL: ws://HOST[:PORT][/PATH][?QUERY], or ws+unix:/SOCKET[:/PATH][?QUERY]\n"
           "\n"
           "options:\n"
           "  -H 'NAME: VALUE'   another field of the request; may be repeated\n"
           "  --subprotocol S    offer it; may be repeated, the best one first\n"
           "  --origin O         the Origin, as a browser sends it\n"
           "  --host HOST        the Host field, if it is not the URL's host: to test a virtual host\n"
           "  --text TEXT        send this instead of standard input; may be repeated. @FILE is the content of a "
           "file,\n"
           "                     @- of standard input; a text that begins with @ is written with @@\n"
           "  --binary           send binary messages, and write received ones unchanged unless on a terminal. "
           "Standard\n"
           "                     input that is not a terminal is then one message\n"
           "  --binary @FILE     the same, and send the file instead of standard input; may be repeated\n"
           "  --whole            send all of standard input as one message\n"
           "  --delimiter C      what ends a message of standard input: a character, \\n, \\r, \\t or \\0\n"
           "  --slash            run slash commands even if standard input is not a terminal\n"
           "  --hex              show each received message, text too, as a hex dump with ASCII\n"
           "  --json             print each event as a JSON object on standard output: open, message, ping, pong, "
           "close\n"
           "  --count N          end after N received messages\n"
           "  --wait SEC         how long to wait for messages after the server has read the whole input: 1, with\n"
           "                     --count forever\n"
           "  --timeout TIME     how long connecting and the opening handshake may take, 0: forever [10s]\n"
           "  -v, --verbose      on standard error: both parts of the handshake, and every frame with its time\n"
           "\n"
           "On a terminal (elsewhere with --slash) a line that begins with a slash is a command:\n"
           "  /ping [TEXT]             send a ping, and print its round trip\n"
           "  /close [CODE [REASON]]   begin the closing handshake\n"
           "  //TEXT                   send /TEXT\n"
           "The arrow keys edit the line and bring back earlier ones; Ctrl-D ends the input.\n"
           "\n"
           "exit codes: 0 closed with 1000, 1001, without a code, or as /close asked; 1 no connection; 2 usage; 4 the\n"
           "server refused the opening handshake; 5 closed with another code, or not at all (1006); 6 TLS; 7 no\n"
           "connection in time, or fewer messages than --count; 130 Ctrl-C\n"
           "\n"
           "example: connect -v ws://127.0.0.1:8080/\n"
           "         echo hello | wsd-ctl connect --count 1 ws://127.0.0.1:8080/\n"
           "         connect --subprotocol chat -H 'Authorization: Bearer x' --text '/me waves' --wait 5 ws://...\n";
}

std::string connect_in_short() { return "  connect         act as a WebSocket client, for debugging: help connect\n"; }

}  // namespace wsd::ctl
