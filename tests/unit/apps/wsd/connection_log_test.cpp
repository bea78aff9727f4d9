#include "wsd/connection_log.hpp"

#include <fstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "wsserver/protocol/error.hpp"

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

/// The lines of the log without their time.
std::vector<std::string> logged(const std::vector<ConnectionEnd>& ends, LogLevel level = LogLevel::debug) {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.path() + "/log";
    {
        const auto log = wsd::Log::open({.level = level, .file = file});
        REQUIRE(log);
        for (const auto& end : ends) wsd::log_end(**log, end);
    }
    std::ifstream lines{file};
    std::vector<std::string> result;
    for (std::string line; std::getline(lines, line);) result.push_back(line.substr(line.find(' ') + 1));
    return result;
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
    ConnectionEnd refused;
    refused.info.peer = "[::1]:1";
    refused.cause = "no";
    refused.error = make_error_code(wsserver::Errc::origin_forbidden);
    ConnectionEnd page;
    page.cause = "answered a plain HTTP request";
    ConnectionEnd gone;
    gone.error = std::make_error_code(std::errc::connection_reset);

    const auto all = logged({refused, page, gone});
    REQUIRE(all.size() == 3);
    CHECK(all[0] ==
          "info    opening handshake refused id=0-0-0 peer=[::1]:1 duration=0.000 bytes_in=0 bytes_out=0 cause=no");
    CHECK(all[1].starts_with("debug   connection ended before it was open"));
    CHECK(all[2].starts_with("debug   connection ended before it was open"));
    CHECK(logged({refused, page, gone}, LogLevel::info).size() == 1);
    CHECK(logged({ended(), refused, page, gone}, LogLevel::warning).empty());
}
