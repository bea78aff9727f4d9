#include "wsd/connection_log.hpp"

#include <fstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "wsserver/protocol/error.hpp"
#include "wsserver/testing.hpp"

using namespace std::chrono_literals;
using wsd::LogLevel;
using wsserver::CloseCode;
using wsserver::ConnectionEnd;

namespace {

ConnectionEnd ended() {
    ConnectionEnd end;
    end.info.id = {1, 2, 3};
    end.info.peer = "127.0.0.1:5000";
    end.info.subprotocol = "chat";
    end.info.handler = "broadcast";
    end.info.age = 12'345ms;
    end.info.bytes_in = 1000;
    end.info.bytes_out = 2000;
    end.info.messages_in = 3;
    end.info.messages_out = 4;
    end.code = CloseCode::normal;
    end.opened = true;
    return end;
}

std::shared_ptr<wsd::Log> open_log(const std::string& file, LogLevel level) {
    auto log = wsd::Log::open({.level = level, .file = file});
    REQUIRE(log);
    return *std::move(log);
}

/// The lines of the log without their time.
std::vector<std::string> lines_of(const std::string& file) {
    std::ifstream lines{file};
    std::vector<std::string> result;
    for (std::string line; std::getline(lines, line);) result.push_back(line.substr(line.find(' ') + 1));
    return result;
}

/// What is logged for these ends.
std::vector<std::string> logged(const std::vector<ConnectionEnd>& ends, LogLevel level = LogLevel::debug) {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.path() + "/log";
    {
        wsd::ConnectionLog log{open_log(file, level)};
        for (const auto& end : ends) log.ended(end);
    }
    return lines_of(file);
}

ConnectionEnd refused() {
    ConnectionEnd end;
    end.info.peer = "[::1]:1";
    end.cause = "no";
    end.error = make_error_code(wsserver::Errc::origin_forbidden);
    end.target = "/.env";
    return end;
}

}  // namespace

TEST_CASE("the end of a connection is logged as one line with its traffic and cause", "[wsd][connection_log]") {
    CHECK(logged({ended()}) ==
          std::vector<std::string>{
              "info    connection ended id=1-2-3 peer=127.0.0.1:5000 subprotocol=chat handler=broadcast "
              "duration=12.345 bytes_in=1000 bytes_out=2000 messages_in=3 messages_out=4 code=1000"});
}

TEST_CASE("the peer's reason and the server's cause are logged, whatever they contain", "[wsd][connection_log]") {
    auto end = ended();
    end.code = CloseCode{4001};
    end.reason = "bye\nroot logged in";
    end.cause = "slow consumer: its send queue was full";
    end.info.dropped = 7;
    const auto lines = logged({end});
    REQUIRE(lines.size() == 1);
    CHECK(
        lines[0].ends_with("messages_out=4 dropped=7 code=4001 reason=\"bye\\nroot logged in\" "
                           "cause=\"slow consumer: its send queue was full\""));

    end.reason = end.cause;  // as the library reports an end without a Close frame
    CHECK(logged({end})[0].find("reason=") == std::string::npos);
}

TEST_CASE("a refused handshake is logged, a request for a page only at level debug", "[wsd][connection_log]") {
    ConnectionEnd page;
    page.cause = "answered a plain HTTP request";
    ConnectionEnd gone;
    gone.error = std::make_error_code(std::errc::connection_reset);

    const auto all = logged({refused(), page, gone});
    REQUIRE(all.size() == 3);
    CHECK(all[0] ==
          "info    opening handshake refused id=0-0-0 peer=[::1]:1 target=/.env duration=0.000 bytes_in=0 bytes_out=0 "
          "cause=no");
    CHECK(all[1].starts_with("debug   connection ended before it was open"));
    CHECK(all[2].starts_with("debug   connection ended before it was open"));
    CHECK(logged({refused(), page, gone}, LogLevel::info).size() == 1);
    CHECK(logged({ended(), refused(), page, gone}, LogLevel::warning).empty());
}

TEST_CASE("equal refusals of one address are one line and one sum", "[wsd][connection_log]") {
    auto full = refused();
    full.error = make_error_code(wsserver::Errc::too_many_connections);
    auto other = refused();
    other.info.peer = "192.0.2.1:1";
    const auto lines = logged({refused(), refused(), full, refused(), other});
    REQUIRE(lines.size() == 4);
    CHECK(lines[0].starts_with("info    opening handshake refused id=0-0-0 peer=[::1]:1 "));
    CHECK(lines[1].starts_with("info    opening handshake refused id=0-0-0 peer=[::1]:1 "));
    CHECK(lines[2].starts_with("info    opening handshake refused id=0-0-0 peer=192.0.2.1:1 "));
    CHECK(lines[3] == "info    more opening handshakes refused peer=::/64 count=2 seconds=10 cause=\"" +
                          make_error_code(wsserver::Errc::origin_forbidden).message() + "\"");
}

TEST_CASE("ends of open connections are never summed up", "[wsd][connection_log]") {
    CHECK(logged({ended(), ended(), ended()}).size() == 3);
}

TEST_CASE("Close frames, Pings, Pongs and drops are logged at level debug", "[wsd][connection_log]") {
    using Event = wsserver::ConnectionEvent;
    const wsserver::test::TemporaryFolder folder;
    for (const auto level : {LogLevel::debug, LogLevel::info}) {
        const auto file = folder.path() + "/" + std::to_string(static_cast<int>(level));
        {
            wsd::ConnectionLog log{open_log(file, level)};
            log.happened({Event::Kind::close_received, {1, 2, 3}, CloseCode{4001}, "bye\nforged"});
            log.happened({Event::Kind::close_sent, {1, 2, 3}, CloseCode::no_status});
            log.happened({.kind = Event::Kind::ping_received, .id = {1, 2, 3}, .count = 5});
            log.happened({.kind = Event::Kind::pong_received, .id = {1, 2, 3}, .count = 0});
            log.happened({.kind = Event::Kind::messages_dropped, .id = {1, 2, 3}, .count = 7});
        }
        const auto lines = lines_of(file);
        if (level == LogLevel::info) {
            CHECK(lines.empty());
            continue;
        }
        CHECK(lines == std::vector<std::string>{
                           "debug   Close frame received id=1-2-3 code=4001 reason=\"bye\\nforged\"",
                           "debug   Close frame sent id=1-2-3 code=1005", "debug   Ping received id=1-2-3 bytes=5",
                           "debug   Pong received id=1-2-3 bytes=0", "debug   messages dropped id=1-2-3 count=7"});
    }
}

TEST_CASE("each accepted client is logged at level debug, whatever it sends", "[wsd][connection_log]") {
    const wsserver::test::TemporaryFolder folder;
    const wsserver::RecordingConnection connection;
    wsserver::HttpRequest request;
    request.target = "/chat?room=7";
    request.fields = {{"Origin", "https://www.example.org"},
                      {"Sec-WebSocket-Protocol", "chat, news"},
                      {"User-Agent", "Mozilla/5.0 \"x\"\nforged"}};
    for (const auto level : {LogLevel::debug, LogLevel::info}) {
        const auto file = folder.path() + "/" + std::to_string(static_cast<int>(level));
        wsd::ConnectionLog{open_log(file, level)}.opened({connection, request, "chat", "broadcast"});
        const auto lines = lines_of(file);
        REQUIRE(lines.size() == (level == LogLevel::debug ? 1 : 0));
        if (lines.empty()) continue;
        CHECK(lines[0].starts_with("debug   connection opened id="));
        CHECK(
            lines[0].ends_with("target=\"/chat?room=7\" origin=https://www.example.org asked=\"chat, news\" "
                               "subprotocol=chat handler=broadcast agent=\"Mozilla/5.0 \\\"x\\\"\\nforged\""));
    }
}
