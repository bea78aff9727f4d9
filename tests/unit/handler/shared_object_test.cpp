#include "wsserver/handler/shared_object.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <latch>
#include <mutex>
#include <thread>

#include "support/catch.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"
#include "wsserver/handler.hpp"
#include "wsserver/handler/handlers.hpp"
#include "wsserver/testing.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

std::string module_path(const std::string& name) { return std::string{WSSERVER_TEST_MODULES} + "/" + name + ".so"; }

/// A temporary directory. The destructor removes it.
class Directory {
   public:
    Directory() {
        std::string pattern = (fs::temp_directory_path() / "wsserver-test-XXXXXX").string();
        if (!::mkdtemp(pattern.data())) throw std::runtime_error{"no temporary directory"};
        path_ = pattern;
    }
    ~Directory() { fs::remove_all(path_); }
    std::string operator/(const std::string& name) const { return (path_ / name).string(); }

   private:
    fs::path path_;
};

std::string read_file(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

void write_file(const std::string& path, const std::string& content) {
    std::ofstream{path, std::ios::binary | std::ios::trunc} << content;
    fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
}

bool is_mapped(const std::string& name) { return read_file("/proc/self/maps").find(name) != std::string::npos; }

std::size_t open_descriptors() {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator{"/proc/self/fd"}, fs::directory_iterator{}));
}

std::shared_ptr<AnyHandler> load(const std::string& path, std::string_view config = {}, HandlerLog log = {},
                                 std::string_view name = {}) {
    auto handler = load_handler(path, name, config, std::move(log));
    if (!handler) FAIL(handler.error());
    return *handler;
}

/// The part of the error after the path, with which every error begins.
std::string error_of(const std::string& path, std::string_view config = {}) {
    CAPTURE(path);
    const auto handler = load_handler(path, {}, config);
    REQUIRE_FALSE(handler);
    const auto start = "handler '" + path + "': ";
    REQUIRE(handler.error().starts_with(start));
    CHECK(handler.error().find('\n') == std::string::npos);
    return handler.error().substr(start.size());
}

/// Records the log entries of a handler: `info probe: create[]`.
class Log {
   public:
    HandlerLog log() {
        return [this](LogLevel level, std::string_view name, std::string_view text) {
            constexpr const char* levels[] = {"debug ", "info ", "warning ", "error "};
            const std::lock_guard lock(mutex_);
            lines_.push_back(levels[static_cast<int>(level)] + std::string{name} + ": " + std::string{text});
        };
    }
    Strings take() {
        const std::lock_guard lock(mutex_);
        return std::exchange(lines_, {});
    }

   private:
    std::mutex mutex_;
    Strings lines_;
};

CommandAnswer command(AnyHandler& handler, std::vector<std::string> words, std::string_view payload = {}) {
    return handler.on_command(words, bytes_of(payload));
}

/// A hub whose reports a test can withhold, delay or make fail.
class ReportingHub final : public RecordingHub {
   public:
    std::function<void(Completion done)> on_report{};

   private:
    void report(Completion done) override {
        on_report ? on_report(std::move(done)) : RecordingHub::report(std::move(done));
    }
};

/// Passes a message to the handler and returns the calls that the handler made.
Strings say(AnyHandler& handler, RecordingConnection& connection, std::string_view text) {
    handler.on_message(connection, Text{text});
    return std::exchange(connection.calls, {});
}

std::string thrown_by(const std::function<void()>& f) {
    try {
        f();
    } catch (const std::runtime_error& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("the example in C counts messages", "[shared_object]") {
    const auto counter = load(module_path("handler_counter"));
    CHECK(counter->name() == "counter");
    CHECK(counter->runs() == Runs::inline_);
    RecordingConnection one, two;
    counter->on_open(one);
    counter->on_open(two);
    counter->on_message(one, Text{"a"});
    counter->on_message(one, Binary{bytes_of("b")});
    counter->on_message(two, Text{""});
    CHECK(one.calls == Strings{"text 1", "text 2"});
    CHECK(two.calls == Strings{"text 1"});
    CHECK(command(*counter, {"total"}).output == "3\n");
    CHECK(command(*counter, {"total"}).ok);
    CHECK_FALSE(command(*counter, {"totals"}).ok);
    CHECK(command(*counter, {}).output == "the counter knows one word: total\n");
    counter->on_close(one, Close{});
    counter->on_close(two, Close{});
    CHECK(one.user_data() == nullptr);
}

TEST_CASE("the example in C counts messages on many threads", "[shared_object]") {
    const auto counter = load(module_path("handler_counter"));
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            RecordingConnection connection;
            counter->on_open(connection);
            for (int k = 0; k < 1000; ++k) counter->on_message(connection, Text{"x"});
            counter->on_close(connection, Close{});
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(command(*counter, {"total"}).output == "4000\n");
}

TEST_CASE("the example in C++ keeps rooms apart", "[shared_object]") {
    const auto rooms = load(module_path("handler_rooms"));
    CHECK(rooms->name() == "Rooms");
    const auto hub = std::make_shared<RecordingHub>();
    RecordingConnection ann{hub, {0, 1, 1}, "chat", "/lobby"}, bob{hub, {0, 2, 1}, "chat", "/lobby"};
    RecordingConnection eve{hub, {1, 1, 1}, "chat", "/kitchen"};
    for (auto* one : {&ann, &bob, &eve}) rooms->on_open(*one);
    CHECK(command(*rooms, {"rooms"}).output == "1 /kitchen\n2 /lobby\n");

    rooms->on_message(ann, Text{"hi"});
    CHECK(std::exchange(hub->calls, {}) == Strings{"send 0-2-1 text hi"});
    rooms->on_message(eve, Text{"anybody?"});
    CHECK(hub->calls.empty());
    rooms->on_message(ann, Binary{});
    CHECK(ann.calls == Strings{"close 1003 the handler takes no messages of this type"});

    rooms->on_close(bob, Close{});
    rooms->on_message(ann, Text{"still there?"});
    CHECK(hub->calls.empty());
    rooms->on_close(ann, Close{});
    CHECK(command(*rooms, {"rooms"}).output == "1 /kitchen\n");
    CHECK_FALSE(command(*rooms, {"people"}).ok);
}

TEST_CASE("an operator's path is loaded", "[shared_object]") {
    const auto handler = make_handler_of(module_path("handler_counter"), "counter");
    REQUIRE(handler);
    CHECK((*handler)->name() == "counter");
    CHECK(load(module_path("handler_counter"), {}, {}, "mine")->name() == "mine");
}

TEST_CASE("each function of the host works", "[shared_object]") {
    Log log;
    auto probe = load(module_path("probe"), "x = 1", log.log());
    CHECK(log.take() == Strings{"info probe: create[x = 1]"});
    CHECK(probe->runs() == Runs::pooled);
    auto hub = std::make_shared<RecordingHub>();
    RecordingConnection connection{hub, {0, 1, 1}, "chat", "/room?a=b"};

    SECTION("its reactions") {
        probe->on_open(connection);
        CHECK(log.take() ==
              Strings{"info probe: open[chat]", "info probe: open[127.0.0.1:5000]", "info probe: open[/room?a=b]"});
        probe->on_message(connection, Binary{bytes_of("b")});
        probe->on_ping(connection, Ping{bytes_of("p")});
        probe->on_pong(connection, Pong{bytes_of("")});
        probe->on_close(connection, Close{CloseCode::going_away, "line\nend"});
        CHECK(log.take() == Strings{"info probe: binary[b]", "info probe: ping[p]", "info probe: pong[]",
                                    "info probe: close[line\\nend]"});
    }
    SECTION("functions for its connection") {
        probe->on_open(connection);
        CHECK(say(*probe, connection, "text hi") == Strings{"text hi", "text =0"});
        CHECK(say(*probe, connection, "binary hi") == Strings{"binary hi", "text =0"});
        CHECK(say(*probe, connection, "ping hi") == Strings{"ping hi", "text =0"});
        CHECK(say(*probe, connection, "close hi") == Strings{"close 4001 hi", "text =0"});
        CHECK(say(*probe, connection, "nothing") == Strings{"text", "text =0"});
        CHECK(say(*probe, connection, "data") == Strings{"text =1"});
    }
    SECTION("parameters of its path") {
        connection.parameters = {{"room", "caf\u00e9/1"}, {"empty", ""}};
        CHECK(say(*probe, connection, "parameter room") == Strings{"text caf\u00e9/1", "text =0"});
        CHECK(say(*probe, connection, "parameter empty") == Strings{"text", "text =0"});
        CHECK(say(*probe, connection, "parameter roo") == Strings{"text =100"});
    }
    SECTION("text that is not UTF-8 is refused") {
        CHECK(say(*probe, connection, "bad-utf8") == Strings{"text =3"});
        CHECK(say(*probe, connection, "text \xFF") == Strings{"text =3"});
        CHECK(say(*probe, connection, "close \xFF") == Strings{"text =3"});
        probe->on_open(connection);
        CHECK(command(*probe, {"text"}, "\xFF").output == "=3");
        CHECK(command(*probe, {"close"}, "\xFF").output == "=3");
        log.take();
        CHECK(command(*probe, {"all-text"}, "\xFF").output == "=3");
        CHECK(command(*probe, {"close-all"}, "\xFF").output == "=3");
        CHECK(log.take() == Strings{"info probe: counted[0]", "info probe: counted[0]"});
        CHECK(hub->calls.empty());
    }
    SECTION("each status is returned") {
        int number = 0;
        for (const auto status : {SendStatus::queued, SendStatus::dropped, SendStatus::closed, SendStatus::refused}) {
            connection.status = status;
            CHECK(say(*probe, connection, "text hi").back() == "text =" + std::to_string(number++));
        }
    }
    SECTION("functions for any connection") {
        probe->on_open(connection);
        log.take();
        for (const char* word : {"text", "binary", "ping"}) CHECK(command(*probe, {word}, "hi").output == "=0");
        CHECK(command(*probe, {"close"}, "why").output == "=0");
        CHECK(std::exchange(hub->calls, {}) ==
              Strings{"send 0-1-1 text hi", "send 0-1-1 binary hi", "ping 0-1-1 hi", "close 0-1-1 1001 why"});

        hub->receivers = 5;
        CHECK(command(*probe, {"all-text"}, "hi").output == "=0");
        CHECK(command(*probe, {"all-text", ""}, "hi").output == "=0");
        CHECK(command(*probe, {"all-binary", "chat"}, "hi").output == "=0");
        CHECK(command(*probe, {"ping-all"}).output == "=0");
        CHECK(command(*probe, {"close-all"}, "bye").output == "=0");
        CHECK(hub->calls == Strings{"broadcast all except 0-1-1 text hi", "broadcast  except 0-1-1 text hi",
                                    "broadcast chat binary hi", "ping_all", "close_all 1001 bye"});
        CHECK(log.take() == Strings(4, "info probe: counted[5]"));
        CHECK(command(*probe, {"close-badly"}).output == "=3");
        CHECK(log.take() == Strings{"info probe: counted[0]"});
    }
    SECTION("no connection is reached before the first on_open") {
        CHECK(command(*probe, {"text"}, "hi").output == "=2");
        CHECK(command(*probe, {"all-text"}, "hi").output == "=2");
        CHECK(log.take() == Strings{"info probe: counted[0]"});
    }
    SECTION("no connection is reached after the server is gone") {
        {
            RecordingConnection short_lived;
            probe->on_open(short_lived);
        }
        CHECK(command(*probe, {"text"}, "hi").output == "=2");
    }
    SECTION("the error of a failed reaction") {
        CHECK(thrown_by([&] { say(*probe, connection, "fail"); }) == "probe: on_text: it returned 7");
        CHECK(thrown_by([&] { say(*probe, connection, "fail no\ndatabase"); }) == "probe: on_text: no\ndatabase");
        CHECK(thrown_by([&] { say(*probe, connection, "fail"); }) == "probe: on_text: it returned 7");
        const auto answer = command(*probe, {"fail"}, "no database");
        CHECK_FALSE(answer.ok);
        CHECK(answer.output == "probe: on_command: no database");
        // As the handler wrote it. It is escaped where it is printed, once.
        CHECK(command(*probe, {"fail"}, "no\ndatabase").output == "probe: on_command: no\ndatabase");
    }
    SECTION("a broadcast in destroy() reports 0") {
        probe->on_open(connection);
        log.take();
        probe.reset();
        CHECK(log.take() == Strings{"info probe: destroy[2 told 100]"});
        CHECK(hub->calls == Strings{"broadcast all text bye"});
    }
}

TEST_CASE("a pending count keeps the code in memory", "[shared_object]") {
    Log log;
    const Directory directory;
    fs::copy_file(module_path("probe"), directory / "lasting.so");
    auto probe = load(directory / "lasting.so", {}, log.log());
    const auto hub = std::make_shared<ReportingHub>();
    {
        RecordingConnection connection{hub};
        probe->on_open(connection);
    }
    Completion withheld;
    hub->on_report = [&](Completion done) { withheld = std::move(done); };
    command(*probe, {"ping-all"});
    log.take();
    hub->on_report = nullptr;
    probe.reset();
    CHECK(is_mapped("lasting.so"));
    CHECK(log.take().empty());
    withheld(7);  // the thread does not wait for the end of the handler
    while (is_mapped("lasting.so")) std::this_thread::yield();
    CHECK(log.take() == Strings{"info probe: counted[7]", "info probe: destroy[2 told 100]"});
}

TEST_CASE("a count is reported even if its request fails", "[shared_object]") {
    Log log;
    auto probe = load(module_path("probe"), {}, log.log());
    const auto hub = std::make_shared<ReportingHub>();
    RecordingConnection connection{hub};
    probe->on_open(connection);
    log.take();
    hub->on_report = [](const Completion&) { throw std::bad_alloc{}; };
    CHECK(command(*probe, {"ping-all"}).output == "=1");
    CHECK(log.take() == Strings{"info probe: counted[0]"});
}

TEST_CASE("a handler ends even if a broadcast of its own thread is its last owner", "[shared_object]") {
    load(module_path("broadcaster"))
        .reset();  // first, because the loader keeps some descriptors open after its first use
    const auto before = open_descriptors();
    std::latch is_asked{1}, handler_is_left{1};
    const auto hub = std::make_shared<ReportingHub>();
    hub->on_report = [&](Completion done) {
        is_asked.count_down();
        handler_is_left.wait();
        done(0);
    };
    RecordingConnection connection{hub};
    auto broadcaster = load(module_path("broadcaster"));
    broadcaster->on_open(connection);
    is_asked.wait();
    broadcaster.reset();
    CHECK(is_mapped("wsserver-handler-broadcaster.so"));
    handler_is_left.count_down();
    while (open_descriptors() != before) std::this_thread::yield();
    CHECK_FALSE(is_mapped("wsserver-handler-broadcaster.so"));
}

TEST_CASE("the C++ interface passes each call and result unchanged", "[shared_object]") {
    Log log;
    const auto mirror = load(module_path("mirror_1"), "a = b", log.log(), "m");
    CHECK(log.take() == Strings{"info m: hello", "warning m: careful\\n", "error m: oh"});
    CHECK(mirror->runs() == Runs::pooled);
    CHECK(command(*mirror, {"config"}).output == "a = b");
    CHECK(command(*mirror, {"payload"}, std::string_view{"\0x", 2}).output == std::string_view{"\0x", 2});
    CHECK_FALSE(command(*mirror, {}).ok);

    const auto hub = std::make_shared<RecordingHub>();
    RecordingConnection connection{hub, {65535, 4294967295, 4294967295}, "chat"};
    mirror->on_open(connection);
    CHECK(connection.user_data() != nullptr);
    connection.status = SendStatus::dropped;
    mirror->on_message(connection, Text{"hi"});
    CHECK(connection.calls == Strings{"text hi", "binary dropped", "ping p", "close 4000 /"});
    const std::string id = "65535-4294967295-4294967295";
    CHECK(std::exchange(hub->calls, {}) == Strings{"broadcast chat except " + id + " text hi",
                                                   "send " + id + " text 127.0.0.1:5000", "send " + id + " binary hi",
                                                   "ping " + id + " q", "close " + id + " 1001 r"});

    hub->receivers = 3;
    for (const char* word : {"text", "binary", "ping", "close"}) command(*mirror, {word}, "x");
    CHECK(hub->calls == Strings{"broadcast all text x", "broadcast all binary x", "ping_all", "close_all 1001 x"});
    CHECK(log.take() == Strings(4, "info m: 3"));
}

TEST_CASE("a shared object serves a path and reads its parameters", "[shared_object]") {
    wsserver::MemoryServer server;
    server.handle_path("/rooms/{room}", {}, load(module_path("probe"), {}, [](auto, auto, auto) {}));
    server.handle_path("/classes/{room}", {}, load(module_path("rooms_of_paths")));
    auto client = server.connect("/rooms/a%2Fb");
    client.send("parameter room");
    client.expect("text a/b");
    client.expect("text =0");
    client.send("parameter x");
    client.expect("text =100");
    server.connect("/classes/blue").expect("text room blue, no door");
}

TEST_CASE("a class in a shared object has data of its own for each connection", "[shared_object]") {
    const auto handler = load(module_path("tally"));
    const auto alive = [&] { return command(*handler, {"alive"}).output; };
    wsserver::MemoryServer server;
    server.handle("", handler);
    auto first = server.connect("/first"), second = server.connect("/second");
    CHECK(alive() == "2");
    first.send("x");
    first.expect("text /first 1");
    second.send("x");
    second.expect("text /second 1");
    first.send("x");
    first.expect("text /first 2");
    first.close();
    CHECK(alive() == "1");
    second.disconnect();
    CHECK(alive() == "0");

    auto bad = server.connect("/bad");
    bad.expect("close 1011");
    CHECK(server.ends().back().cause == "the handler threw: Tally: on_open: a bad target");
    CHECK(alive() == "0");
}

TEST_CASE("a class in a shared object has no parameters from an older server", "[shared_object]") {
    wsserver_host older{};
    older.size = offsetof(wsserver_host, parameter);
    const std::shared_ptr<Hub> no_hub;
    const wsserver::detail::HostConnection connection{older, no_hub, nullptr};
    CHECK_FALSE(connection.parameter("room"));
}

TEST_CASE("a class in a shared object has no rooms, users and calls from an older server", "[shared_object]") {
    wsserver_host older{};
    older.size = offsetof(wsserver_host, upgrade_set_user);
    const auto hub = std::make_shared<wsserver::detail::HostHub>(older);
    const std::shared_ptr<Hub> any_hub = hub;
    wsserver::detail::HostConnection connection{older, any_hub, nullptr};
    CHECK(connection.join("lobby") == SendStatus::refused);
    CHECK(connection.leave("lobby") == SendStatus::refused);
    CHECK(connection.rooms().empty());
    CHECK(connection.user().empty());
    CHECK(connection.set_user("ann") == SendStatus::refused);
    CHECK_FALSE(connection.request_field("Cookie"));
    CHECK(connection.queued() == 0);
    CHECK(connection.has_space());
    CHECK(connection.send_waiting("x") == SendStatus::refused);
    CHECK(connection.pause_receiving() == SendStatus::refused);
    CHECK(connection.resume_receiving() == SendStatus::refused);
    CHECK(hub->join({}, "lobby") == SendStatus::refused);
    CHECK(hub->post({}, [](AnyConnection&) {}) == SendStatus::refused);
    std::size_t told = 9;
    CHECK(hub->broadcast({.room = "lobby"}, "x", [&told](std::size_t count) { told = count; }) == SendStatus::refused);
    CHECK(told == 0);
}

TEST_CASE("a shared object in C has rooms, users and flow control", "[shared_object]") {
    auto clerk = load(module_path("clerk"));
    auto hub = std::make_shared<RecordingHub>();
    RecordingConnection connection{hub, {0, 1, 1}, "chat"};
    clerk->on_open(connection);
    CHECK(say(*clerk, connection, "join lobby") == Strings{"join lobby", "text =0"});
    CHECK(say(*clerk, connection, "join bar") == Strings{"join bar", "text =0"});
    CHECK(say(*clerk, connection, "join ") == Strings{"text =3"});
    CHECK(say(*clerk, connection, "rooms") == Strings{"text bar", "text lobby", "text =2"});
    CHECK(say(*clerk, connection, "leave bar") == Strings{"leave bar", "text =0"});
    CHECK(say(*clerk, connection, "rooms") == Strings{"text lobby", "text =1"});
    CHECK(say(*clerk, connection, "set-user ann") == Strings{"user ann", "text =0"});
    CHECK(say(*clerk, connection, "user") == Strings{"text ann", "text =0"});
    connection.request_fields = {{"Cookie", "a=b"}, {"Empty", ""}};
    CHECK(say(*clerk, connection, "field Cookie") == Strings{"text a=b", "text =0"});
    CHECK(say(*clerk, connection, "field Empty") == Strings{"text", "text =0"});
    CHECK(say(*clerk, connection, "field Other") == Strings{"text =100"});
    connection.queued_bytes = 77;
    connection.with_space = false;
    CHECK(say(*clerk, connection, "queued") == Strings{"text =77"});
    CHECK(say(*clerk, connection, "space") == Strings{"text =0"});
    CHECK(say(*clerk, connection, "waiting x") == Strings{"text x", "binary x", "text =0"});
    CHECK(say(*clerk, connection, "pause") == Strings{"pause", "text =0"});
    CHECK(say(*clerk, connection, "resume") == Strings{"resume", "text =0"});
    CHECK(clerk->wants_drained());
    clerk->on_drained(connection);
    CHECK(connection.calls.back() == "text drained");
    CHECK_FALSE(load(module_path("probe"))->wants_drained());

    hub->queued_bytes = 2048;
    hub->receivers = 4;
    CHECK(command(*clerk, {"add", "bar"}).output == "=0");
    CHECK(command(*clerk, {"remove", "bar"}).output == "=0");
    CHECK(command(*clerk, {"user", "bob"}).output == "=0");
    CHECK(command(*clerk, {"queued"}).output == "=2048");
    CHECK(command(*clerk, {"pause"}).output == "=0");
    CHECK(command(*clerk, {"resume"}).output == "=0");
    CHECK(command(*clerk, {"each"}, "x").output == "=0 of 4");
    CHECK(command(*clerk, {"room", "lobby"}, "x").output == "=0 of 4");
    CHECK(command(*clerk, {"to-user", "ann"}, "x").output == "=0 of 4");
    CHECK(hub->calls == Strings{"join 0-1-1 bar", "leave 0-1-1 bar", "user 0-1-1 bob", "pause 0-1-1", "resume 0-1-1",
                                "send 0-1-1 0-2-1 text x", "send 0-1-1 binary x",
                                "broadcast room lobby except 0-1-1 text x",
                                "broadcast user ann subprotocol chat binary x"});
}

TEST_CASE("a call of a shared object is made exactly once, or freed", "[shared_object]") {
    auto clerk = load(module_path("clerk"));
    const auto alive = [&] { return command(*clerk, {"alive"}).output; };
    CHECK(command(*clerk, {"post"}, "x").output == "=2");  // no server
    CHECK(alive() == "=0");
    {
        wsserver::MemoryServer server;
        server.handle("", clerk);
        auto client = server.connect("/?user=ann"), other = server.connect();
        client.send("user");
        CHECK(client.received() == Strings{"text ann", "text =0"});
        client.send("post hello");
        CHECK(client.received() == Strings{"text =0", "text hello"});
        client.send("nothing");
        CHECK(client.received() == Strings{"text =3"});
        client.send("later bye");
        client.send("later lost");
        other.send("later lost, too");
        CHECK(alive() == "=3");
        server.advance(900ms);
        other.disconnect();
        CHECK(alive() == "=2");
        server.advance(200ms);
        CHECK(client.received() == Strings{"text =0", "text =0", "text bye", "text lost"});
        client.send("later never");
        client.send("post fail");
        client.expect("text =0");
        client.expect("text =0");
        client.expect("close 1011");
        CHECK(server.ends().back().cause == "the handler threw: clerk: a posted call: it was told to");
        auto last = server.connect();
        last.send("later never");
        CHECK(alive() == "=1");
    }
    CHECK(alive() == "=0");
}

TEST_CASE("a shared object in C is told when its client has taken what waited", "[shared_object]") {
    ServerOptions options;
    options.connection.send_queue.high_mark = 10'000;
    wsserver::MemoryServer server{options};
    server.handle("", load(module_path("clerk")));
    test::WireClient client{server.wire()};
    client.wire().write(test::upgrade_request());
    server.run();
    (void)client.read_response();
    client.wire().set_window(1000);
    const auto ask = [&](const std::string& words) {
        client.send(words);
        server.run();
        return client.read();
    };
    CHECK(ask("space") == Strings{"text =1"});
    CHECK(ask("post " + std::string(20'000, 'x')) == Strings{"text =0"});
    client.wire().set_window(1'000'000);
    server.run();
    CHECK(client.read() == Strings{"text " + std::string(20'000, 'x'), "text drained"});
    CHECK(ask("queued") == Strings{"text =0"});
}

TEST_CASE("a class in a shared object has rooms, users, flow control and calls", "[shared_object]") {
    ServerOptions options;
    options.kept_fields = {"Cookie"};
    wsserver::MemoryServer server{options};
    server.handle("", load(module_path("society")));
    ClientRequest request;
    request.target = "/?user=ann";
    request.fields = {{"Cookie", "a=b"}};
    auto ann = server.connect(request), bob = server.connect("/?user=bob");
    const auto ask = [](MemoryClient& client, std::string_view what) {
        client.send(what);
        return client.received();
    };
    CHECK(ask(ann, "user") == Strings{"text ann"});
    CHECK(ask(bob, "set-user eve") == Strings{"text queued"});
    CHECK(ask(bob, "user") == Strings{"text eve"});
    CHECK(ask(ann, "field cookie") == Strings{"text a=b"});
    CHECK(ask(ann, "field host") == Strings{"text none"});
    for (auto* client : {&ann, &bob}) CHECK(ask(*client, "join lobby") == Strings{"text queued"});
    CHECK(ask(ann, "join ") == Strings{"text refused"});
    CHECK(ask(ann, "rooms") == Strings{"text lobby"});
    CHECK(ask(ann, "publish lobby").empty());
    CHECK(bob.received() == Strings{"text to the room"});
    CHECK(ask(ann, "to-user eve").empty());
    CHECK(bob.received() == Strings{"binary for you"});
    CHECK(ask(bob, "leave lobby") == Strings{"text queued"});
    CHECK(ask(bob, "rooms").empty());
    CHECK(ask(ann, "each twice") == Strings{"text twice", "text twice"});
    CHECK(ask(ann, "state") == Strings{"text 0 space 0"});
    CHECK(ask(ann, "waiting x") == Strings{"text refused"});
    CHECK(ask(ann, "resume") == Strings{"text queued"});
    CHECK(ask(ann, "post") == Strings{"text called 1"});
    CHECK(ask(ann, "nothing") == Strings{"text refused"});
    CHECK(ask(ann, "later").empty());
    server.advance(1100ms);
    CHECK(ann.received() == Strings{"text called 2"});
    CHECK(ask(ann, "fail") == Strings{"close 1011 the handler failed"});
    CHECK(server.ends().back().cause == "the handler threw: Society: a posted call: oh");
    CHECK(ask(bob, "pause") == Strings{"text queued"});
    CHECK(ask(bob, "user").empty());
}

TEST_CASE("an exception of the class is reported and does not leave the shared object", "[shared_object]") {
    const auto thrower = load(module_path("thrower"));
    RecordingConnection connection;
    CHECK(thrown_by([&] { thrower->on_open(connection); }) == "Thrower: on_open: on_open threw");
    CHECK(thrown_by([&] { say(*thrower, connection, "boom"); }) == "Thrower: on_text: boom");
    CHECK(thrown_by([&] { say(*thrower, connection, "int"); }) ==
          "Thrower: on_text: an exception that is not a std::exception");
    CHECK(thrown_by([&] { thrower->on_ping(connection, {}); }) == "Thrower: on_ping: on_ping threw");
    CHECK(thrown_by([&] { thrower->on_pong(connection, {}); }) == "Thrower: on_pong: on_pong threw");
    CHECK(thrown_by([&] { thrower->on_close(connection, {}); }) == "Thrower: on_close: on_close threw");
    const auto answer = command(*thrower, {"x"});
    CHECK_FALSE(answer.ok);
    CHECK(answer.output == "Thrower: on_command: on_command threw");
    thrower->on_message(connection, Binary{});
    CHECK(connection.calls == Strings{"close 1003 the handler takes no messages of this type"});
}

TEST_CASE("a handler that cannot start says why", "[shared_object]") {
    CHECK(error_of(module_path("thrower"), "std") == "it cannot start: the database is down\\nforever");
    CHECK(error_of(module_path("thrower"), "int") == "it cannot start: an exception that is not a std::exception");
    CHECK(error_of(module_path("later"), "fail") == "it cannot start: it gave no reason");
    CHECK(error_of(module_path("handler_rooms"), "x") == "it cannot start: the handler takes no configuration");
}

TEST_CASE("a table of a later version is used as far as it is known", "[shared_object]") {
    const auto later = load(module_path("later"));
    CHECK(later->name() == "later.so");
    RecordingConnection connection;
    later->on_open(connection);
    later->on_message(connection, Text{"x"});
    later->on_message(connection, Binary{});
    later->on_ping(connection, {});
    later->on_pong(connection, {});
    later->on_close(connection, {});
    CHECK(connection.calls == Strings(2, "close 1003 the handler takes no messages of this type"));
    CHECK(command(*later, {"x"}).output == "this handler has no commands");
}

TEST_CASE("each fault of a table has its error text", "[shared_object]") {
    const auto error = [](const char* fault) { return error_of(module_path(fault)); };
    CHECK(error("no_entry").starts_with("it has no function wsserver_handler_v1"));
    CHECK(error("no_table") == "wsserver_handler_v1() returned no table");
    CHECK(error("wrong_version") ==
          "it has version 2 of the handler interface and this program has version 1; build it with the headers "
          "of this program");
    CHECK(error("short").find("set its size to sizeof(struct wsserver_handler)") != std::string::npos);
    CHECK(error("bad_runs") == "runs in its table is neither WSSERVER_INLINE nor WSSERVER_POOLED");
    CHECK(error("no_create") == "its table has no create function");
    const auto undefined = error("undefined_symbol");
    CHECK(undefined.starts_with("it cannot be loaded: "));
    CHECK(undefined.find("a_function_that_is_nowhere") != std::string::npos);
    CHECK(undefined.find("/proc/") == std::string::npos);
}

TEST_CASE("code that others could have written is not loaded", "[shared_object]") {
    const Directory directory;
    const auto folder = directory / "folder";
    const auto file = folder + "/counter.so";
    fs::create_directory(folder);
    write_file(file, read_file(module_path("handler_counter")));
    CHECK(load_handler(file, {}, {}));
    const auto says = [](const std::string& error, const std::string& part) {
        CAPTURE(error);
        CHECK(error.find(part) != std::string::npos);
    };
    SECTION("a file that all may write") {
        REQUIRE(::chmod(file.c_str(), 0606) == 0);
        says(error_of(file), "it is world-writable, so others could run code here; fix that with: chmod o-w " + file);
    }
    SECTION("a folder that all may write") {
        REQUIRE(::chmod(folder.c_str(), 0777) == 0);
        says(error_of(file), "its folder " + folder + " is world-writable, ");
        const auto link = directory / "link.so";  // does not hide the folder
        fs::create_symlink(file, link);
        says(error_of(link), "its folder " + folder + " is world-writable, ");
        REQUIRE(::chmod(folder.c_str(), 01777) == 0);
        CHECK(load_handler(file, {}, {}));
    }
    if (::geteuid() != 0) return;  // only root can give files away
    SECTION("a group that may write") {
        REQUIRE(::chown(file.c_str(), 0, 12345) == 0);
        REQUIRE(::chmod(file.c_str(), 0660) == 0);
        says(error_of(file), "it is group-writable, ");
        REQUIRE(::chmod(file.c_str(), 0640) == 0);
        CHECK(load_handler(file, {}, {}));
    }
    SECTION("another owner") {
        REQUIRE(::chown(file.c_str(), 12345, 0) == 0);
        says(error_of(file), "it belongs to user 12345, who could run code here; chown it");
        REQUIRE(::chown(file.c_str(), 0, 0) == 0);
        REQUIRE(::chown(folder.c_str(), 12345, 0) == 0);
        says(error_of(file), "its folder " + folder + " belongs to user 12345, ");
    }
}

TEST_CASE("each fault of a file has its error text", "[shared_object]") {
    const Directory directory;
    const auto good = read_file(module_path("handler_counter"));
    CHECK(error_of(directory / "none.so") == "it cannot be opened: No such file or directory");
    CHECK(error_of("none.so") == "it cannot be opened: No such file or directory");
    CHECK(error_of(directory / "") == "it is not a regular file");
    REQUIRE(::mkfifo((directory / "fifo.so").c_str(), 0600) == 0);
    CHECK(error_of(directory / "fifo.so") == "it is not a regular file");
    CHECK(error_of("/dev/null") == "it is not a regular file");

    write_file(directory / "text.so", "int main() {}\n");
    CHECK(error_of(directory / "text.so").starts_with("it is not a shared object"));
    write_file(directory / "empty.so", "");
    CHECK(error_of(directory / "empty.so").starts_with("it is not a shared object"));

    write_file(directory / "open.so", good);
    fs::permissions(directory / "open.so", fs::perms::others_write, fs::perm_options::add);
    CHECK(error_of(directory / "open.so").find("chmod o-w") != std::string::npos);

    auto foreign = good;
    foreign[4] = 1;  // EI_CLASS: 32 bits
    write_file(directory / "foreign.so", foreign);
    CHECK(error_of(directory / "foreign.so").starts_with("it cannot be loaded: "));
    auto object = good;
    object[16] = 1;  // e_type: relocatable
    write_file(directory / "object.so", object);
    CHECK(error_of(directory / "object.so").starts_with("it is not a shared object"));

    if (::geteuid() != 0) {  // root may read everything
        fs::permissions(directory / "text.so", fs::perms::none);
        CHECK(error_of(directory / "text.so") == "it cannot be opened: Permission denied");
    }
}

TEST_CASE("a file that ends too early is refused wherever it ends", "[shared_object]") {
    const Directory directory;
    const auto good = read_file(module_path("handler_counter"));
    const auto path = directory / "cut.so";
    for (std::size_t size = 0; size < good.size(); size += 61) {
        CAPTURE(size);
        write_file(path, good.substr(0, size));
        const auto handler = load_handler(path);
        // The bytes after the last segment (debug information, section headers) are not needed.
        if (size < good.size() / 8) CHECK_FALSE(handler);
        if (!handler) CHECK(handler.error().starts_with("handler '" + path + "': it "));
    }
}

TEST_CASE("headers that refer beyond the end of the file are refused", "[shared_object]") {
    const Directory directory;
    const auto good = read_file(module_path("handler_counter"));
    const auto with = [&](std::size_t at, std::string_view bytes) {
        auto bad = good;
        bad.replace(at, bytes.size(), bytes);
        write_file(directory / "lying.so", bad);
        return error_of(directory / "lying.so");
    };
    const std::string huge(8, '\xFF');
    CHECK(with(32, huge) == "it ends too early; is it still being written?");                   // e_phoff
    CHECK(with(56, "\xFF\xFF") == "it ends too early; is it still being written?");             // e_phnum
    CHECK(with(64 + 8, huge) == "it ends too early; is it still being written?");               // p_offset
    CHECK(with(64 + 32, huge) == "it ends too early; is it still being written?");              // p_filesz
    CHECK(with(54, std::string_view{"\x01\x00", 2}).starts_with("it is not a shared object"));  // e_phentsize
}

TEST_CASE("overwriting the file does not affect the loaded handler, and loading it again gives the new code",
          "[shared_object]") {
    const Directory directory;
    const auto path = directory / "mirror.so";
    write_file(path, read_file(module_path("mirror_1")));
    const auto old = load(path);
    CHECK(command(*old, {"version"}).output == "1");

    // In place, like a compiler or cp: the same inode, first empty, then with other content.
    const auto size = fs::file_size(path);
    fs::resize_file(path, 0);
    CHECK(command(*old, {"version"}).output == "1");
    write_file(path, std::string(size, '\xCC'));
    RecordingConnection connection;
    old->on_message(connection, Text{"hi"});
    CHECK(connection.calls.front() == "text hi");
    CHECK_FALSE(load_handler(path));

    write_file(path, read_file(module_path("mirror_2")));
    const auto fresh = load(path);
    CHECK(command(*fresh, {"version"}).output == "2");
    CHECK(command(*old, {"version"}).output == "1");
    const auto again = load(path);
    CHECK(command(*again, {"version"}).output == "2");
    fs::remove(path);
    CHECK(command(*fresh, {"config"}).ok);
}

TEST_CASE("the last owner unloads the shared object", "[shared_object]") {
    wait_for_handler_ends(10s);  // of other tests
    const Directory directory;
    for (const char* name : {"handler_counter", "handler_rooms", "mirror_1"}) {
        CAPTURE(name);
        const auto path = directory / (std::string{name} + "-leaving.so");
        fs::copy_file(module_path(name), path);
        const auto mark = "wsserver-handler-" + std::string{name} + "-leaving.so";
        load(path).reset();  // first, because the loader keeps some descriptors open after its first use
        const auto before = open_descriptors();
        auto handler = load(path);
        CHECK(is_mapped(mark));
        auto other = handler;
        handler.reset();
        CHECK(is_mapped(mark));
        other.reset();
        CHECK_FALSE(is_mapped(mark));
        CHECK(open_descriptors() == before);
    }
}

TEST_CASE("code that stays in memory is not taken for the next shared object", "[shared_object]") {
    CHECK(command(*load(module_path("mirror_staying")), {"version"}).output == "3");
    CHECK(is_mapped("wsserver-handler-mirror_staying.so"));
    CHECK(command(*load(module_path("mirror_1")), {"version"}).output == "1");
    CHECK(command(*load(module_path("mirror_2")), {"version"}).output == "2");
}

TEST_CASE("the log says why code stays in memory", "[shared_object]") {
    Log log;
    load(module_path("mirror_staying"), {}, log.log(), "m");
    CHECK(log.take().back() ==
          "warning m: its code may stay in memory after it has ended: it is linked with -z nodelete");
    load(module_path("unique"), {}, log.log());
#ifndef __clang__
    const auto unique = log.take();
    REQUIRE(unique.size() == 1);
    CHECK(unique[0].starts_with(
        "warning Unique: its code may stay in memory after it has ended: it has the unique symbol "));
    CHECK(unique[0].ends_with("; build it with -fno-gnu-unique"));
#endif
    load(module_path("ledger_1"), {}, log.log()).reset();
    CHECK(log.take() == Strings{"info ledger: 1 ends"});

    auto handler = load(module_path("thread_local"), {}, log.log());
    RecordingConnection connection{std::make_shared<RecordingHub>()};
    handler->on_message(connection, Text{"a"});
    handler.reset();
    CHECK(log.take() == Strings{"warning ThreadLocal: its code stays in memory: perhaps a thread that still runs has "
                                "used a thread_local object of it"});
}

TEST_CASE("a failed load leaves no descriptor and no mapping", "[shared_object]") {
    error_of(module_path("wrong_version"));
    const auto before = open_descriptors();
    for (const char* name : {"wrong_version", "no_entry", "no_table", "undefined_symbol"}) error_of(module_path(name));
    error_of(module_path("thrower"), "std");
    CHECK(open_descriptors() == before);
    CHECK_FALSE(is_mapped("wsserver-handler-wrong_version.so"));
    CHECK_FALSE(is_mapped("wsserver-handler-thrower.so"));
}

namespace {

/// Makes memfd_create() fail in this process from now on. Returns false if seccomp is not available.
bool forbid_memfd() {
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_memfd_create, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter{std::size(program), program};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

enum ChildExit : int { all_is_well, forbidding_failed, loading_failed, counting_failed, a_file_is_left };

ChildExit load_without_memfd(const Directory& directory) {
    if (!forbid_memfd()) return forbidding_failed;
    ::setenv("TMPDIR", (directory / "").c_str(), 1);
    const auto handler = load_handler(module_path("handler_counter"));
    if (!handler) return loading_failed;
    if (command(**handler, {"total"}).output != "0\n") return counting_failed;
    return fs::is_empty(directory / "") ? all_is_well : a_file_is_left;
}

}  // namespace

TEST_CASE("without memfd the copy is a temporary file", "[shared_object]") {
    const Directory directory;
    const auto child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) ::_exit(load_without_memfd(directory));
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    if (WEXITSTATUS(status) == forbidding_failed) {
        WARN("seccomp is not available here, so this was not tested");
    } else {
        CHECK(WEXITSTATUS(status) == all_is_well);
    }
}
