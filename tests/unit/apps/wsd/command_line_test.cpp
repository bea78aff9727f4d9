#include "wsd/command_line.hpp"

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "common/settings.hpp"
#include "support/catch.hpp"
#include "support/strings.hpp"

using wsd::CommandLine;
using wsd::Given;
using wsd::parse_command_line;
using wsserver::test::Strings;

namespace {

CommandLine good(const Strings& words) {
    auto line = parse_command_line(words);
    if (!line) FAIL(line.error());
    return *std::move(line);
}

std::string bad(const Strings& words) {
    auto line = parse_command_line(words);
    REQUIRE(!line);
    return line.error();
}

}  // namespace

TEST_CASE("flags become settings, in the same order", "[wsd][command_line]") {
    const auto line = good({"--listen", ":1", "--handler", "chat=broadcast", "--listen=unix:/a", "--max-message",
                            "1MiB", "--control-stdin", "--config", "x.toml"});
    CHECK(line.wants == CommandLine::Wants::serve);
    CHECK(line.config_file == "x.toml");
    CHECK(line.command.empty());
    Given listen;
    for (const auto& given : line.flags) {
        if (given.first == "listen") listen.push_back(given);
    }
    CHECK(listen == Given{{"listen", ":1"}, {"listen", "unix:/a"}});
    CHECK(line.flags.size() == 5);
}

TEST_CASE("every setting has a flag that accepts its default", "[wsd][command_line]") {
    const auto defaults = wsd::default_config({"/a", "/b", "/c", "/d"});
    for (const auto& setting : wsd::settings()) {
        CAPTURE(setting.flag);
        const std::string flag{setting.flag};
        if (setting.kind == wsd::Kind::boolean) {
            CHECK(good({flag}).flags == Given{{std::string{setting.key}, "true"}});
            CHECK(good({"--no-" + flag.substr(2)}).flags == Given{{std::string{setting.key}, "false"}});
        } else if (!setting.repeats()) {
            auto value = setting.print(defaults);
            if (value.front() == '"') value = value.substr(1, value.size() - 2);
            CHECK(good({flag, value}).flags == Given{{std::string{setting.key}, value}});
        }
    }
}

TEST_CASE("flags select what else wsd can do", "[wsd][command_line]") {
    using Wants = CommandLine::Wants;
    CHECK(good({}).wants == Wants::serve);
    CHECK(good({"--check-config"}).wants == Wants::check_config);
    CHECK(good({"--print-config", "--workers", "1"}).wants == Wants::print_config);
    CHECK(good({"--try-handler", "./x.so"}).wants == Wants::try_handler);
    CHECK(good({"--try-handler", "./x.so"}).try_handler == "./x.so");
    CHECK(good({"--version"}).wants == Wants::version);
    CHECK(good({"-V"}).wants == Wants::version);
    CHECK(good({"--help"}).wants == Wants::help);
    CHECK(good({"-h"}).wants == Wants::help);
}

TEST_CASE("the first word that is not a flag begins a command", "[wsd][command_line]") {
    const auto plain = good({"status"});
    CHECK(plain.wants == CommandLine::Wants::command);
    CHECK(plain.command == Strings{"status"});

    const auto far = good({"--spool", "/s", "close", "0-1-1", "--code", "1001", "--listen", "x", "--help"});
    CHECK(far.wants == CommandLine::Wants::command);
    CHECK(far.command == Strings{"close", "0-1-1", "--code", "1001", "--listen", "x", "--help"});
    CHECK(far.flags == Given{{"spool.dir", "/s"}});
}

TEST_CASE("nothing after an equals sign is an empty value", "[wsd][command_line]") {
    const auto line = good({"--pid-file=", "--spool=", "--config=", "--print-config"});
    CHECK(line.wants == CommandLine::Wants::print_config);
    CHECK(line.config_file.empty());
    CHECK(line.flags.size() == 2);
    for (const auto& [key, value] : line.flags) CHECK(value.empty());

    CHECK(good({"--pid-file", "--spool=", "status"}).flags == Given{{"pid_file", "--spool="}});
    CHECK(good({"broadcast", "--spool="}).command == Strings{"broadcast", "--spool="});
    CHECK(bad({"--max-message=", "1MiB"}).starts_with("--max-message: `` is not a size"));
}

TEST_CASE("an error about an unknown flag names the closest one", "[wsd][command_line]") {
    CHECK(bad({"--lisen", ":1"}) == "--lisen is not a flag of wsd; did you mean --listen?");
    CHECK(bad({"--max-mesage=1"}) == "--max-mesage=1 is not a flag of wsd; did you mean --max-message?");
    CHECK(bad({"--wholly-different"}) == "--wholly-different is not a flag of wsd");
    CHECK(bad({"--check-config", "now"}) == "now is one word too many");
    CHECK(bad({"--listen"}).find("--listen") != std::string::npos);
}

TEST_CASE("a flag of another server is answered with what wsd has", "[wsd][command_line]") {
    CHECK(bad({"--port", "80"}) == "--port is not a flag of wsd: use --listen :80");
    CHECK(bad({"--port=80"}) == "--port=80 is not a flag of wsd: use --listen :80");
    CHECK(bad({"-p", "80"}) == "-p is not a flag of wsd: use --listen :80");
    CHECK(bad({"--port"}) == "--port is not a flag of wsd: use --listen :PORT");
    CHECK(bad({"--bind", "::1"}).find("--listen ADDRESS:PORT") != std::string::npos);
    CHECK(bad({"--daemon"}).find("stays in the foreground") != std::string::npos);
    for (const char* flag : {"--deamon", "--demon", "--dem", "--demo1"}) {
        CAPTURE(flag);
        CHECK(bad({flag}).find("--demo?") == std::string::npos);
    }
}

TEST_CASE("an error about a value says what is expected", "[wsd][command_line]") {
    CHECK(bad({"--max-message", "big"}) ==
          "--max-message: `big` is not a size; expected a number of bytes, such as 65536, 64KiB, 16MiB");
    CHECK(bad({"--ping-interval", "25"}) ==
          "--ping-interval: `25` has no unit; expected a time such as 500ms, 25s, 10m, 2h");
    CHECK(bad({"--handler", "chat"}) == "--handler: `chat` is not SUBPROTOCOL=WHAT");
    CHECK(bad({"--log-level", "all"}) == "--log-level: `all` is not one of debug, info, warning, error");
}

TEST_CASE("the help names every flag", "[wsd][command_line]") {
    const auto text = wsd::help_text({"/a.toml", "/b", "/c", "/d"});
    for (const auto& setting : wsd::settings()) {
        CAPTURE(setting.flag);
        CHECK(text.find("\n  " + std::string{setting.flag}) != std::string::npos);
    }
    for (const char* word :
         {"--config FILE", "--check-config", "--print-config", "--version", "--help", "/a.toml", "wsd --demo"}) {
        CAPTURE(word);
        CHECK(text.find(word) != std::string::npos);
    }
    std::size_t longest = 0;
    for (std::size_t begin = 0; begin < text.size();) {
        const auto end = text.find('\n', begin);
        longest = std::max(longest, end - begin);
        begin = end + 1;
    }
    CHECK(longest <= 110);
}

TEST_CASE("the unit in contrib/ starts wsd with flags that exist", "[wsd][command_line]") {
    std::ifstream unit{SOURCE_ROOT "/contrib/wsd.service.in"};
    const std::string key = "ExecStart=@bindir@/wsd ";
    std::string start;
    for (std::string line; std::getline(unit, line);) {
        if (line.starts_with(key)) start = line.substr(key.size());
    }
    std::istringstream text{start};
    const auto line = good({std::istream_iterator<std::string>{text}, {}});
    CHECK(line.wants == CommandLine::Wants::serve);
    CHECK(line.config_file == "@sysconfdir@/wsd/wsd.toml");
    CHECK(line.flags.size() == 2);
}

TEST_CASE("the manuals describe every flag and every key", "[wsd][command_line]") {
    const auto manual = [](const std::string& name) {
        std::ifstream file{SOURCE_ROOT "/docs/man/" + name};
        std::ostringstream text;
        text << file.rdbuf();
        auto all = text.str();
        for (auto at = all.find("Fl Fl "); at != std::string::npos; at = all.find("Fl Fl ")) all.replace(at, 6, "--");
        return all;
    };
    const auto flags = manual("wsd.1");
    const auto keys = manual("wsd.toml.5");
    for (const auto& setting : wsd::settings()) {
        CAPTURE(setting.key, setting.flag);
        CHECK(flags.find(std::string{setting.flag}) != std::string::npos);
        CHECK(keys.find(std::string{setting.key.substr(setting.key.rfind('.') + 1)}) != std::string::npos);
    }
}
