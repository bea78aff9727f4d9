// Finds the servers of a comparison and prepares the commands that start them.
#include "contender.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <utility>

namespace wsserver::bench {

namespace {

constexpr std::string_view port_mark = "{port}";

std::string path_next_to_bench(const char* name) {
    return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

/// A port that was free a moment ago; 0 if there is none.
std::uint16_t free_port() {
    const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    const bool bound = bind(probe, plain, size) == 0 && getsockname(probe, plain, &size) == 0;
    close(probe);
    return bound ? ntohs(address.sin_port) : std::uint16_t{0};
}

bool wants_port(const std::string& word) { return word.find(port_mark) != std::string::npos; }

std::string with_port(std::string word, std::uint16_t port) {
    for (std::size_t at = 0; (at = word.find(port_mark)) != std::string::npos;) {
        word.replace(at, port_mark.size(), std::to_string(port));
    }
    return word;
}

/// Splits `text` at the first '='.
std::pair<std::string, std::string> name_and_rest(std::string_view text) {
    const auto equals = text.find('=');
    if (equals == 0 || equals == std::string_view::npos) {
        throw WrongUsage{"'" + std::string{text} + "' does not have the form NAME=..."};
    }
    return {std::string{text.substr(0, equals)}, std::string{text.substr(equals + 1)}};
}

/// A server that is built together with the benchmark, if its package was found. All of them echo; the raw ones can
/// also send what they receive to all.
struct OwnEcho {
    const char* name;
    const char* program;
    const char* needs;  ///< a Debian package
    bool websocket = true;
};

constexpr const char* node_ws = "node-ws";
constexpr const char* ws_package = WSSERVER_BENCH_PEERS "/../../system/node_modules/ws";
constexpr OwnEcho echoes[] = {
    {"raw-epoll", "raw_echo", "linux-libc-dev", false},
    {"raw-uring", "raw_echo_uring", "liburing-dev", false},
    {"beast", "servers/peers/beast_echo", "libboost1.81-dev"},
    {"websocketpp", "servers/peers/websocketpp_echo", "libwebsocketpp-dev"},
    {"libwebsockets", "servers/peers/libwebsockets_echo", "libwebsockets-dev"},
    {node_ws, nullptr, nullptr},  // a script
};

}  // namespace

ServerProcess Contender::start(std::optional<int> core) const {
    if (std::none_of(command.begin(), command.end(), wants_port)) return ServerProcess{command, core, port};
    const std::uint16_t chosen = port ? *port : free_port();
    std::vector<std::string> words;
    for (const std::string& word : command) words.push_back(with_port(word, chosen));
    return ServerProcess{words, core, chosen};
}

Contender own_contender(std::string_view name, Serves what) {
    if (name == "wsserver") return library_contender("wsserver=", what);
    const auto* const found =
        std::find_if(std::begin(echoes), std::end(echoes), [&](const OwnEcho& each) { return each.name == name; });
    if (found == std::end(echoes)) throw WrongUsage{"unknown server '" + std::string{name} + "': see --help"};
    if (what != Serves::echo && found->websocket) throw WrongUsage{std::string{name} + " can only echo"};
    if (name == node_ws) {
        if (!std::filesystem::exists(ws_package))
            throw WrongUsage{"the npm package ws is missing: ./dev bench installs it"};
        return {.name = node_ws, .command = {"node", WSSERVER_BENCH_PEERS "/node_ws_echo.mjs"}};
    }
    const std::string path = path_next_to_bench(found->program);
    if (!std::filesystem::exists(path)) {
        throw WrongUsage{std::string{name} + " was not built: install " + found->needs + " and build again"};
    }
    Contender contender{.name = found->name, .command = {path}, .websocket = found->websocket};
    if (what == Serves::fan_out) contender.command.emplace_back("--broadcast");
    return contender;
}

std::vector<Contender> own_contenders(Serves what) {
    std::vector<Contender> all{own_contender("wsserver", what)};
    for (const OwnEcho& each : echoes) {
        try {
            all.push_back(own_contender(each.name, what));
        } catch (const WrongUsage&) {
            // not built, or it cannot serve this
        }
    }
    return all;
}

Contender library_contender(std::string_view text, Serves what) {
    const auto [name, arguments] = name_and_rest(text);
    Contender contender{.name = name, .command = {path_next_to_bench("echo_server")}};
    if (what == Serves::fan_out) contender.command.emplace_back("--broadcast");
    if (what == Serves::http) contender.command.emplace_back("--http");
    std::istringstream words{arguments};
    for (std::string word; words >> word;) contender.command.push_back(word);
    return contender;
}

Contender foreign_contender(std::string_view text) {
    const auto [name, command] = name_and_rest(text);
    Contender contender{.name = name, .command = {"/bin/sh", "-c", "exec " + command}};
    if (const auto at = name.find('@'); at != std::string::npos) {
        std::uint16_t port = 0;
        const auto [end, error] = std::from_chars(name.data() + at + 1, name.data() + name.size(), port);
        if (error != std::errc{} || end != name.data() + name.size() || port == 0) {
            throw WrongUsage{"'" + name.substr(at + 1) + "' is not a port"};
        }
        contender.port = port;
        contender.name = name.substr(0, at);
    }
    contender.websocket = !name.starts_with("raw-");
    return contender;
}

}  // namespace wsserver::bench
