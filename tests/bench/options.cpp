// Parses the arguments and fills in the defaults of each mode.
#include "options.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace wsserver::bench {

namespace {

constexpr const char* usage =
    R"(usage: bench [MODE] [options]
Measures several servers in alternating windows. MODE is one of

  echo       server CPU per echoed message (the default)
  fan-out    server CPU per delivery, when each message of one connection goes to all others
  handshake  server CPU per connection, from accept to close
  http       server CPU per plain HTTP request, on streams that are kept. With a NAME that does not begin with raw-, a
             server answers GET with 200 and a Content-Length, always the same
  memory     memory per idle connection
  fairness   how long quiet connections wait for an echo, and new ones for the opening handshake: alone, and while
             neighbours send huge messages, never read, or flood the server with tiny frames, which it echoes or (with
             the subprotocol null) drops

  --with NAME,...       servers: wsserver (the library's), raw-epoll and raw-uring (they echo bytes, or send
                        them to all, without WebSocket); default: all of these that can serve the mode, or the raw
                        ones if others are named.
                        Other echo servers: beast, websocketpp, libwebsockets, node-ws. `all`: all that were built
  --server NAME=ARGS    the library's server with these arguments; may be repeated
  --server-cmd NAME=CMD any other server: a command that runs as one process. It echoes, or for fan-out sends each
                        message to all. It listens on `{port}`, if the command contains that; otherwise on PORT, if
                        the option is NAME@PORT=CMD; otherwise it prints `listening on SCHEME://HOST:PORT`. With a
                        NAME that begins with raw- it takes bytes without WebSocket. May be repeated
  --base NAME           the server that ratios refer to (default raw-epoll, or the first)
  --connections N,...   echo, http: connections (1,64,1000); fan-out: receivers (100,1000); handshake: at a time (64);
                        memory: idle ones (10000), at most as many as descriptors; fairness: quiet ones (100)
  --in-flight N,...     messages or requests in flight on each connection (echo, http: 1), publications (fan-out: 1,8)
  --neighbours N,...    fairness: connections that disturb (1)
  --bystanders N        fan-out: connections that request the target /elsewhere and receive nothing (0), for servers
                        with a NAME that begins with room-, which send to those with the same target. For example
                        --with wsserver --server room-1=--rooms --base wsserver --bystanders 8000
  --size N,...          payload bytes (echo: 16,1024; fan-out, fairness: 125)
  --binary              binary messages instead of text
  --cores HOW           same: server and load share core 0 (default); apart: cores 0 and 1 (default for fairness);
                        free: not pinned
  --rounds N            windows of each server; medians are printed (default 5)
  --window MS           length of a window (default 1000)
  --warm-up MS          time before each window (default 300)
  --target PATH         target of the opening handshake (default /)
  --json                print one JSON object per line
)";

/// A mode and its defaults.
struct Mode {
    std::string_view name;
    std::vector<std::size_t> connections, in_flight, sizes;
    const char* cores = "same";
};

const Mode modes[] = {
    {"echo", {1, 64, 1000}, {1}, {16, 1024}},
    {"fan-out", {100, 1000}, {1, 8}, {125}},
    {"handshake", {64}, {}, {}},
    {"http", {1, 64, 1000}, {1}, {}},
    {"memory", {10'000}, {}, {}},
    {"fairness", {100}, {}, {125}, "apart"},
};

const Mode* find_mode(std::string_view name) {
    const auto* const found =
        std::find_if(std::begin(modes), std::end(modes), [&](const Mode& each) { return each.name == name; });
    return found == std::end(modes) ? nullptr : found;
}

Serves wanted(const Options& options) {
    if (options.mode == "http") return Serves::http;
    return options.mode == "fan-out" ? Serves::fan_out : Serves::echo;
}

std::vector<std::string_view> words(std::string_view text) {
    std::vector<std::string_view> all;
    for (; !text.empty(); text.remove_prefix(std::min(all.back().size() + 1, text.size()))) {
        all.push_back(text.substr(0, text.find(',')));
    }
    return all;
}

std::vector<std::size_t> numbers(std::string_view text) {
    std::vector<std::size_t> all;
    for (const std::string_view word : words(text)) {
        std::size_t number = 0;
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
        if (error != std::errc{} || end != word.data() + word.size() || number == 0) {
            throw WrongUsage{"'" + std::string{word} + "' is not a number above 0"};
        }
        all.push_back(number);
    }
    if (all.empty()) throw WrongUsage{"a number is missing"};
    return all;
}

void add(Options& options, const std::vector<Contender>& contenders) {
    options.contenders.insert(options.contenders.end(), contenders.begin(), contenders.end());
}

struct Flag {
    std::string_view name;
    void (*take)(Options& options, const std::string& value);
};

constexpr Flag flags_with_value[] = {
    {"--with",
     [](Options& o, const std::string& value) {
         if (value == "all") return add(o, own_contenders(wanted(o)));
         for (const std::string_view name : words(value)) add(o, {own_contender(name, wanted(o))});
     }},
    {"--server",
     [](Options& o, const std::string& value) { o.contenders.push_back(library_contender(value, wanted(o))); }},
    {"--server-cmd", [](Options& o, const std::string& value) { o.contenders.push_back(foreign_contender(value)); }},
    {"--base", [](Options& o, const std::string& value) { o.base = value; }},
    {"--connections", [](Options& o, const std::string& value) { o.connections = numbers(value); }},
    {"--in-flight", [](Options& o, const std::string& value) { o.in_flight = numbers(value); }},
    {"--size", [](Options& o, const std::string& value) { o.sizes = numbers(value); }},
    {"--neighbours", [](Options& o, const std::string& value) { o.neighbours = numbers(value); }},
    {"--bystanders", [](Options& o, const std::string& value) { o.bystanders = numbers(value)[0]; }},
    {"--cores", [](Options& o, const std::string& value) { o.cores = value; }},
    {"--rounds", [](Options& o, const std::string& value) { o.rounds = numbers(value)[0]; }},
    {"--window", [](Options& o, const std::string& value) { o.window = std::chrono::milliseconds{numbers(value)[0]}; }},
    {"--warm-up",
     [](Options& o, const std::string& value) { o.warm_up = std::chrono::milliseconds{numbers(value)[0]}; }},
    {"--target", [](Options& o, const std::string& value) { o.target = value; }},
};

bool has(const Options& options, std::string_view name) {
    return std::any_of(options.contenders.begin(), options.contenders.end(),
                       [&](const Contender& each) { return each.name == name; });
}

void complete(Options& options) {
    const Mode& mode = *find_mode(options.mode);
    if (options.connections.empty()) options.connections = mode.connections;
    if (options.in_flight.empty()) options.in_flight = mode.in_flight;
    if (options.sizes.empty()) options.sizes = mode.sizes;
    if (options.cores.empty()) options.cores = mode.cores;
    if (options.contenders.empty()) options.contenders.push_back(own_contender("wsserver", wanted(options)));
    const bool raw = std::any_of(options.contenders.begin(), options.contenders.end(),
                                 [](const Contender& each) { return !each.websocket; });
    for (const Contender& contender : own_contenders(wanted(options))) {
        if (!raw && !contender.websocket) options.contenders.push_back(contender);
    }
    if (options.base.empty()) options.base = has(options, "raw-epoll") ? "raw-epoll" : options.contenders[0].name;
    if (!has(options, options.base)) throw WrongUsage{"--base " + options.base + " is not a server of the comparison"};
    if (options.cores != "same" && options.cores != "apart" && options.cores != "free") {
        throw WrongUsage{"--cores must be same, apart or free"};
    }
}

}  // namespace

std::optional<int> Options::server_core() const { return cores == "free" ? std::nullopt : std::optional{0}; }

std::optional<int> Options::load_core() const {
    return cores == "free" ? std::nullopt : std::optional{cores == "same" ? 0 : 1};
}

Options parse_options(const std::vector<std::string>& arguments) {
    Options options;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string name = arguments[i].substr(0, arguments[i].find('='));
        const auto flag = std::find_if(std::begin(flags_with_value), std::end(flags_with_value),
                                       [&](const Flag& each) { return each.name == name; });
        if (arguments[i] == "--binary") {
            options.text = false;
        } else if (arguments[i] == "--json") {
            options.json = true;
        } else if (arguments[i] == "--help") {
            std::fputs(usage, stdout);
            std::exit(0);
        } else if (i == 0 && find_mode(arguments[i]) != nullptr) {
            options.mode = arguments[i];
        } else if (flag == std::end(flags_with_value)) {
            throw WrongUsage{"unknown argument '" + arguments[i] + "': see --help"};
        } else if (name.size() < arguments[i].size()) {
            flag->take(options, arguments[i].substr(name.size() + 1));
        } else if (i + 1 < arguments.size()) {
            flag->take(options, arguments[++i]);
        } else {
            throw WrongUsage{name + " needs a value"};
        }
    }
    complete(options);
    return options;
}

}  // namespace wsserver::bench
