#include "wsd/log.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "wsserver/base/bytes.hpp"
#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/utf8.hpp"

using wsd::Log;
using wsd::LogField;
using wsd::LogFormat;
using wsd::LogLevel;
using wsd::LogOptions;

namespace {

std::vector<std::string> lines_of(const std::string& path) {
    std::ifstream file{path};
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
}

std::unique_ptr<Log> open_log(const LogOptions& options) {
    auto log = Log::open(options);
    if (!log) FAIL(log.error());
    return *std::move(log);
}

std::string text(std::string_view value) { return wsd::text_line("m", std::array{LogField{"k", value}}); }
std::string json(std::string_view value) { return wsd::json_members("m", std::array{LogField{"k", value}}); }

}  // namespace

TEST_CASE("a value is quoted only if needed", "[wsd][log]") {
    CHECK(text("127.0.0.1:80") == "m k=127.0.0.1:80");
    CHECK(text("") == "m k=\"\"");
    CHECK(text("two words") == "m k=\"two words\"");
    CHECK(text("a=b") == "m k=\"a=b\"");
    CHECK(text("say \"x\\y\"") == "m k=\"say \\\"x\\\\y\\\"\"");
    CHECK(text("grün") == "m k=\"grün\"");
    const std::array numbers{LogField{"n", std::uint64_t{18446744073709551615u}}, LogField{"d", 1.25}};
    CHECK(wsd::text_line("m", numbers) == "m n=18446744073709551615 d=1.250");
    CHECK(wsd::json_members("m", numbers) == "\"message\":\"m\",\"n\":18446744073709551615,\"d\":1.250");
}

TEST_CASE("text from outside cannot forge a line, a field or a terminal command", "[wsd][log]") {
    CHECK(text("x\nfake line") == "m k=\"x\\nfake line\"");
    CHECK(text("x\r\x1b[2J\x7f") == "m k=\"x\\x0d\\x1b[2J\\x7f\"");
    CHECK(text(std::string_view{"\0", 1}) == "m k=\"\\x00\"");
    CHECK(text("\xc2\x9b"
               "31m") == "m k=\"\\u009b31m\"");                             // C1: the one-character form of ESC [
    CHECK(text("\xe2\x80\xa8 \xe2\x80\xae") == "m k=\"\\u2028 \\u202e\"");  // a line separator, an override
    CHECK(text("\xff\xc3 \xed\xa0\x80") == "m k=\"\\xff\\xc3 \\xed\\xa0\\x80\"");
    CHECK(wsd::text_line("a\nb\x1b", {}) == "a\\nb\\x1b");

    CHECK(json("x\n\"y\"\\\x1b") == R"("message":"m","k":"x\n\"y\"\\\u001b")");
    CHECK(json("\xff\xc2\x9b\xe2\x80\xae") == R"("message":"m","k":"\ufffd\u009b\u202e")");
    CHECK(json("grün 🙂") == "\"message\":\"m\",\"k\":\"grün 🙂\"");
}

TEST_CASE("every byte and pair of bytes stays on one line, and JSON stays UTF-8", "[wsd][log]") {
    for (unsigned pair = 0; pair < 0x10000; ++pair) {
        const std::string value{static_cast<char>(pair >> 8), static_cast<char>(pair & 0xFF)};
        for (const auto& line : {text(value), json(value)}) {
            const bool clean = std::none_of(line.begin(), line.end(), [](char c) {
                const auto byte = static_cast<unsigned char>(c);
                return byte < 0x20 || byte == 0x7F;
            });
            if (!clean) FAIL("pair " << pair);
            if (!wsserver::is_valid_utf8(wsserver::bytes_of(json(value)))) FAIL("pair " << pair);
        }
    }
}

TEST_CASE("a line has time, level, message and fields", "[wsd][log]") {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.path() + "/wsd.log";
    {
        const auto log = open_log({.file = file});
        log->info("hello", {{"peer", std::string_view{"a b"}}, {"bytes", std::uint64_t{5}}});
        log->warning("careful");
    }
    const auto lines = lines_of(file);
    REQUIRE(lines.size() == 2);
    const std::string time = R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d )";
    CHECK(std::regex_match(lines[0], std::regex{time + R"(info    hello peer="a b" bytes=5)"}));
    CHECK(std::regex_match(lines[1], std::regex{time + "warning careful"}));
    CHECK((std::filesystem::status(file).permissions() & std::filesystem::perms::others_all) ==
          std::filesystem::perms::none);
}

TEST_CASE("in JSON each line is one object", "[wsd][log]") {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.path() + "/wsd.log";
    {
        const auto log = open_log({.format = LogFormat::json, .file = file});
        log->error("it \"broke\"", {{"code", std::uint64_t{1006}}, {"cause", std::string_view{"x\ny"}}});
    }
    const auto lines = lines_of(file);
    REQUIRE(lines.size() == 1);
    CHECK(std::regex_match(
        lines[0],
        std::regex{
            R"(\{"time":"\d{4}-[^"]+","level":"error","message":"it \\"broke\\"","code":1006,"cause":"x\\ny"\})"}));
}

TEST_CASE("the level filters lines and can change at run time", "[wsd][log]") {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.path() + "/wsd.log";
    {
        const auto log = open_log({.level = LogLevel::warning, .file = file});
        log->info("1");
        log->warning("2");
        log->set_level(LogLevel::debug);
        CHECK(log->is_on(LogLevel::debug));
        log->debug("3");
        log->set_level(LogLevel::error);
        log->warning("4");
        log->error("5");
    }
    std::string seen;
    for (const auto& line : lines_of(file)) seen += line.back();
    CHECK(seen == "235");
}

TEST_CASE("reopen leaves a file that was moved and creates a new one", "[wsd][log]") {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.path() + "/wsd.log";
    auto log = open_log({.file = file});
    for (int i = 0; i < 1000; ++i) log->info("before");
    std::filesystem::rename(file, file + ".1");
    REQUIRE(log->reopen());
    log->info("after");
    log.reset();
    REQUIRE(lines_of(file).size() == 1);
    CHECK(lines_of(file)[0].ends_with("after"));
    // Every line is in the right file, although another thread writes them.
    REQUIRE(lines_of(file + ".1").size() == 1000);
    for (const auto& line : lines_of(file + ".1")) CHECK(line.ends_with("before"));
}

TEST_CASE("an error names the file that cannot be opened, and the old one stays", "[wsd][log]") {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.path() + "/wsd.log";
    const auto nowhere = folder.path() + "/no/where.log";
    const auto failed = Log::open({.file = nowhere});
    REQUIRE(!failed);
    CHECK(failed.error() == "the log file " + nowhere + " cannot be opened: No such file or directory");
    {
        const auto log = open_log({.file = file});
        REQUIRE(!log->reconfigure({.level = LogLevel::error, .file = nowhere}));
        CHECK(log->level() == LogLevel::info);
        log->info("still here");
    }
    CHECK(lines_of(file).size() == 1);
}

namespace {

/// Root with the rights of another user, while it exists.
class AsUser {
   public:
    explicit AsUser(const passwd& user) {
        REQUIRE(::setegid(user.pw_gid) == 0);
        REQUIRE(::seteuid(user.pw_uid) == 0);
    }
    ~AsUser() {
        if (::seteuid(0) != 0 || ::setegid(0) != 0) std::abort();
    }
    AsUser(const AsUser&) = delete;
    AsUser& operator=(const AsUser&) = delete;
};

}  // namespace

TEST_CASE("a file that only root can create is not refused again, and the error has root's command", "[wsd][log]") {
    const auto* const user = ::getpwnam("daemon");
    if (::geteuid() != 0 || user == nullptr) return;
    const wsserver::test::TemporaryFolder folder;
    REQUIRE(::chmod(folder.path().c_str(), 0755) == 0);
    const auto file = folder.path() + "/wsd.log", other = folder.path() + "/other.log";
    auto log = open_log({.file = file});
    std::filesystem::remove(file);  // as if the disk had been full
    const auto error_about = [](const std::string& path) {
        return "the log file " + path +
               " cannot be opened: Permission denied; as root: install -o daemon -m 640 /dev/null " + path;
    };
    {
        const AsUser without_rights{*user};
        CHECK(log->check({.file = file}));
        const auto done = log->reconfigure({.level = LogLevel::debug, .file = file});
        REQUIRE(!done);
        CHECK(done.error() == error_about(file));
        CHECK(log->level() == LogLevel::debug);
        const auto refused = log->check({.file = other});
        REQUIRE(!refused);
        CHECK(refused.error() == error_about(other));
    }
    REQUIRE(std::system(("install -o daemon -m 640 /dev/null " + file).c_str()) == 0);
    {
        const AsUser without_rights{*user};
        REQUIRE(log->reconfigure({.file = file}));
    }
    log->info("after");
    log.reset();
    CHECK(lines_of(file).size() == 1);
}

TEST_CASE("root follows no link in a folder of another user", "[wsd][log]") {
    if (::geteuid() != 0) return;  // any other user may write where it may write
    const wsserver::test::TemporaryFolder folder;
    const std::string theirs = folder.path() + "/theirs";
    const std::string secret = folder.path() + "/secret";
    std::ofstream{secret} << "x";
    std::filesystem::create_directory(theirs);
    std::filesystem::create_symlink(secret, theirs + "/link.log");
    std::filesystem::create_hard_link(secret, theirs + "/name.log");
    std::filesystem::create_symlink(secret, folder.path() + "/own.log");
    REQUIRE(::chown(theirs.c_str(), 65534, 65534) == 0);
    for (const char* name : {"/link.log", "/name.log"}) {
        LogOptions options;
        options.file = theirs + name;
        const auto log = Log::open(options);
        REQUIRE_FALSE(log);
        CHECK(log.error().starts_with("the log file " + options.file + " cannot be opened: it "));
    }
    LogOptions options;
    options.file = theirs + "/plain.log";
    CHECK(Log::open(options));
    options.file = folder.path() + "/own.log";  // only root could have put it there
    CHECK(Log::open(options));
}

TEST_CASE("no line is lost or torn while format and file change under many threads", "[wsd][log]") {
    const wsserver::test::TemporaryFolder folder;
    const std::array files{folder.path() + "/a.log", folder.path() + "/b.log"};
    constexpr int writers = 4;
    constexpr int each = 500;
    {
        const auto log = open_log({.file = files[0]});
        std::vector<std::thread> threads;
        for (int writer = 0; writer < writers; ++writer) {
            threads.emplace_back([&log, writer] {
                for (int i = 0; i < each; ++i) {
                    log->info("line", {{"writer", static_cast<std::uint64_t>(writer)}, {"pad", std::string(300, 'x')}});
                }
            });
        }
        for (std::size_t i = 1; i <= 50; ++i) {
            REQUIRE(log->reconfigure({.format = i % 2 == 0 ? LogFormat::text : LogFormat::json, .file = files[i % 2]}));
        }
        for (auto& thread : threads) thread.join();
        CHECK(log->lost() == 0);
    }
    std::size_t count = 0;
    const std::regex as_text{R"(\S+ info    line writer=\d pad=x{300})"};
    const std::regex as_json{R"(\{"time":"\S+","level":"info","message":"line","writer":\d,"pad":"x{300}"\})"};
    for (const auto& file : files) {
        for (const auto& line : lines_of(file)) {
            ++count;
            if (!std::regex_match(line, as_text) && !std::regex_match(line, as_json)) FAIL(line);
        }
    }
    CHECK(count == writers * each);
}

TEST_CASE("a full disk blocks no writer, and lost lines are counted", "[wsd][log]") {
    if (!std::filesystem::exists("/dev/full")) return;
    const auto log = open_log({.file = "/dev/full"});
    for (int i = 0; i < 10; ++i) log->info("lost");
    while (log->lost() < 10) std::this_thread::yield();
    CHECK(log->lost() == 10);
}

TEST_CASE("a pipe without a reader blocks no writer, and the log reports lost lines later", "[wsd][log]") {
    const wsserver::test::TemporaryFolder folder;
    const auto path = folder.path() + "/pipe";
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    wsserver::Descriptor reader{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    REQUIRE(reader);

    auto log = open_log({.file = path});
    const std::string pad(1000, 'x');
    // Far more than a pipe and the queue hold: every call returns although no byte is read.
    for (int i = 0; i < 20'000; ++i) log->info("flood", {{"pad", std::string_view{pad}}});
    while (log->lost() == 0) std::this_thread::yield();

    std::string read;
    const auto read_all = [&] {
        std::array<char, 65536> buffer{};
        for (ssize_t size = 0; (size = ::read(reader.get(), buffer.data(), buffer.size())) > 0;) {
            read.append(buffer.data(), static_cast<std::size_t>(size));
        }
    };
    const auto has = [&](std::string_view part) { return read.find(part) != std::string::npos; };
    while (!has("warning log lines were lost lines=") || !has("info    again\n")) {
        read_all();
        log->info("again");
    }
    log.reset();
    read_all();
    std::istringstream lines{read};
    for (std::string line; std::getline(lines, line);) {
        if (!std::regex_match(line, std::regex{R"(\S+ (info    (flood pad=x{1000}|again)|warning log .* lines=\d+))"}))
            FAIL(line);
    }
}

TEST_CASE("a named pipe without a reader is an error, not a wait", "[wsd][log]") {
    const wsserver::test::TemporaryFolder folder;
    const auto path = folder.path() + "/pipe";
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    const auto log = Log::open({.file = path});
    REQUIRE(!log);
    CHECK(log.error() == "the log file " + path + " cannot be opened: No such device or address");
}
