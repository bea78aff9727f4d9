#include "common/settings.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <utility>

#include "common/setting_values.hpp"
#include "wsserver/base/shell_words.hpp"

namespace wsd {

namespace {

using wsserver::SlowConsumer;
using wsserver::TransportKind;
using wsserver::Unexpected;

constexpr std::array<std::pair<std::string_view, TransportKind>, 3> transport_words{
    {{"auto", TransportKind::automatic}, {"asio", TransportKind::asio}, {"uring", TransportKind::uring}}};
constexpr std::array<std::pair<std::string_view, SlowConsumer>, 4> slow_consumer_words{
    {{"close", SlowConsumer::close},
     {"drop_oldest", SlowConsumer::drop_oldest},
     {"drop_newest", SlowConsumer::drop_newest},
     {"keep_latest", SlowConsumer::keep_latest}}};
constexpr std::array<std::pair<std::string_view, LogLevel>, 4> level_words{
    {{"debug", LogLevel::debug}, {"info", LogLevel::info}, {"warning", LogLevel::warning}, {"error", LogLevel::error}}};
constexpr std::array<std::pair<std::string_view, LogFormat>, 2> format_words{
    {{"text", LogFormat::text}, {"json", LogFormat::json}}};

// Each of these functions makes one row of the table. `access` returns the value in a Config, which may be const.

template <class Access>
Setting text(std::string_view key, std::string_view flag, std::string_view placeholder, Access access,
             std::string_view help, Done (*check)(const std::string&) = nullptr) {
    return {.kind = Kind::text,
            .key = key,
            .flag = flag,
            .placeholder = placeholder,
            .help = help,
            .set = [access, check](Config& c, Values v) -> Done {
                if (check != nullptr) {
                    if (auto fine = check(v.front()); !fine) return fine;
                }
                access(c) = v.front();
                return {};
            },
            .print = [access](const Config& c) { return quoted(access(c)); }};
}

template <class Access>
Setting size(std::string_view key, std::string_view flag, std::uint64_t least, Access access, std::string_view help,
             std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) {
    return {
        .kind = Kind::size,
        .key = key,
        .flag = flag,
        .placeholder = "SIZE",
        .help = help,
        .set = [access, least, most](Config& c, Values v) { return assign_size(access(c), v.front(), least, most); },
        .print = [access](const Config& c) { return quoted(print_size(access(c))); }};
}

template <class Access>
Setting time(std::string_view key, std::string_view flag, std::chrono::milliseconds least, Access access,
             std::string_view help) {
    return {.kind = Kind::time,
            .key = key,
            .flag = flag,
            .placeholder = "TIME",
            .help = help,
            .set = [access, least](Config& c, Values v) { return assign_time(access(c), v.front(), least); },
            .print = [access](const Config& c) { return quoted(print_time(access(c))); }};
}

template <class Access>
Setting number(std::string_view key, std::string_view flag, std::size_t least, std::size_t most, Access access,
               std::string_view help) {
    return {
        .kind = Kind::number,
        .key = key,
        .flag = flag,
        .placeholder = "N",
        .help = help,
        .set = [access, least, most](Config& c, Values v) { return assign_number(access(c), v.front(), least, most); },
        .print = [access](const Config& c) { return std::to_string(access(c)); }};
}

template <class Access>
Setting boolean(std::string_view key, std::string_view flag, Access access, std::string_view help) {
    return {.kind = Kind::boolean,
            .key = key,
            .flag = flag,
            .help = help,
            .set = [access](Config& c, Values v) { return assign_boolean(access(c), v.front()); },
            .print = [access](const Config& c) { return std::string{access(c) ? "true" : "false"}; }};
}

template <class E, std::size_t count, class Access>
Setting word(std::string_view key, std::string_view flag, std::string_view placeholder,
             const std::array<std::pair<std::string_view, E>, count>& words, Access access, std::string_view help) {
    return {.kind = Kind::text,
            .key = key,
            .flag = flag,
            .placeholder = placeholder,
            .help = help,
            .set = [access, &words](Config& c, Values v) { return assign_word(access(c), v.front(), Words<E>{words}); },
            .print = [access, &words](const Config& c) { return print_word(access(c), Words<E>{words}); }};
}

template <class Access>
Setting list(std::string_view key, std::string_view flag, std::string_view placeholder,
             Done (*assign)(std::vector<std::string>&, Values), Access access, std::string_view help) {
    return {.kind = Kind::list,
            .key = key,
            .flag = flag,
            .placeholder = placeholder,
            .help = help,
            .set = [access, assign](Config& c, Values v) { return assign(access(c), v); },
            .print = [access](const Config& c) { return print_list(access(c)); }};
}

template <class Access>
Setting pairs(std::string_view key, std::string_view flag, std::string_view placeholder,
              Done (*take)(Pairs&, const std::string&, const std::string&), Access access, std::string_view help) {
    return {.kind = Kind::pairs,
            .key = key,
            .flag = flag,
            .placeholder = placeholder,
            .help = help,
            .set = [access, take, placeholder](Config& c, Values values) -> Done {
                for (const std::string& value : values) {
                    const auto equals = value.find('=');
                    if (equals == std::string::npos || equals + 1 == value.size()) {
                        return Unexpected{as_code(value) + " is not " + std::string{placeholder}};
                    }
                    auto done = take(access(c), value.substr(0, equals), value.substr(equals + 1));
                    if (!done) return done;
                }
                return {};
            },
            .pairs = access,
            .print = [access](const Config& c) { return print_pairs(access(c)); }};
}

Setting at_start_only(Setting setting) {
    setting.at_start_only = true;
    return setting;
}

#define WSD_VALUE(member) \
    [](auto& c) -> auto& { return c.member; }

std::vector<Setting> make_settings() {
    using namespace std::chrono_literals;
    constexpr std::size_t any = std::numeric_limits<std::uint32_t>::max();
    std::vector<Setting> all;
    const auto group = [&all](std::string_view heading, std::vector<Setting> settings_of_group) {
        for (auto& setting : settings_of_group) {
            setting.group = heading;
            all.push_back(std::move(setting));
        }
    };
    group(
        "Connections",
        {
            at_start_only(list("listen", "--listen", "ENDPOINT", assign_endpoints, WSD_VALUE(listen),
                               "where to listen: HOST:PORT, [HOST]:PORT, :PORT (all addresses; port 0 picks one), "
                               "unix:PATH, or systemd "
                               "for the sockets of a socket unit")),
            at_start_only(list(
                "listen_proxy_protocol", "--listen-proxy-protocol", "ENDPOINT", assign_endpoints,
                WSD_VALUE(listen_proxy_protocol),
                "where to listen for load balancers that send a header of the PROXY protocol, version 1 or 2, before "
                "the request; they must be in trusted_proxies")),
            list("trusted_proxies", "--trusted-proxy", "ADDRESS", assign_proxies, WSD_VALUE(server.trusted_proxies),
                 "the proxies that name their client: IP addresses, networks such as 10.0.0.0/8, and unix for all "
                 "that connect over a Unix socket. The address of the client is then that of the connection"),
            text("client_address_field", "--client-address-field", "NAME", WSD_VALUE(server.client_address_field),
                 "the header field in which they do so: X-Forwarded-For, Forwarded, or one with a single address such "
                 "as X-Real-IP. Each of them must append to it or replace it, as any other comes from the client",
                 check_field_name),
            text("server_name", "--server-name", "NAME", WSD_VALUE(server.server_name),
                 "the Server field of HTTP responses; empty: none", check_field_value),
            list("allowed_origins", "--allowed-origin", "ORIGIN", assign_origins, WSD_VALUE(server.allowed_origins),
                 "sites whose pages may connect, such as https://example.org or https://*.example.org; * allows all. "
                 "Pages of the same host are always allowed"),
            list("hosts", "--own-host", "NAME", assign_hosts, WSD_VALUE(server.hosts),
                 "the names of this server besides localhost, such as www.example.org or *.example.org; other Hosts "
                 "get 421. Required behind a proxy that connects over loopback and is not in trusted_proxies. * allows "
                 "all"),
            at_start_only(number("io_threads", "--io-threads", 0, 1024, WSD_VALUE(server.io_threads),
                                 "threads that serve connections; 0: one for each core")),
            at_start_only(number("workers", "--workers", 0, 1024, WSD_VALUE(server.workers),
                                 "threads for handlers that may block; 0: one for each core and one more")),
            at_start_only(word("transport", "--transport", "auto|asio|uring", transport_words,
                               WSD_VALUE(server.transport),
                               "the interface to the kernel; auto takes the best one that works here")),
        });
    group("Handlers",
          {
              text("default_handler", "--default-handler", "WHAT", WSD_VALUE(default_handler),
                   "serves clients that ask for no subprotocol", check_handler),
              pairs("handlers", "--handler", "SUBPROTOCOL=WHAT", take_handler, WSD_VALUE(handlers),
                    "serves a subprotocol; WHAT is echo, broadcast, null, the path of a shared object, or NAME.so"),
              pairs("handler_config", "--handler-config", "SUBPROTOCOL=TEXT", take_handler_config,
                    WSD_VALUE(handler_config),
                    "text for the shared object that serves this subprotocol (for the default handler if the name is "
                    "empty)"),
              text("handler_dir", "--handler-dir", "DIR", WSD_VALUE(handler_dir),
                   "the folder of shared objects that are named without a path"),
              at_start_only(boolean("watch_handlers", "--watch-handlers", WSD_VALUE(watch_handlers),
                                    "loads a shared object again when its file has changed; the new code serves its "
                                    "open connections, too")),
              boolean("strict_subprotocol", "--strict-subprotocol", WSD_VALUE(server.strict_subprotocol),
                      "refuses every client that asks for unknown subprotocols only (400); otherwise only browsers are "
                      "refused, as they would fail, and other clients are served without one"),
              time("handler_deadline", "--handler-deadline", 1ms, WSD_VALUE(server.handler_deadline),
                   "a blocking handler that takes longer is logged and shown by status"),
              at_start_only(time("reactor_deadline", "--reactor-deadline", 0ms, WSD_VALUE(server.reactor_deadline),
                                 "other threads serve the new clients of an I/O thread that an inline handler blocks "
                                 "for longer; 0: they are not watched")),
          });
    group("Process", {
                         at_start_only(text("user", "--user", "NAME", WSD_VALUE(user),
                                            "the user that wsd becomes after it listens, if root starts it; empty: it "
                                            "keeps its user")),
                         at_start_only(text("pid_file", "--pid-file", "FILE", WSD_VALUE(pid_file),
                                            "contains the process id and prevents a second wsd; empty: none")),
                         at_start_only(boolean("control_stdin", "--control-stdin", WSD_VALUE(control_stdin),
                                               "reads commands from stdin, one a line, as for wsd-ctl")),
                         at_start_only(boolean("demo", "--demo", WSD_VALUE(demo),
                                               "serves a chat page at / and the subprotocol chat")),
                         time("grace", "--grace", 0ms, WSD_VALUE(grace),
                              "how long connections may take to close after TERM before they are terminated"),
                     });
    group("Limits",
          {
              size("limits.max_message", "--max-message", 1, WSD_VALUE(server.connection.max_message),
                   "the longest message accepted; a longer one closes the connection with 1009"),
              number("limits.max_fragments", "--max-fragments", 1, any, WSD_VALUE(server.connection.max_fragments),
                     "the most fragments in one message; more close the connection with 1009"),
              at_start_only(number("limits.max_connections", "--max-connections", 0, any,
                                   WSD_VALUE(server.max_connections),
                                   "further clients get 503 with Retry-After; 0: 90 % of the descriptor limit")),
              number("limits.connections_per_second", "--connections-per-second", 0, any,
                     WSD_VALUE(server.connections_per_second),
                     "as many are accepted in a second, further clients get 503 with Retry-After; 0: unlimited"),
              number("limits.messages_per_second", "--messages-per-second", 0, any,  //
                     WSD_VALUE(server.connection.receive_rates.messages),
                     "the most messages, pings and pongs of one client in a second: a client that sends more has to "
                     "wait; 0: unlimited"),
              size("limits.bytes_per_second", "--bytes-per-second", 0, WSD_VALUE(server.connection.receive_rates.bytes),
                   "the most bytes of one client in a second: a client that sends more has to wait; 0: unlimited",  //
                   any),
              size("limits.memory", "--memory", 0, WSD_VALUE(server.memory_limit),
                   "for messages, queues and mailboxes of all clients; near it large messages wait, above it 1013 and "
                   "503; 0: half of the memory"),
              time("limits.handshake_timeout", "--handshake-timeout", 1ms,
                   WSD_VALUE(server.connection.handshake_timeout), "for the whole opening handshake; then 408"),
              size("limits.max_header", "--max-header", 256, WSD_VALUE(server.connection.handshake.max_header),
                   "bytes of the opening handshake's request; more: 431"),
              number("limits.max_fields", "--max-fields", 5, any, WSD_VALUE(server.connection.handshake.max_fields),
                     "header fields of that request; more: 431"),
              time("limits.message_timeout", "--message-timeout", 0ms,
                   WSD_VALUE(server.connection.message_timeout.value()),
                   "for one message, from its first byte to its end; then 1008; 0: unlimited"),
              time("limits.ping_interval", "--ping-interval", 0ms, WSD_VALUE(server.connection.ping_interval),
                   "how long a client may be silent before it is pinged; 0: never"),
              time("limits.pong_timeout", "--pong-timeout", 1ms, WSD_VALUE(server.connection.pong_timeout),
                   "how long it may be silent after that ping before the connection is terminated"),
              time("limits.close_timeout", "--close-timeout", 1ms, WSD_VALUE(server.connection.close_timeout),
                   "for the closing handshake"),
              size("limits.send_high_mark", "--send-high-mark", 1, WSD_VALUE(server.connection.send_queue.high_mark),
                   "bytes waiting for a slow client: above this, nothing is read from it and slow_consumer applies"),
              size("limits.send_hard_limit", "--send-hard-limit", 1, WSD_VALUE(server.connection.send_queue.hard_limit),
                   "bytes waiting for a slow client: never more than this, including its own answers"),
              word("limits.slow_consumer", "--slow-consumer", "POLICY", slow_consumer_words,
                   WSD_VALUE(server.connection.send_queue.policy),
                   "what a message to a slow client causes: close (1013), drop_oldest, drop_newest, keep_latest"),
          });
    group("Limits per address",
          {
              number("per_address.connections", "--per-address-connections", 0, any,
                     WSD_VALUE(server.per_address.connections),
                     "the most connections of one address (IPv6: of a /64) at a time: further clients get 429 with "
                     "Retry-After; 0: unlimited"),
              number("per_address.connections_per_second", "--per-address-connections-per-second", 0, any,
                     WSD_VALUE(server.per_address.connections_per_second),
                     "the most new connections of one address in a second: further clients get 429 with Retry-After; "
                     "0: unlimited"),
              number("per_address.messages_per_second", "--per-address-messages-per-second", 0, any,
                     WSD_VALUE(server.per_address.receive_rates.messages),
                     "the most messages, pings and pongs of one address in a second: then its clients have to wait; 0: "
                     "unlimited"),
              size("per_address.bytes_per_second", "--per-address-bytes-per-second", 0,
                   WSD_VALUE(server.per_address.receive_rates.bytes),
                   "the most bytes of one address in a second: then its clients have to wait; 0: unlimited", any),
          });
    group("Commands",
          {
              at_start_only(text("spool.dir", "--spool", "DIR", WSD_VALUE(spool.dir),
                                 "the folder for command files and wsd-ctl; empty: none")),
              list("spool.group_may", "--spool-group-may", "COMMAND", assign_commands, WSD_VALUE(spool.group_may),
                   "the commands that the spool's group may give; root and the user of wsd may give all"),
              time("spool.keep", "--spool-keep", 1s, WSD_VALUE(spool.keep), "how long answers stay in the spool"),
              time("spool.keep_failed", "--spool-keep-failed", 1s, WSD_VALUE(spool.keep_failed),
                   "how long failed commands stay in the spool"),
              number("spool.max_answers", "--spool-max-answers", 1, 50'000, WSD_VALUE(spool.max_answers),
                     "files of answers, and of failed commands; of more, the oldest are removed"),
              size("spool.max_answers_size", "--spool-max-answers-size", 1, WSD_VALUE(spool.max_answers_size),
                   "bytes of answers, and of failed commands; of more, the oldest are removed"),
              size("spool.max_file", "--spool-max-file", 1, WSD_VALUE(spool.max_file),
                   "the largest command file accepted in the spool"),
          });
    group("Log", {
                     word("log.level", "--log-level", "LEVEL", level_words, WSD_VALUE(log.level),
                          "debug, info, warning or error"),
                     word("log.format", "--log-format", "text|json", format_words, WSD_VALUE(log.format),
                          "for people, or one JSON object a line"),
                     text("log.file", "--log-file", "FILE", WSD_VALUE(log.file),
                          "appended to, reopened on USR1; empty: stderr"),
                 });
    return all;
}

#undef WSD_VALUE

}  // namespace

std::string Setting::variable() const {
    std::string name = "WSD_";
    for (const char c : flag.substr(2)) {
        name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    return name;
}

std::span<const Setting> settings() {
    static const std::vector<Setting> all = make_settings();
    return all;
}

const Setting* find_setting(std::string_view key) {
    for (const Setting& setting : settings()) {
        if (setting.key == key) return &setting;
    }
    return nullptr;
}

std::string nearest_key(std::string_view key) {
    const auto last_word = [](std::string_view whole) { return whole.substr(whole.rfind('.') + 1); };
    std::vector<std::string_view> keys;
    std::vector<std::string_view> words;
    for (const Setting& setting : settings()) {
        keys.push_back(setting.key);
        words.push_back(last_word(setting.key));
    }
    if (const auto best = wsserver::closest_match(key, keys); !best.empty()) return std::string{best};
    const auto word = wsserver::closest_match(last_word(key), words);
    const auto found = std::find(words.begin(), words.end(), word);
    return found == words.end() ? std::string{} : std::string{keys[static_cast<std::size_t>(found - words.begin())]};
}

}  // namespace wsd
