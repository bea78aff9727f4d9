#include "common/config.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "common/config_file.hpp"
#include "common/settings.hpp"
#include "support/catch.hpp"
#include "support/folder.hpp"

using namespace std::chrono_literals;
using wsd::Config;
using wsd::ConfigErrors;
using wsd::ConfigRequest;
using wsd::load_config;

namespace {

const wsd::Places places{"/nowhere/wsd.toml", "/var/spool/wsd", "/run/wsd/wsd.pid", "/usr/lib/wsd/handlers"};

ConfigRequest request(const std::string& file = {}, wsd::Environment environment = {}, wsd::Given flags = {}) {
    return {places, std::move(environment), file, std::move(flags)};
}

Config good(const ConfigRequest& wanted) {
    auto config = load_config(wanted);
    if (!config) FAIL(config.error().front());
    return *std::move(config);
}

ConfigErrors bad(const ConfigRequest& wanted) {
    auto config = load_config(wanted);
    REQUIRE(!config);
    return config.error();
}

/// The errors in a file with this text; its path is `wsd.toml`.
ConfigErrors errors_in(std::string_view text) {
    Config config = wsd::default_config(places);
    ConfigErrors errors;
    wsd::read_config_text(text, "wsd.toml", config, errors);
    return errors;
}

std::string read_file(const std::string& path) {
    std::ifstream file{path};
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

}  // namespace

TEST_CASE("without a file, variables and flags all settings have their defaults", "[wsd][config]") {
    const Config config = good(request());
    CHECK(config.listen == std::vector<std::string>{"127.0.0.1:8080"});
    CHECK(config.default_handler == "echo");
    CHECK(config.handlers.empty());
    CHECK(config.server.connection.max_message == 16u << 20);
    CHECK(config.server.connection.ping_interval == 25s);
    CHECK(config.grace == 10s);
    CHECK(config.server.handler_deadline == 5s);
    CHECK(config.server.reactor_deadline == 1s);
    CHECK(config.spool.dir == "/var/spool/wsd");
    CHECK(config.pid_file == "/run/wsd/wsd.pid");
    CHECK(config.file.empty());
    CHECK(config.warnings.empty());
    for (const auto& setting : wsd::settings()) CHECK(config.source(setting.key) == "default");
}

TEST_CASE("a file sets values, and their sources name the lines", "[wsd][config]") {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.write("wsd.toml",
                                   "listen = [\"127.0.0.1:9000\", \"unix:/run/w.sock\"]\n"
                                   "strict_subprotocol = true\n"
                                   "io_threads = 2\n"
                                   "transport = \"asio\"\n"
                                   "[limits]\n"
                                   "max_message = 1048576\n"
                                   "ping_interval = \"500ms\"\n"
                                   "slow_consumer = \"keep_latest\"\n"
                                   "[handlers]\n"
                                   "chat = \"broadcast\"\n"
                                   "stock = \"/opt/stock.so\"\n"
                                   "[log]\n"
                                   "format = \"json\"\n");
    const Config config = good(request(file));
    CHECK(config.file == file);
    CHECK(config.listen == std::vector<std::string>{"127.0.0.1:9000", "unix:/run/w.sock"});
    CHECK(config.server.strict_subprotocol);
    CHECK(config.server.io_threads == 2);
    CHECK(config.server.transport == wsserver::TransportKind::asio);
    CHECK(config.server.connection.max_message == 1u << 20);
    CHECK(config.server.connection.ping_interval == 500ms);
    CHECK(config.server.connection.send_queue.policy == wsserver::SlowConsumer::keep_latest);
    CHECK(config.handlers == std::map<std::string, std::string>{{"chat", "broadcast"}, {"stock", "/opt/stock.so"}});
    CHECK(config.log.format == wsd::LogFormat::json);
    CHECK(config.source("listen") == file + ":1");
    CHECK(config.source("limits.slow_consumer") == file + ":8");
    CHECK(config.source("handlers.stock") == file + ":11");
    CHECK(config.source("limits.max_fragments") == "default");
}

TEST_CASE("flags override variables, which override the file, which overrides defaults", "[wsd][config]") {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.write("wsd.toml", "server_name = \"file\"\ndefault_handler = \"null\"\ngrace = \"1s\"\n");
    const wsd::Environment variables{{"WSD_SERVER_NAME", "variable"}, {"WSD_GRACE", "2s"}};
    const wsd::Given flags{{"server_name", "flag"}};

    const Config config = good(request(file, variables, flags));
    CHECK(config.server.server_name == "flag");
    CHECK(config.source("server_name") == "--server-name");
    CHECK(config.grace == 2s);
    CHECK(config.source("grace") == "WSD_GRACE");
    CHECK(config.default_handler == "null");
    CHECK(config.source("default_handler") == file + ":2");
    CHECK(config.server.workers == 0);
    CHECK(config.source("workers") == "default");
}

TEST_CASE("the watch over reactors has a deadline, and 0 switches it off", "[wsd][config]") {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.write("wsd.toml", "reactor_deadline = \"300ms\"\n");
    CHECK(good(request(file)).server.reactor_deadline == 300ms);
    CHECK(good(request(file, {{"WSD_REACTOR_DEADLINE", "0s"}})).server.reactor_deadline == 0ms);
    CHECK(good(request(file, {}, {{"reactor_deadline", "2s"}})).server.reactor_deadline == 2s);
}

TEST_CASE("lists are replaced completely, handlers one by one", "[wsd][config]") {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.write(
        "wsd.toml", "listen = [\":1\", \":2\"]\nhandlers = { a = \"echo\", b = \"null\", c = \"echo\" }\n");
    const wsd::Environment variables{{"WSD_LISTEN", ":3, unix:/a b ,"}, {"WSD_HANDLER", "b=broadcast,d=null"}};

    const Config by_variable = good(request(file, variables));
    CHECK(by_variable.listen == std::vector<std::string>{":3", "unix:/a b"});
    CHECK(by_variable.handlers ==
          std::map<std::string, std::string>{{"a", "echo"}, {"b", "broadcast"}, {"c", "echo"}, {"d", "null"}});
    CHECK(by_variable.source("handlers.a") == file + ":2");
    CHECK(by_variable.source("handlers.b") == "WSD_HANDLER");

    const Config by_flag =
        good(request(file, variables, {{"listen", ":4"}, {"handlers", "d=./d.so"}, {"listen", ":5"}}));
    CHECK(by_flag.listen == std::vector<std::string>{":4", ":5"});
    CHECK(by_flag.handlers.at("d") == "./d.so");
    CHECK(by_flag.source("handlers.d") == "--handler");
}

TEST_CASE("if a flag is given twice the last one wins", "[wsd][config]") {
    CHECK(good(request({}, {}, {{"grace", "1s"}, {"workers", "4"}, {"grace", "3s"}})).grace == 3s);
}

TEST_CASE("a file that was asked for must exist, the default file may be missing", "[wsd][config]") {
    const wsserver::test::TemporaryFolder folder;
    const auto missing = folder.path() + "/missing.toml";
    CHECK(bad(request(missing)) == ConfigErrors{missing + ": cannot be read: No such file or directory"});
    CHECK(bad(request({}, {{"WSD_CONFIG", missing}})) ==
          ConfigErrors{missing + ": cannot be read: No such file or directory"});
    CHECK(bad(request(folder.path())) == ConfigErrors{folder.path() + ": cannot be read: Is a directory"});

    const auto file = folder.write("other.toml", "grace = \"4s\"\n");
    CHECK(good(request({}, {{"WSD_CONFIG", file}})).grace == 4s);
    auto by_place = request();
    by_place.places.config_file = file;
    CHECK(good(by_place).grace == 4s);
    CHECK(good(request(folder.write("empty.toml", ""))).grace == 10s);
}

TEST_CASE("an error about an unknown key has its place and the closest key", "[wsd][config]") {
    CHECK(errors_in("\n  lisen = [\":1\"]\n") ==
          ConfigErrors{"wsd.toml:2:3: lisen: unknown key; did you mean listen?"});
    CHECK(errors_in("[limits]\nmax_mesage = 1\n") ==
          ConfigErrors{"wsd.toml:2:1: limits.max_mesage: unknown key; did you mean limits.max_message?"});
    CHECK(errors_in("max_message = 1\n") ==
          ConfigErrors{"wsd.toml:1:1: max_message: unknown key; did you mean limits.max_message?"});
    CHECK(errors_in("[limit]\nping_interval = \"1s\"\n").front().starts_with("wsd.toml:1:2: limit: unknown key"));
    CHECK(errors_in("zzzzzzzzzzzz = 1\n") ==
          ConfigErrors{"wsd.toml:1:1: zzzzzzzzzzzz: unknown key; wsd --print-config shows all keys"});
    CHECK(errors_in("limits = 5\n") ==
          ConfigErrors{"wsd.toml:1:10: limits is a table: write [limits] and its keys below it"});
}

TEST_CASE("an error about a value has its place and what is expected", "[wsd][config]") {
    CHECK(errors_in("io_threads = -1\n") ==
          ConfigErrors{"wsd.toml:1:14: io_threads: `-1` is not a whole number from 0 to 1024"});
    CHECK(errors_in("io_threads = 1.5\n") == ConfigErrors{"wsd.toml:1:14: io_threads: expected an integer"});
    CHECK(errors_in("demo = \"yes\"\n") == ConfigErrors{"wsd.toml:1:8: demo: expected true or false"});
    CHECK(errors_in("listen = [8080]\n") == ConfigErrors{"wsd.toml:1:10: listen: expected a list of strings"});
    CHECK(errors_in("listen = ['127.0.0.1:80', '127.0.0.1:080']\n") ==
          ConfigErrors{"wsd.toml:1:10: listen: \"127.0.0.1:080\" is listed twice"});
    CHECK(errors_in("listen = ['127.0.0.1:0', '127.0.0.1:0']\n").empty());  // two ports
    CHECK(errors_in("[spool]\ngroup_may = ['send', 'handler lode']\n") ==
          ConfigErrors{"wsd.toml:2:13: spool.group_may: `handler lode` is not a command; did you mean `handler load`? "
                       "`wsd-ctl help` lists them"});
    CHECK(errors_in("[spool]\ngroup_may = []\n").empty());
    CHECK(errors_in("server_name = 5\n") == ConfigErrors{"wsd.toml:1:15: server_name: expected a string"});
    CHECK(errors_in("handlers = \"echo\"\n") == ConfigErrors{"wsd.toml:1:12: handlers: expected a table of strings"});
    CHECK(errors_in("[handlers]\nchat = 1\n") == ConfigErrors{"wsd.toml:2:8: handlers.chat: expected a string"});
    CHECK(errors_in("[limits]\nping_interval = 25\n") ==
          ConfigErrors{
              "wsd.toml:2:17: limits.ping_interval: `25` has no unit; expected a time such as 500ms, 25s, 10m, 2h"});
    CHECK(errors_in("[limits]\nping_interval = true\n") ==
          ConfigErrors{"wsd.toml:2:17: limits.ping_interval: expected a time such as \"25s\""});
    CHECK(errors_in("[limits]\nclose_timeout = \"0s\"\n") ==
          ConfigErrors{"wsd.toml:2:17: limits.close_timeout: `0s` is too short: the minimum is 1ms"});
    CHECK(errors_in("[limits]\nmax_header = \"10B\"\n") ==
          ConfigErrors{"wsd.toml:2:14: limits.max_header: `10B` is too small: the minimum is 256B"});
    CHECK(errors_in("[limits]\nmessages_per_second = -1\n") ==
          ConfigErrors{"wsd.toml:2:23: limits.messages_per_second: `-1` is not a whole number from 0 to 4294967295"});
    CHECK(errors_in("[limits]\nconnections_per_second = 4294967296\n") ==
          ConfigErrors{
              "wsd.toml:2:26: limits.connections_per_second: `4294967296` is not a whole number from 0 to 4294967295"});
    CHECK(errors_in("[limits]\nbytes_per_second = \"4GiB\"\n") ==
          ConfigErrors{"wsd.toml:2:20: limits.bytes_per_second: `4GiB` is too large: the maximum is 4294967295B"});
    CHECK(errors_in("[per_address]\nconnections = -1\nbytes_per_second = \"4GiB\"\n") ==
          ConfigErrors{
              "wsd.toml:3:20: per_address.bytes_per_second: `4GiB` is too large: the maximum is 4294967295B",
              "wsd.toml:2:15: per_address.connections: `-1` is not a whole number from 0 to 4294967295",
          });
    CHECK(
        errors_in("[limits]\nslow_consumer = \"drop\"\n") ==
        ConfigErrors{
            "wsd.toml:2:17: limits.slow_consumer: `drop` is not one of close, drop_oldest, drop_newest, keep_latest"});
    CHECK(errors_in("[log]\nlevel = \"loud\"\n") ==
          ConfigErrors{"wsd.toml:2:9: log.level: `loud` is not one of debug, info, warning, error"});
}

TEST_CASE("a name with a `=` is rejected and not mistaken for another", "[wsd][config]") {
    CHECK(errors_in("[handler_config]\n\"a=b\" = \"text\"\n") ==
          ConfigErrors{"wsd.toml:2:1: handler_config.a=b: a subprotocol name cannot contain `=`"});
    CHECK(errors_in("[handlers]\n\"a=/b\" = \"c.so\"\n") ==
          ConfigErrors{"wsd.toml:2:1: handlers.a=/b: a subprotocol name cannot contain `=`"});
    CHECK(errors_in("[handler_config]\na = \"b=c\"\n\"\" = \"d=e\"\n").empty());
}

TEST_CASE("addresses, origins and handlers are checked before anything starts", "[wsd][config]") {
    CHECK(errors_in("listen = \"127.0.0.1\"\n").front().starts_with("wsd.toml:1:10: listen: "));
    CHECK(errors_in("listen = \"127.0.0.1:99999\"\n").size() == 1);
    CHECK(errors_in("listen = [\"[::1]:80\", \":0\", \"localhost:80\", \"unix:a/b\"]\n").empty());
    CHECK(
        errors_in("allowed_origins = [\"*\", \"null\", \"https://example.org\", \"http://localhost:3000\"]\n").empty());
    CHECK(errors_in("allowed_origins = [\"https://example.org/\"]\n").front().find("is not an origin") !=
          std::string::npos);
    CHECK(errors_in("allowed_origins = [\"example.org\"]\n").front().find("is not an origin") != std::string::npos);
    CHECK(errors_in("server_name = \"a\\r\\nb: c\"\n").front().find("control characters") != std::string::npos);
    CHECK(errors_in("allowed_origins = [\"https://*.example.org\", \"file://\"]\n").empty());
    for (const char* pattern : {"https://a*.example.org", "https://a.*.org", "http://localhost:*", "https://*"}) {
        CAPTURE(pattern);
        CHECK_THAT(errors_in("allowed_origins = [\"" + std::string{pattern} + "\"]\n").front(),
                   Catch::Contains("`*` can only be the first label of the host"));
    }
    CHECK(errors_in("hosts = [\"www.example.org\", \"*.example.org\", \"[::1]\", \"*\"]\n").empty());
    for (const char* host : {"www.example.org:80", "https://www.example.org", "a*.example.org", ""}) {
        CAPTURE(host);
        CHECK_THAT(errors_in("hosts = [\"" + std::string{host} + "\"]\n").front(),
                   Catch::Contains("is not a host: write www.example.org"));
    }
    CHECK(
        errors_in("default_handler = \"ehco\"\n") ==
        ConfigErrors{"wsd.toml:1:19: default_handler: `ehco` is not a handler; did you mean `echo`? Built in are echo, "
                     "broadcast and null; name a shared object by its path or as NAME.so"});
    CHECK(errors_in("default_handler = \"stock.so\"\n").empty());
    CHECK(errors_in("[handlers]\n\"a b\" = \"echo\"\n").front().find("cannot be a subprotocol name") !=
          std::string::npos);
    CHECK(errors_in("[handlers]\n\"\" = \"echo\"\n").front().find("cannot be a subprotocol name") != std::string::npos);
    CHECK(errors_in("[handlers]\n\"v2.chat\" = \"echo\"\n").empty());
}

TEST_CASE("all errors from all sources are reported at once", "[wsd][config]") {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.write("wsd.toml", "workrs = 1\ngrace = 5\n");
    const auto errors = bad(request(file, {{"WSD_IO_THREADS", "many"}}, {{"workers", "-3"}}));
    REQUIRE(errors.size() == 4);
    CHECK(errors[0] == file + ":2:9: grace: `5` has no unit; expected a time such as 500ms, 25s, 10m, 2h");
    CHECK(errors[1] == file + ":1:1: workrs: unknown key; did you mean workers?");
    CHECK(errors[2] == "WSD_IO_THREADS: `many` is not a whole number from 0 to 1024");
    CHECK(errors[3] == "--workers: `-3` is not a whole number from 0 to 1024");
}

TEST_CASE("a file that is not TOML is rejected with line and column", "[wsd][config]") {
    REQUIRE(errors_in("listen = [\n").size() == 1);
    CHECK(errors_in("a = 1\nlisten = \"x\n").front().starts_with("wsd.toml:2:"));
    CHECK(errors_in("grace = \"1s\"\ngrace = \"2s\"\n").front().starts_with("wsd.toml:2:"));
    CHECK(errors_in(std::string_view{"a = \"\xff\"\n"}).size() == 1);
    CHECK(errors_in(std::string_view{"\0", 1}).size() == 1);
}

TEST_CASE("a control character is rejected with line and column", "[wsd][config]") {
    using namespace std::string_view_literals;
    CHECK(errors_in("["sv) != ConfigErrors{});
    CHECK(errors_in("[\0"sv) == ConfigErrors{"wsd.toml:1:2: the control character \\x00 is not allowed in TOML"});
    CHECK(errors_in("# \xc3\xa4\nserver_name = \"\xc3\xa4\x1b\""sv) ==
          ConfigErrors{"wsd.toml:2:17: the control character \\x1b is not allowed in TOML"});
    CHECK(errors_in("# DEL \x7f"sv) ==
          ConfigErrors{"wsd.toml:1:7: the control character \\x7f is not allowed in TOML"});
    CHECK(errors_in("# a tab\t and line ends\r\n"sv) == ConfigErrors{});
}

TEST_CASE("characters beyond ASCII are valid in strings and comments only", "[wsd][config]") {
    // toml++ 3.3 treats these ranges differently when it looks for blanks.
    for (const char* character : {"\xc2\xa1", "\xc3\xa4", "\xd2\x99", "\xe3\x81\x82", "\xef\xac\xa6", "\xef\xbb\xbe"}) {
        CAPTURE(character);
        for (const char* before : {"", "[", "[[", "grace = ", "grace = [", "grace = \"1s\" ", "[log]\n"}) {
            CAPTURE(before);
            const auto errors = errors_in(std::string{before} + character + "\n");
            REQUIRE(errors.size() == 1);
            CHECK(errors.front().starts_with(std::string{before}.find('\n') == std::string::npos ? "wsd.toml:1:"
                                                                                                 : "wsd.toml:2:"));
        }
        const auto text = std::string{character};
        CHECK(errors_in("# " + text + "\nserver_name = \"" + text + "\"\n") == ConfigErrors{});
        CHECK(errors_in("server_name = \"\"\"\\\n  " + text + "\"\"\"\n") == ConfigErrors{});
    }
}

TEST_CASE("an error is one line, whatever the file and the variables contain", "[wsd][config]") {
    for (const char* text : {"\"a\\nb\" = 1", "grace = \"1\\n2\"", "[handlers]\n\"a\\nb\" = \"echo\"",
                             "[log]\nlevel = \"\\u001b\\n\"", "listen = \"\\n\""}) {
        CAPTURE(text);
        const auto errors = errors_in(text);
        REQUIRE(errors.size() == 1);
        CHECK(errors.front().find_first_of("\n\x1b") == std::string::npos);
    }
    const auto errors = bad(request({}, {{"WSD_GRACE", "1\n2"}}));
    CHECK(errors == ConfigErrors{"WSD_GRACE: `1\\n2` has no unit; expected a time such as 500ms, 25s, 10m, 2h"});
}

TEST_CASE("an error about contradicting values names their sources", "[wsd][config]") {
    const auto errors = bad(request({}, {{"WSD_SEND_HARD_LIMIT", "1KiB"}}));
    CHECK(errors ==
          ConfigErrors{
              "limits.send_high_mark (1MiB, default) is over limits.send_hard_limit (1KiB, WSD_SEND_HARD_LIMIT)"});
}

TEST_CASE("a wsd that listens nowhere is an error", "[wsd][config]") {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.write("wsd.toml", "listen = []\n");
    CHECK(bad(request(file)) == ConfigErrors{"listen (" + file + ":1) is empty: no one could connect"});
    CHECK(good(request(file, {}, {{"listen_proxy_protocol", ":81"}, {"trusted_proxies", "::1"}})).listen.empty());
}

TEST_CASE("an unknown variable that begins with WSD_ is a warning", "[wsd][config]") {
    const Config config = good(request({}, {{"WSD_LISTN", ":1"}, {"WSD_CONFIG", ""}, {"HOME", "/"}, {"WSDX", ""}}));
    CHECK(config.warnings ==
          std::vector<std::string>{"the environment variable WSD_LISTN is not known to wsd; did you mean WSD_LISTEN?"});
}

TEST_CASE("a world-writable file is a warning", "[wsd][config]") {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.write("wsd.toml", "");
    namespace fs = std::filesystem;
    fs::permissions(file, fs::perms::others_write, fs::perm_options::add);
    CHECK(good(request(file)).warnings ==
          std::vector<std::string>{"the configuration " + file + " is world-writable (chmod o-w)"});
    fs::permissions(file, fs::perms::others_write, fs::perm_options::remove);
    CHECK(good(request(file)).warnings.empty());
}

TEST_CASE("the demo adds its handler unless there is one", "[wsd][config]") {
    const Config demo = good(request({}, {}, {{"demo", "true"}}));
    CHECK(demo.handlers == std::map<std::string, std::string>{{"chat", "broadcast"}});
    CHECK(demo.source("handlers.chat") == "--demo");
    const Config own = good(request({}, {}, {{"demo", "true"}, {"handlers", "chat=./chat.so"}}));
    CHECK(own.handlers == std::map<std::string, std::string>{{"chat", "./chat.so"}});
}

TEST_CASE("trusted proxies are checked when the configuration is read", "[wsd][config]") {
    CHECK(errors_in("trusted_proxies = [\"127.0.0.1\", \"fd00::/8\", \"unix\"]\n").empty());
    CHECK_THAT(errors_in("trusted_proxies = [\"proxy.example\"]\n").front(),
               Catch::Contains("trusted proxy 'proxy.example': write an IP address, a network"));
    CHECK_THAT(errors_in("client_address_field = \"X Real\"\n").front(),
               Catch::Contains("not the name of a header field"));
    const wsd::Given balancer{{"listen_proxy_protocol", ":81"}};
    CHECK_THAT(bad(request({}, {}, balancer)).front(),
               Catch::StartsWith("listen_proxy_protocol (--listen-proxy-protocol) needs trusted_proxies"));
    CHECK(good(request({}, {{"WSD_TRUSTED_PROXY", "10.0.0.1,unix"}}, balancer)).server.trusted_proxies.size() == 2);
}

TEST_CASE("the output of --print-config is read back as the same configuration", "[wsd][config]") {
    const wsserver::test::TemporaryFolder folder;
    const Config config = good(request({}, {{"WSD_GRACE", "90s"}, {"WSD_SERVER_NAME", "a \"b\" \\ ä"}},
                                       {{"handlers", "chat=broadcast"},
                                        {"handlers", "v1.x=./x.so"},
                                        {"handler_config", "v1.x=a=b, \"c\" \x01"},
                                        {"handler_config", "=default's"},
                                        {"allowed_origins", "https://example.org"},
                                        {"hosts", "www.example.org"},
                                        {"listen", ":0"},
                                        {"listen", "unix:/a"},
                                        {"listen_proxy_protocol", "10.0.0.5:81"},
                                        {"trusted_proxies", "10.0.0.0/8"},
                                        {"trusted_proxies", "unix"},
                                        {"client_address_field", "X-Real-IP"},
                                        {"limits.slow_consumer", "drop_oldest"},
                                        {"control_stdin", "true"}}));
    const auto text = wsd::print_config(config);
    CHECK(text.find("grace = \"90s\"  # WSD_GRACE\n") != std::string::npos);
    CHECK(text.find("control_stdin = true  # --control-stdin\n") != std::string::npos);
    CHECK(text.find("\"chat\" = \"broadcast\"  # --handler\n") != std::string::npos);
    CHECK(text.find("max_message = \"16MiB\"  # default\n") != std::string::npos);

    const Config again = good(request(folder.write("printed.toml", text)));
    for (const auto& setting : wsd::settings()) {
        CAPTURE(setting.key);
        CHECK(setting.print(again) == setting.print(config));
    }
}

TEST_CASE("a newline in a name cannot forge lines of the output", "[wsd][config]") {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.write("a\nb = 1", "grace = \"1s\"\n");
    const Config config = good(request(file));
    const Config again = good(request(folder.write("printed.toml", wsd::print_config(config))));
    CHECK(again.grace == 1s);
}

TEST_CASE("every setting has its own key, variable and flag, and a help text", "[wsd][config]") {
    std::vector<std::string> names;
    for (const auto& setting : wsd::settings()) {
        CHECK(setting.flag.starts_with("--"));
        CHECK(!setting.help.empty());
        CHECK(!setting.group.empty());
        CHECK(setting.variable().starts_with("WSD_"));
        names.emplace_back(setting.key);
        names.emplace_back(setting.flag);
        names.push_back(setting.variable());
    }
    std::sort(names.begin(), names.end());
    CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
    CHECK(wsd::find_setting("spool.dir")->variable() == "WSD_SPOOL");  // wsd-ctl reads it, too
    CHECK(wsd::find_setting("allowed_origins")->flag == "--allowed-origin");
}

TEST_CASE("docs/wsd.toml shows every setting with its default", "[wsd][config]") {
    const Config defaults = wsd::default_config(places);
    const auto text = read_file(SOURCE_ROOT "/docs/wsd.toml");
    INFO("it ought to be:\n" << wsd::example_config(defaults));
    CHECK((text == wsd::example_config(defaults)));  // in parentheses: the texts are too long to be printed
    CHECK(errors_in(text).empty());

    // Without the comment marks it is the default configuration.
    std::istringstream lines{text};
    std::string uncommented;
    for (std::string line; std::getline(lines, line);) {
        const bool value = line.starts_with("#") && line.size() > 1 && line[1] != ' ';
        uncommented += (value ? line.substr(1) : line) + "\n";
    }
    Config config = wsd::default_config({});
    ConfigErrors errors;
    wsd::read_config_text(uncommented, "docs/wsd.toml", config, errors);
    CHECK(errors == ConfigErrors{});
    for (const auto& setting : wsd::settings()) {
        CAPTURE(setting.key);
        if (setting.kind == wsd::Kind::pairs) {
            CHECK(!setting.pairs(config).empty());
        } else {
            CHECK(setting.print(config) == setting.print(defaults));
        }
    }
}

TEST_CASE("default paths follow the system's or the user's conventions", "[wsd][config]") {
    CHECK(wsd::user_places({{"HOME", "/home/a"}}).config_file == "/home/a/.config/wsd/wsd.toml");
    CHECK(wsd::user_places({{"HOME", "/home/a"}}).spool == "/home/a/.local/state/wsd/spool");
    CHECK(wsd::user_places({{"HOME", "/home/a"}}).pid_file == "/home/a/.local/state/wsd/wsd.pid");
    const auto all = wsd::user_places(
        {{"HOME", "/home/a"}, {"XDG_CONFIG_HOME", "/c"}, {"XDG_STATE_HOME", "/s"}, {"XDG_RUNTIME_DIR", "/run/user/1"}});
    CHECK(all.config_file == "/c/wsd/wsd.toml");
    CHECK(all.spool == "/s/wsd/spool");
    CHECK(all.pid_file == "/run/user/1/wsd/wsd.pid");
    CHECK(wsd::user_places({{"HOME", "/h"}, {"XDG_CONFIG_HOME", "relative"}}).config_file == "/h/.config/wsd/wsd.toml");
    CHECK(wsd::system_places().config_file.ends_with("/wsd/wsd.toml"));
}
