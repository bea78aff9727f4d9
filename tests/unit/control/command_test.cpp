#include "wsserver/control/command.hpp"

#include <pthread.h>

#include <future>
#include <set>
#include <sstream>
#include <thread>

#include "support/catch.hpp"
#include "support/fake_target.hpp"
#include "support/strings.hpp"
#include "wsserver/base/shell_words.hpp"
#include "wsserver/scheduling/foreign_calls.hpp"

using namespace wsserver;
using namespace wsserver::test;
namespace {

ConnectionInfo some_connection() {
    ConnectionInfo info;
    info.id = {0, 12, 3};
    info.peer = "127.0.0.1:5000";
    info.subprotocol = "chat";
    info.handler = "broadcast";
    info.state = "open";
    info.age = std::chrono::milliseconds{3'700'000};
    info.idle = std::chrono::milliseconds{1'500};
    info.round_trip = std::chrono::microseconds{350};
    info.bytes_in = 2048;
    info.bytes_out = 1536;
    info.messages_in = 7;
    info.messages_out = 9;
    info.queued = 5;
    return info;
}

/// Checks that the command fails with this code, and that its text contains all of these.
void check_error(const Answer& answer, CommandErrc code, const std::vector<std::string>& parts) {
    CAPTURE(answer.text);
    REQUIRE(answer.error);
    CHECK(to_string(*answer.error) == to_string(code));
    for (const auto& part : parts) {
        CAPTURE(part);
        CHECK(has(answer.text, part));
    }
}

std::string output_of(ControlTarget& target, std::string_view line, std::string_view payload = {}) {
    const auto answer = execute_line(target, line, bytes_of(payload));
    CAPTURE(line, answer.text);
    REQUIRE_FALSE(answer.error);
    return answer.text;
}

Answer run(std::string_view line, std::string_view payload = {}) {
    FakeTarget target;
    return execute_line(target, line, bytes_of(payload));
}

}  // namespace

TEST_CASE("send takes its text from the line or from the lines after it", "[command]") {
    FakeTarget target;
    CHECK(output_of(target, "send 0-12-3 hi") == "queued\n");
    CHECK(output_of(target, "send 0-12-3 two words") == "queued\n");
    CHECK(output_of(target, "send 0-12-3 'two  words'") == "queued\n");
    CHECK(output_of(target, "send 0-12-3", "from\nbehind\n") == "queued\n");
    CHECK(output_of(target, "send 0-12-3 ''") == "queued\n");
    CHECK(output_of(target, "send 0-12-3 -- --binary @x") == "queued\n");
    CHECK(output_of(target, "send --binary 0-12-3", std::string_view{"\xFF\0\n", 3}) == "queued\n");
    CHECK(output_of(target, "send --json 0-12-3 hi") == "{\"id\":\"0-12-3\",\"status\":\"queued\"}\n");
    CHECK(target.fake_hub->calls.all() ==
          Strings{"send 0-12-3 text hi", "send 0-12-3 text two words", "send 0-12-3 text two  words",
                  "send 0-12-3 text from\nbehind\n", "send 0-12-3 text ", "send 0-12-3 text --binary @x",
                  std::string{"send 0-12-3 binary \xFF\0\n", 22}, "send 0-12-3 text hi"});
}

TEST_CASE("send reports the result", "[command]") {
    FakeTarget target;
    target.fake_hub->status = SendStatus::closed;
    check_error(execute_line(target, "send 0-12-3 hi"), CommandErrc::gone, {"0-12-3", "`list`"});
    target.fake_hub->status = SendStatus::dropped;
    check_error(execute_line(target, "send 0-12-3 hi"), CommandErrc::dropped, {"0-12-3", "queue"});
    target.fake_hub->status = SendStatus::refused;
    check_error(execute_line(target, "ping 0-12-3"), CommandErrc::refused, {"RFC 6455"});
}

TEST_CASE("text must be UTF-8, binary need not be", "[command]") {
    FakeTarget target;
    check_error(execute_line(target, "broadcast", bytes_of("caf\xE9 noir")), CommandErrc::bad_utf8,
                {"byte 5 of 9", "iconv", "--binary"});
    check_error(execute_line(target, "send 0-1-1", bytes_of("cut \xE2\x82")), CommandErrc::bad_utf8, {"byte 6 of 6"});
    check_error(execute_line(target, "close 0-1-1 --reason=\xFF"), CommandErrc::bad_utf8, {"--reason"});
    CHECK(target.fake_hub->calls.all().empty());
    output_of(target, "broadcast --binary", "caf\xE9");
    CHECK(target.fake_hub->calls.all() == Strings{"broadcast * binary caf\xE9"});
}

TEST_CASE("broadcast answers the number of receivers", "[command]") {
    FakeTarget target;
    CHECK(output_of(target, "broadcast hello, everyone") == "3 receivers\n");
    CHECK(output_of(target, "broadcast --subprotocol chat", "hi") == "3 receivers\n");
    CHECK(output_of(target, "broadcast --subprotocol=chat --json hi") == "{\"receivers\":3}\n");
    target.fake_hub->receivers = 1;
    CHECK(output_of(target, "broadcast hi") == "1 receiver\n");
    CHECK(target.fake_hub->calls.all() == Strings{"broadcast * text hello, everyone", "broadcast chat text hi",
                                                  "broadcast chat text hi", "broadcast * text hi"});
}

TEST_CASE("a stop ends the wait for a stuck reactor", "[command]") {
    FakeTarget target;
    target.fake_hub->answers = false;
    std::stop_source stop;
    auto answer =
        std::async(std::launch::async, [&] { return execute_line(target, "broadcast hi", {}, stop.get_token()); });
    CHECK(target.fake_hub->calls.wait_for(1) == Strings{"broadcast * text hi"});
    stop.request_stop();
    check_error(answer.get(), CommandErrc::stopping, {"the program stops"});
}

TEST_CASE("a stop that cuts off a load or a reload is the answer", "[command]") {
    FakeTarget target;
    target.refuse = "its start has not ended";
    std::stop_source stop;
    for (const char* line : {"handler load chat ./chat.so", "reload"}) {
        check_error(execute_line(target, line, {}, stop.get_token()), CommandErrc::failed, {"its start has not ended"});
    }
    stop.request_stop();
    for (const char* line : {"handler load chat ./chat.so", "reload"}) {
        check_error(execute_line(target, line, {}, stop.get_token()), CommandErrc::stopping, {"the program stops"});
    }
    target.refuse.reset();  // what succeeded all the same is answered
    CHECK_FALSE(execute_line(target, "reload", {}, stop.get_token()).error);
}

TEST_CASE("a command does not wait for a reactor that is known to be stuck", "[command]") {
    FakeTarget target;
    target.fake_hub->answers = false;
    target.stuck = {1};
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 20; ++i) {
        const auto line = i % 3 == 0 ? "broadcast hi" : i % 3 == 1 ? "ping --all" : "close --all";
        check_error(execute_line(target, line), CommandErrc::timeout, {"handed over", "inline"});
    }
    // Waiting each time would take 100 s.
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds{60});
    target.stuck = {};
    target.report.stalled_reactors = {};
    target.fake_hub->answers = true;
    CHECK(output_of(target, "broadcast hi") == "3 receivers\n");
}

TEST_CASE("ping and close take an id or --all", "[command]") {
    FakeTarget target;
    CHECK(output_of(target, "ping 0-12-3") == "queued\n");
    CHECK(output_of(target, "ping --all") == "3 pings\n");
    CHECK(output_of(target, "close 0-12-3") == "queued\n");
    CHECK(output_of(target, "close 0-12-3 --code 4001 --reason 'log in'") == "queued\n");
    CHECK(output_of(target, "close --all --code=1012") == "3 connections\n");
    CHECK(target.fake_hub->calls.all() ==
          Strings{"ping 0-12-3", "ping all", "close 0-12-3 1000 ", "close 0-12-3 4001 log in", "close all 1012 "});
    check_error(run("ping"), CommandErrc::usage, {"ID is missing", "ping ID|--all"});
    check_error(run("ping --all 0-12-3"), CommandErrc::usage, {"`0-12-3`", "too much"});
}

TEST_CASE("an id before --all is an error, since all connections would be closed", "[command]") {
    FakeTarget target;
    check_error(execute_line(target, "ping 0-12-3 --all"), CommandErrc::usage,
                {"`0-12-3`", "`--all`", "exclude each other"});
    check_error(execute_line(target, "close 0-12-3 --code 4001 --all"), CommandErrc::usage, {"`0-12-3`", "`--all`"});
    CHECK(target.fake_hub->calls.all().empty());
}

TEST_CASE("close accepts the codes and reasons that a Close frame may carry", "[command][rfc6455-7.4]") {
    for (const char* code :
         {"0", "999", "1004", "1005", "1006", "1015", "1016", "2999", "5000", "65536", "-1", "x", ""}) {
        CAPTURE(code);
        check_error(run(std::string{"close 0-1-1 --code="} + code), CommandErrc::usage, {"3000 to 4999"});
    }
    const std::string longest(123, 'r');
    CHECK_FALSE(run("close 0-1-1 --reason " + longest).error);
    check_error(run("close 0-1-1 --reason r" + longest), CommandErrc::usage, {"124 bytes", "123"});
}

TEST_CASE("--json may come before or after the command", "[command]") {
    FakeTarget target;
    CHECK(output_of(target, "--json version") == "{\"program\":\"fake\",\"version\":\"1.2.3\"}\n");
    CHECK(output_of(target, "--json broadcast hi") == "{\"receivers\":3}\n");
    CHECK(output_of(target, "--json handler list").empty());
    check_error(run("--json brodcast hi"), CommandErrc::usage, {"did you mean `broadcast`?"});
    check_error(run("--json"), CommandErrc::usage, {"no command"});
    CHECK(name_of_command("--json handler load chat x") == "handler load");
    CHECK(name_of_command("--json secret") == "?");
}

TEST_CASE("an error about an unknown word names the closest one", "[command]") {
    check_error(run("brodcast hi"), CommandErrc::usage, {"`brodcast`", "did you mean `broadcast`?", "`help`"});
    check_error(run("xyzzy"), CommandErrc::usage, {"`xyzzy`", "`help`"});
    check_error(run(""), CommandErrc::usage, {"no command", "`help`"});
    check_error(run("   "), CommandErrc::usage, {"no command"});
    check_error(run("handler"), CommandErrc::usage, {"second word", "list, load, unload, reload"});
    check_error(run("handler lits"), CommandErrc::usage, {"`lits`", "did you mean `list`?"});
    check_error(run("broadcast --subprotocl chat hi"), CommandErrc::usage,
                {"`--subprotocl`", "did you mean `--subprotocol`?", "broadcast"});
    check_error(run("list --all"), CommandErrc::usage, {"`list` has no option `--all`"});
}

TEST_CASE("no guess names a command that ends or changes the program", "[command]") {
    for (const Command& command : commands()) {
        if (command.for_group) continue;
        for (std::size_t i = 0; i < command.name.size(); ++i) {
            if (command.name[i] == ' ') continue;
            auto word = std::string{command.name};
            word.erase(i, 1);
            const auto answer = run(word);
            CAPTURE(word, answer.text);
            REQUIRE(answer.error);
            const auto guess = answer.text.find("did you mean `");
            const auto last = std::string{command.name.substr(command.name.rfind(' ') + 1)};
            if (guess != std::string::npos) CHECK_FALSE(has(answer.text.substr(guess), "`" + last + "`?"));
        }
    }
}

TEST_CASE("a word of another program is answered with the command that does it", "[command]") {
    for (const auto& [word, says] :
         std::vector<std::pair<std::string, std::string>>{{"top", "`list`"},
                                                          {"ls", "`list`"},
                                                          {"clients", "`list`"},
                                                          {"kick 0-1-1", "`close ID`"},
                                                          {"quit", "`stop`"},
                                                          {"restart", "`reload`"},
                                                          {"stats", "`status`"},
                                                          {"say hi", "`broadcast TEXT`"},
                                                          {"load x y", "`handler load`"},
                                                          {"loglevel debug", "`log-level LEVEL`"}}) {
        CAPTURE(word);
        const auto answer = run(word);
        check_error(answer, CommandErrc::usage, {"there is no command", says});
        CHECK_FALSE(has(answer.text, "did you mean"));
    }
    for (const Command& command : commands())
        CHECK_FALSE(has(run(std::string{command.name}).text, "there is no command"));
}

TEST_CASE("an unknown log level is wrong usage", "[command]") {
    check_error(run("log-level trace"), CommandErrc::usage, {"`trace` is not one of debug, info, warning, error"});
    FakeTarget target;
    for (const char* level : {"debug", "info", "warning", "error"})
        output_of(target, std::string{"log-level "} + level);
}

TEST_CASE("an error escapes and cuts the words that it quotes", "[command]") {
    check_error(run("\x1B[31mred"), CommandErrc::usage, {"\\x1b[31mred"});
    const auto answer = run(std::string(50'000, 'x'));
    REQUIRE(answer.error);
    CHECK(answer.text.size() < 300);
}

TEST_CASE("missing, superfluous and wrong arguments are errors", "[command]") {
    check_error(run("send"), CommandErrc::usage, {"ID is missing", "send ID [--binary] [TEXT]"});
    check_error(run("send 12 hi"), CommandErrc::usage, {"`12`", "0-12-3", "`list`"});
    check_error(run("send 0-1-1"), CommandErrc::usage, {"nothing to send", "''"});
    check_error(run("show 0-1-1 0-2-1"), CommandErrc::usage, {"`0-2-1`", "show ID"});
    check_error(run("status now"), CommandErrc::usage, {"`now`", "too much"});
    check_error(run("close 0-1-1 --code"), CommandErrc::usage, {"--code N"});
    check_error(run("close 0-1-1 --code 1000 --code 1001"), CommandErrc::usage, {"twice"});
    check_error(run("send --binary=yes 0-1-1 hi"), CommandErrc::usage, {"no value"});
    check_error(run("handler load chat"), CommandErrc::usage, {"PATH is missing"});
    check_error(run("list", "some text"), CommandErrc::usage, {"takes no text", "9 bytes"});
    CHECK_FALSE(run("list", "\n \r\n").error);
}

TEST_CASE("an option after the text is an error, since it could change the receivers", "[command]") {
    check_error(run("broadcast hi --subprotocol chat"), CommandErrc::usage, {"`--subprotocol`", "before", "`--`"});
    check_error(run("send 0-1-1 hi --binary"), CommandErrc::usage, {"`--binary`"});
    FakeTarget target;
    output_of(target, "broadcast use --force to win");
    output_of(target, "broadcast -- hi --subprotocol chat");
    CHECK(target.fake_hub->calls.all() ==
          Strings{"broadcast * text use --force to win", "broadcast * text hi --subprotocol chat"});
}

TEST_CASE("two texts are an error", "[command]") {
    check_error(run("broadcast hi", "there"), CommandErrc::usage, {"two texts", "5 bytes"});
}

TEST_CASE("the daemon does not read files on behalf of a command", "[command]") {
    check_error(run("broadcast @/etc/passwd"), CommandErrc::usage, {"`@/etc/passwd`", "wsd-ctl", "`--`"});
    check_error(run("broadcast -"), CommandErrc::usage, {"`-`"});
    FakeTarget target;
    output_of(target, "broadcast @bob come here");
    output_of(target, "broadcast -- @bob");
    CHECK(target.fake_hub->calls.all() == Strings{"broadcast * text @bob come here", "broadcast * text @bob"});
}

TEST_CASE("a quoting error names the column", "[command]") {
    check_error(run("broadcast it's me"), CommandErrc::usage, {"column 13", "never closed", "lines after"});
}

TEST_CASE("a command that is not implemented says what to do instead", "[command]") {
    check_error(run("broadcast --topic news hi"), CommandErrc::not_yet, {"--subprotocol"});
}

TEST_CASE("list and show print everything that is known of a connection", "[command]") {
    FakeTarget target;
    CHECK(output_of(target, "list") == "no connections\n");
    CHECK(output_of(target, "list --json").empty());
    target.connections.push_back(some_connection());
    CHECK(output_of(target, "list") ==
          "ID      PEER            SUBPROTOCOL  HANDLER    STATE     AGE   IDLE     RTT  MSGS IN  OUT  BYTES IN      "
          "OUT  "
          "QUEUED\n"
          "0-12-3  127.0.0.1:5000  chat         broadcast  open   1h 01m  1.5 s  350 us        7    9   2.0 KiB  1.5 "
          "KiB  "
          "   5 B\n");
    const std::string json =
        R"({"id":"0-12-3","peer":"127.0.0.1:5000","subprotocol":"chat","user":"","handler":"broadcast","state":"open",)"
        R"("age_ms":3700000,"idle_ms":1500,"rtt_ms":0.350,"bytes_in":2048,"bytes_out":1536,"messages_in":7,)"
        R"("messages_out":9,"dropped":0,"queued":5})"
        "\n";
    CHECK(output_of(target, "list --json") == json);
    CHECK(output_of(target, "show 0-12-3 --json") == json);
    const auto shown = output_of(target, "show 0-12-3");
    for (const char* part : {"127.0.0.1:5000", "chat", "broadcast", "1h 01m", "1.5 s", "350 us", "2.0 KiB (2048)"}) {
        CAPTURE(part);
        CHECK(has(shown, part));
    }
    check_error(execute_line(target, "show 0-12-4"), CommandErrc::gone, {"0-12-4", "`list`"});
}

TEST_CASE("a round trip that is not known yet is shown as - and null", "[command]") {
    FakeTarget target;
    target.connections.push_back(some_connection());
    target.connections[0].round_trip.reset();
    CHECK(has(output_of(target, "list --json"), R"("rtt_ms":null)"));
    CHECK(has(output_of(target, "show 0-12-3"), "round trip    -\n"));
}

TEST_CASE("JSON stays valid whatever a peer's name contains", "[command]") {
    FakeTarget target;
    target.connections.push_back(some_connection());
    target.connections[0].peer = "unix:/tmp/\"x\\\n\xFF\x01";
    CHECK(has(output_of(target, "list --json"), R"("peer":"unix:/tmp/\"x\\\n\ufffd\u0001")"));
    CHECK(has(output_of(target, "list"), "unix:/tmp/\"x\\\\n\\xff\\x01"));
}

namespace {

/// Adds four connections that differ in everything.
void add_connections(FakeTarget& target) {
    const auto add = [&target](std::uint32_t slot, std::string_view peer, std::string_view subprotocol, int number) {
        ConnectionInfo info;
        info.id = {0, slot, 1};
        info.peer = peer;
        info.subprotocol = subprotocol;
        info.handler = subprotocol.empty() ? "echo" : "rooms";
        info.state = "open";
        info.age = std::chrono::milliseconds{1000 * number};
        info.idle = std::chrono::milliseconds{100 - number};
        if (number > 1) info.round_trip = std::chrono::microseconds{number};
        info.bytes_in = static_cast<std::uint64_t>(number);
        info.messages_out = static_cast<std::uint64_t>(10 - number);
        info.queued = static_cast<std::size_t>(number % 2);
        target.connections.push_back(std::move(info));
    };
    add(1, "192.0.2.7:5000", "chat", 2);
    add(2, "192.0.2.70:5001", "", 4);
    add(3, "[2001:db8::1]:5002", "chat", 1);
    add(4, "unix:/run/x", "news", 3);
}

/// The slots of the listed connections, in order.
std::string slots_in(const std::string& json) {
    std::string slots;
    for (std::size_t at = 0; (at = json.find(R"({"id":"0-)", at)) != std::string::npos; ++at) slots += json[at + 9];
    return slots;
}

}  // namespace

TEST_CASE("list shows the connections with a subprotocol, handler or peer", "[command]") {
    FakeTarget target;
    add_connections(target);
    const auto listed = [&target](const std::string& options) {
        return slots_in(output_of(target, "list --json " + options));
    };
    CHECK(listed("") == "1234");
    CHECK(listed("--subprotocol chat") == "13");
    CHECK(listed("--subprotocol default") == "2");
    CHECK(listed("--subprotocol ''") == "2");
    CHECK(listed("--subprotocol nobody").empty());
    CHECK(listed("--handler rooms") == "134");
    CHECK(listed("--peer 192.0.2.7") == "1");
    CHECK(listed("--peer 192.0.2.7:5000") == "1");
    CHECK(listed("--peer 192.0.2.7:5001").empty());
    for (const char* peer : {"2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:5002"}) {
        CHECK(listed(std::string{"--peer "} + peer) == "3");
    }
    CHECK(listed("--peer unix:/run/x") == "4");
    CHECK(listed("--handler rooms --subprotocol chat --peer 192.0.2.7") == "1");
    CHECK(output_of(target, "list --subprotocol nobody") == "no connections\n");
}

TEST_CASE("list sorts by any column, numbers from the largest", "[command]") {
    FakeTarget target;
    add_connections(target);
    const auto listed = [&target](const std::string& options) {
        return slots_in(output_of(target, "list --json " + options));
    };
    CHECK(listed("--sort id") == "1234");
    CHECK(listed("--reverse") == "4321");
    CHECK(listed("--sort peer") == "2134");
    CHECK(listed("--sort subprotocol") == "2134");
    CHECK(listed("--sort handler") == "2134");
    CHECK(listed("--sort state") == "1234");
    CHECK(listed("--sort age") == "2413");
    CHECK(listed("--sort age --reverse") == "3142");
    CHECK(listed("--sort idle") == "3142");
    CHECK(listed("--sort rtt") == "2413");  // without a round trip: last
    CHECK(listed("--sort messages") == "3142");
    CHECK(listed("--sort bytes") == "2413");
    CHECK(listed("--sort queued") == "3412");  // equal ones in order of id
    CHECK(listed("--sort dropped") == "1234");
    check_error(execute_line(target, "list --sort size"), CommandErrc::usage, {"`size`", "one of id, peer,", "queued"});
}

TEST_CASE("list shows at most as many as --limit says, and how many there are", "[command]") {
    FakeTarget target;
    add_connections(target);
    CHECK(slots_in(output_of(target, "list --json --sort age --limit 2")) == "24");
    CHECK_FALSE(has(output_of(target, "list --json --limit 2"), "of 4"));
    CHECK(has(output_of(target, "list --limit 2"), "\n2 of 4 connections\n"));
    CHECK(has(output_of(target, "list --limit 1 --subprotocol chat"), "\n1 of 2 connections\n"));
    CHECK_FALSE(has(output_of(target, "list --limit 4"), "connections"));
    for (const char* limit : {"0", "-1", "two", "2x", "''"}) {
        CAPTURE(limit);
        check_error(execute_line(target, std::string{"list --limit="} + limit), CommandErrc::usage, {"--limit"});
    }
}

TEST_CASE("the help of list names each key of --sort", "[command]") {
    const auto help = help_on(Strings{"list"}).text;
    FakeTarget target;
    const auto error = execute_line(target, "list --sort ?").text;
    const auto begin = error.find("one of ") + 7;
    std::istringstream keys{error.substr(begin)};
    std::size_t count = 0;
    for (std::string key; std::getline(keys, key, ','); ++count) {
        key.erase(0, key.find_first_not_of(' '));
        CAPTURE(key);
        CHECK(has(help, key));
    }
    CHECK(count == 12);
}

TEST_CASE("status names a handler that hangs, and since when", "[command]") {
    FakeTarget target;
    auto& report = target.report;
    report.program = "wsd";
    report.version = "1.2.3";
    report.pid = 4711;
    report.uptime = std::chrono::hours{50};
    report.listening = {"ws://127.0.0.1:8080", "ws+unix:/run/wsd.sock"};
    report.connections = 2;
    report.memory = std::size_t{3} << 20;
    report.memory_limit = std::size_t{2} << 30;
    report.paused_for_memory = 1;
    report.rooms = 3;
    report.memberships = 5;
    report.users = 2;
    report.io_threads = 4;
    report.handlers = {{"", "echo", "built in", Runs::inline_, 1}, {"chat", "slow", "/x/slow.so", Runs::pooled, 1}};
    report.workers = {{}, {"slow", std::chrono::seconds{90}, true}};
    report.queues = {{"slow", 12, 1}};
    report.calls = {{"create() of /x/slow.so", std::chrono::seconds{60}, true},
                    {"on_command() of slow", std::chrono::seconds{1}, false}};
    report.counters = {{"messages_in", 7}, {"bytes_in", 4096}, {"refused", 0}};
    report.closes = {{1000, 3}, {1006, 1}};
    report.refusals = {{403, 2}, {426, 40}};
    CHECK(output_of(target, "status") ==
          "wsd 1.2.3, process 4711, up 2d 02h\n"
          "listening    ws://127.0.0.1:8080\n"
          "listening    ws+unix:/run/wsd.sock\n"
          "connections  2\n"
          "users        2\n"
          "rooms        3, 5 memberships\n"
          "memory       3.0 MiB of 2.0 GiB, 1 paused\n"
          "io threads   4\n"
          "workers      2, 1 busy, 1 hangs\n"
          "             slow hangs for 1m 30s\n"
          "queue        slow: 12 waiting, 1 running\n"
          "call         create() of /x/slow.so hangs for 1m 00s\n"
          "call         on_command() of slow works for 1.0 s\n"
          "closes       1000: 3, 1006: 1\n"
          "refusals     403: 2, 426: 40\n"
          "SINCE THE START\n"
          "messages in            7\n"
          "bytes in         4.0 KiB\n"
          "SUBPROTOCOL  HANDLER  RUNS    CONNECTIONS  VERSION  OLD  SOURCE\n"
          "default      echo     inline            1        1    -  built in\n"
          "chat         slow     pooled            1        1    -  /x/slow.so\n");
    CHECK(
        output_of(target, "status --json") ==
        R"({"program":"wsd","version":"1.2.3","pid":4711,"uptime_ms":180000000,"draining":false,)"
        R"("listening":["ws://127.0.0.1:8080","ws+unix:/run/wsd.sock"],"connections":2,)"
        R"("memory":3145728,"memory_limit":2147483648,"paused_for_memory":1,"rooms":3,)"
        R"("memberships":5,"users":2,"io_threads":4,)"
        R"("stalled_reactors":[],"handlers":[)"
        R"({"subprotocol":"","handler":"echo","source":"built in","runs":"inline","connections":1,"version":1,"old":0,"old_versions":0},)"
        R"({"subprotocol":"chat","handler":"slow","source":"/x/slow.so","runs":"pooled","connections":1,"version":1,"old":0,"old_versions":0}],"workers":[)"
        R"({"handler":null,"since_ms":null,"overdue":false},{"handler":"slow","since_ms":90000,"overdue":true}],)"
        R"("queues":[{"handler":"slow","waiting":12,"running":1}],)"
        R"("calls":[{"call":"create() of /x/slow.so","since_ms":60000,"overdue":true},)"
        R"({"call":"on_command() of slow","since_ms":1000,"overdue":false}],)"
        R"("counters":{"messages_in":7,"bytes_in":4096,"refused":0},"closes":{"1000":3,"1006":1},)"
        R"("refusals":{"403":2,"426":40}})"
        "\n");
}

TEST_CASE("status says why there are no workers yet", "[command]") {
    FakeTarget target;
    CHECK_THAT(output_of(target, "status"),
               Catch::Contains("workers      none yet: they start with the first handler that may block\n"));
}

TEST_CASE("status, list and show report reactors that are blocked by inline handlers", "[command]") {
    FakeTarget target;
    target.connections.push_back(some_connection());
    target.connections[0].id = {0, 1, 1};
    target.report.io_threads = 4;
    target.report.stalled_reactors = {1, 3};
    CHECK(has(output_of(target, "status"), "io threads   4, no answer from 1, 3\n"));
    CHECK(has(output_of(target, "status --json"), R"("io_threads":4,"stalled_reactors":[1,3],)"));
    const auto list = output_of(target, "list");
    for (const char* part : {"0-1-1", "reactor 1 does not answer", "reactor 3 does not answer"}) CHECK(has(list, part));
    CHECK_FALSE(has(output_of(target, "list --json"), "reactor"));  // one object a connection, nothing else
    check_error(execute_line(target, "show 3-1-1"), CommandErrc::timeout, {"reactor 3", "3-"});
    check_error(execute_line(target, "show 0-9-1"), CommandErrc::gone, {"0-9-1"});
}

TEST_CASE("commands for handlers and for the program", "[command]") {
    FakeTarget target;
    target.report.handlers = {{"", "echo", "built in", Runs::inline_, 0},
                              {"chat", "chat", "", Runs::pooled, 2, 3, 1, 2}};
    CHECK(has(output_of(target, "handler list"), "chat         chat     pooled            2        3    1  -\n"));
    CHECK(
        output_of(target, "handler list --json") ==
        R"({"subprotocol":"","handler":"echo","source":"built in","runs":"inline","connections":0,"version":1,"old":0,"old_versions":0})"
        "\n"
        R"({"subprotocol":"chat","handler":"chat","source":"","runs":"pooled","connections":2,"version":3,"old":1,"old_versions":2})"
        "\n");
    CHECK(output_of(target, "handler load chat '/a path/chat.so'") == "load 'chat' /a path/chat.so done\n");
    output_of(target, "handler load default echo");
    output_of(target, "handler unload chat");
    output_of(target, "handler unload default");
    output_of(target, "handler unload chat --to-default");
    output_of(target, "handler reload chat");
    output_of(target, "handler reload default");
    output_of(target, "handler reload --all");
    for (const char* word : {"unload", "reload"}) {
        check_error(execute_line(target, "handler " + std::string{word} + " caht"), CommandErrc::no_handler,
                    {"`caht`", "`handler list`"});
    }
    for (const char* line : {"log-level debug", "reload", "drain", "undrain", "stop"}) output_of(target, line);
    CHECK(target.calls.all() == Strings{"load 'chat' /a path/chat.so", "load '' echo", "unload 'chat'", "unload ''",
                                        "unload 'chat' to default", "reload 'chat'", "reload ''", "reload all handlers",
                                        "log-level debug", "reload", "drain", "undrain", "stop"});
    CHECK(output_of(target, "version") == "fake 1.2.3\n");
    CHECK(output_of(target, "version --json") == "{\"program\":\"fake\",\"version\":\"1.2.3\"}\n");
    CHECK(output_of(target, "drain --json") == "{\"text\":\"drain done\"}\n");
    target.refuse = "wsd.toml:3:1: no such key";
    check_error(execute_line(target, "reload"), CommandErrc::failed, {"wsd.toml:3:1: no such key"});
}

namespace {

struct Talkative {
    CommandAnswer on_command(std::span<const std::string> words, Bytes payload) {
        std::string all;
        for (const auto& word : words) all += '[' + word + ']';
        if (!words.empty() && words[0] == "fail") return {false, "won't"};
        if (!words.empty() && words[0] == "throw") throw std::runtime_error{"oh"};
        return {true, all + std::string{text_of(payload)}};
    }
};

/// Its commands hang until it is released.
struct Stuck {
    std::shared_future<void> let_go;
    CommandAnswer on_command(std::span<const std::string>, Bytes) {
        let_go.wait();
        return {true, "at last"};
    }
};

}  // namespace

TEST_CASE("call passes all further words to the handler", "[command]") {
    FakeTarget target;
    target.named["chat"] = make_handler("chat", Talkative{});
    target.named[""] = make_handler("echo", Talkative{});
    CHECK(output_of(target, "call chat kick 'bob b' --json --", "why") == "[kick][bob b][--json][--]why\n");
    CHECK(output_of(target, "call --json chat") == "{\"output\":\"\"}\n");
    CHECK(output_of(target, "call chat").empty());
    CHECK(output_of(target, "call default x") == "[x]\n");
    check_error(execute_line(target, "call chat fail"), CommandErrc::failed, {"chat", "won't"});
    check_error(execute_line(target, "call chat throw"), CommandErrc::failed, {"threw", "oh"});
    check_error(execute_line(target, "call nobody"), CommandErrc::no_handler, {"`nobody`", "`handler list`"});
    check_error(execute_line(target, "call"), CommandErrc::usage, {"HANDLER is missing"});
}

TEST_CASE("the number of calls of handlers that hang is limited", "[command]") {
    FakeTarget target;
    std::promise<void> let_go;
    target.named["stuck"] = make_handler("stuck", Stuck{let_go.get_future().share()});
    target.named["chat"] = make_handler("chat", Talkative{});
    // Calls of other tests may have answered and not yet returned.
    REQUIRE(ForeignCalls::of_process().wait_for_all(ForeignCalls::Kind::command, std::chrono::hours{1}));
    std::stop_source stop;
    stop.request_stop();  // so that no call waits
    for (int i = 0; i < 8; ++i) {
        check_error(execute_line(target, "call stuck", {}, stop.get_token()), CommandErrc::stopping, {});
    }
    check_error(execute_line(target, "call chat"), CommandErrc::busy, {"`status`"});
    let_go.set_value();
    // The calls return one by one. Until there is space the answer is `busy`.
    while (execute_line(target, "call chat").error) std::this_thread::yield();
}

TEST_CASE("a call without a thread fails and is not counted as hanging", "[command]") {
    FakeTarget target;
    target.named["chat"] = make_handler("chat", Talkative{});
    pthread_attr_t before, huge;
    REQUIRE(::pthread_getattr_default_np(&before) == 0);
    REQUIRE(::pthread_attr_init(&huge) == 0);
    REQUIRE(::pthread_attr_setstacksize(&huge, std::size_t{1} << 60) == 0);  // more than the address space
    REQUIRE(::pthread_setattr_default_np(&huge) == 0);
    std::vector<Answer> answers;
    for (int i = 0; i < 9; ++i) answers.push_back(execute_line(target, "call chat x"));
    REQUIRE(::pthread_setattr_default_np(&before) == 0);
    for (const auto& answer : answers) check_error(answer, CommandErrc::failed, {"`call`"});
    CHECK(output_of(target, "call chat x") == "[x]\n");
}

TEST_CASE("a command file is a line and a payload up to the last byte", "[command]") {
    FakeTarget target;
    CHECK_FALSE(execute_command_file(target, "broadcast hi").error);
    CHECK_FALSE(execute_command_file(target, "broadcast hi\n").error);
    CHECK_FALSE(execute_command_file(target, "broadcast --subprotocol chat\nline 1\n'line 2'\n").error);
    CHECK_FALSE(execute_command_file(target, "broadcast\r\nhi").error);
    CHECK(target.fake_hub->calls.all() == Strings{"broadcast * text hi", "broadcast * text hi",
                                                  "broadcast chat text line 1\n'line 2'\n", "broadcast * text hi"});
    check_error(execute_command_file(target, ""), CommandErrc::usage, {"no command"});
    check_error(execute_command_file(target, "\nbroadcast hi"), CommandErrc::usage, {"no command"});
    check_error(execute_command_file(target, std::string_view{"\0\0\0", 3}), CommandErrc::usage, {"\\x00"});
    check_error(execute_command_file(target, "broadcast " + std::string(70'000, 'x')), CommandErrc::usage,
                {"65536", "lines after"});
}

TEST_CASE("the log shows only the name of a command", "[command]") {
    CHECK(name_of_command("broadcast secret\nmore secrets") == "broadcast");
    CHECK(name_of_command("handler load chat x") == "handler load");
    CHECK(name_of_command("broadcast it's") == "broadcast");
    CHECK(name_of_command("list") == "list");
    CHECK(name_of_command("secret") == "?");
    CHECK(name_of_command("") == "?");
    CHECK(name_of_command(std::string(1'000'000, 'x')) == "?");
}

TEST_CASE("every command may be given without an answer", "[command]") {
    FakeTarget target;
    for (const char* line : {"--no-answer version", "version --no-answer", "--json --no-answer version",
                             "call --no-answer nobody", "broadcast --no-answer hi"}) {
        CAPTURE(line);
        CHECK_FALSE(execute_line(target, line).wanted);
        CHECK(name_of_command(line) != "?");
    }
    CHECK(execute_line(target, "version").wanted);
    CHECK(execute_line(target, "--no-answer no-such-word").wanted);
    CHECK(execute_line(target, "broadcast -- --no-answer").wanted);
}

TEST_CASE("a byte order mark before the first word is ignored", "[command]") {
    FakeTarget target;
    CHECK(execute_command_file(target, "\xEF\xBB\xBFversion\n").text == "fake 1.2.3\n");
    CHECK(execute_line(target, "\xEF\xBB\xBFversion").text == "fake 1.2.3\n");
    CHECK(name_of_command("\xEF\xBB\xBFversion") == "version");
    // In the payload it is a character like any other.
    execute_command_file(target, "broadcast\n\xEF\xBB\xBFhi");
    CHECK(target.fake_hub->calls.all() == Strings{"broadcast * text \xEF\xBB\xBFhi"});
}

TEST_CASE("an error stays on one line in the text of an answer", "[command]") {
    CHECK(to_text(Answer::done()) == "ok\n");
    CHECK(to_text(Answer::done("a\nb\n")) == "ok\na\nb\n");
    CHECK(to_text(Answer::failed(CommandErrc::bad_utf8, "a\nb\x1B")) == "error bad-utf8 a\\nb\\x1b\n");
    auto again = Answer::done("a\n");
    again.again = true;
    CHECK(to_text(again) == "ok again\na\n");
    again.error = CommandErrc::gone;
    CHECK(to_text(again) == "error gone again: a\\n\n");
}

TEST_CASE("each code has its own name and an exit status", "[command]") {
    std::set<std::string_view> names;
    for (int i = 0; i <= static_cast<int>(CommandErrc::unreadable); ++i) names.insert(to_string(CommandErrc(i)));
    CHECK(names.size() == static_cast<std::size_t>(CommandErrc::unreadable) + 1);
    CHECK(exit_status_of("usage") == 2);
    CHECK(exit_status_of("timeout") == 7);
    CHECK(exit_status_of("gone") == 1);
    CHECK(exit_status_of("of-a-later-version") == 1);
}

TEST_CASE("help is made from the table", "[command]") {
    const auto overview = help_on({});
    REQUIRE_FALSE(overview.error);
    for (const Command& command : commands()) {
        CAPTURE(command.name);
        CHECK(has(overview.text, command.name));
        CHECK_FALSE(command.summary.empty());
        REQUIRE(command.run != nullptr);
        const auto words = split_words(command.name);
        REQUIRE(words);
        const auto help = help_on(*words);
        REQUIRE_FALSE(help.error);
        CHECK(has(help.text, "usage: " + command.usage()));
        for (const auto& option : command.options) CHECK(has(help.text, option.name));
        CHECK(command.summary.size() < 100);
    }
    CHECK(has(help_on(std::vector<std::string>{"handler"}).text, "handler unload SUBPROTOCOL"));
    check_error(help_on(std::vector<std::string>{"lst"}), CommandErrc::usage, {"`list`"});
    CHECK(has(run("help send").text, "usage: send ID"));
}

TEST_CASE("a command line without its text is parsed as the same command", "[command]") {
    const auto again = [](std::string_view line) {
        const auto words = split_words(line);
        REQUIRE(words);
        const auto parsed = parse_command(*words);
        REQUIRE(parsed);
        return join_words(parsed->words_without_text());
    };
    CHECK(again("send --binary 0-1-1 some text") == "send --binary 0-1-1");
    CHECK(again("broadcast --subprotocol 'a b' --json hi") == "--json broadcast '--subprotocol=a b'");
    CHECK(again("close 0-1-1 --reason '' --code 1001") == "close --code=1001 --reason= 0-1-1");
    CHECK(again("close 0-1-1 --reason --all") == "close --reason=--all 0-1-1");
    CHECK(again("handler load -- --x /y") == "handler load -- --x /y");
    CHECK(again("call chat kick --hard 'bob b'") == "call chat kick --hard 'bob b'");
    CHECK(again("close --all") == "close --all");
    CHECK(again("--no-answer help handler load") == "--no-answer help handler load");
    CHECK(again("help --json") == "help --json");  // a word of the rest
    for (const auto* line : {"--json --json list", "--json list --json", "list --json --json"}) {
        check_error(run(line), CommandErrc::usage, {"`--json` is given twice"});
    }
}
