#include "wsserver/handler/script_handler.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/folder.hpp"
#include "support/strings.hpp"
#include "wsserver/handler/replaceable_handler.hpp"
#include "wsserver/server.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

/// Scripts in Python, and what they log.
class Scripts {
   public:
    ~Scripts() { wait_for_handler_ends(10s); }

    Result<std::shared_ptr<AnyHandler>, std::string> start(const std::string& code, ScriptOptions options = {}) {
        const std::string path = folder_.path() + "/script" + std::to_string(++count_) + ".py";
        std::ofstream{path} << "#!/usr/bin/python3\n" << code;
        ::chmod(path.c_str(), 0755);
        options.command = {path};
        options.environment.push_back("PYTHONPATH=" WSSERVER_TEST_CONTRIB "/handlers/python");
        return start_script("x", options, "told", [this](LogLevel, std::string_view, std::string_view text) {
            const std::lock_guard lock{mutex_};
            lines_.emplace_back(text);
        });
    }
    std::shared_ptr<AnyHandler> run(const std::string& code, ScriptOptions options = {}) {
        auto started = start(code, std::move(options));
        if (!started) FAIL(started.error());
        return *started;
    }
    /// Waits for a line that contains `part`.
    void await(std::string_view part) {
        for (;;) {
            {
                const std::lock_guard lock{mutex_};
                const auto is_it = [&](const std::string& line) { return line.find(part) != std::string::npos; };
                if (std::ranges::any_of(lines_, is_it)) return;
            }
            std::this_thread::yield();
        }
    }
    Strings lines() {
        const std::lock_guard lock{mutex_};
        return lines_;
    }
    std::string folder() const { return folder_.path(); }

   private:
    TemporaryFolder folder_;
    int count_ = 0;
    std::mutex mutex_;
    Strings lines_;
};

/// A server with one handler.
struct Site {
    explicit Site(std::shared_ptr<AnyHandler> handler) {
        server.handle({}, std::move(handler));
        auto listening = server.listen("127.0.0.1:0");
        if (!listening) FAIL(listening.error());
        url = *listening;
        server.start();
    }
    ~Site() { (void)server.stop(); }

    Server server{{.io_threads = 2}};
    std::string url;
};

const std::string echo = R"(
import wsd_handler
class Echo(wsd_handler.Handler):
    def on_open(self, c): c.data = 0
    def on_text(self, c, text):
        c.data += 1
        c.send('%s %d' % (text, c.data))
    def on_binary(self, c, payload): c.send(payload)
    def on_again(self, c, state): c.data = int(state or b'0')
    def on_leave(self, c): return str(c.data)
wsd_handler.run(Echo())
)";

}  // namespace

TEST_CASE("a script answers its connections", "[script_handler]") {
    Scripts scripts;
    Site site{scripts.run(echo)};
    BlockingClient ann{site.url, ""}, bob{site.url, ""};
    ann.send("a");
    CHECK(ann.next() == "text a 1");
    bob.send("b");
    CHECK(bob.next() == "text b 1");
    ann.send("c");
    CHECK(ann.next() == "text c 2");
}

TEST_CASE("a script is told of each connection when many open at once", "[script_handler]") {
    Scripts scripts;
    Site site{scripts.run(echo)};
    std::vector<std::jthread> threads;
    std::atomic<int> answered{0};
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            std::vector<BlockingClient> clients;
            for (int i = 0; i < 50; ++i) {
                clients.emplace_back(site.url, "");
                clients.back().send("a");
            }
            for (BlockingClient& client : clients) answered += client.next() == "text a 1";
        });
    }
    threads.clear();
    CHECK(answered == 200);
}

TEST_CASE("a script that crashes is started again and told of its connections", "[script_handler]") {
    Scripts scripts;
    Site site{scripts.run(R"(
import os, sys, wsd_handler
class Crash(wsd_handler.Handler):
    def on_open(self, c): c.data = 'new'
    def on_again(self, c, state): c.data = 'again'
    def on_text(self, c, text):
        if text == 'crash':
            print('last words')
            sys.stderr.flush()
            os._exit(3)
        c.send(c.data + ' ' + text)
wsd_handler.run(Crash())
)")};
    BlockingClient client{site.url, ""};
    client.send("a");
    CHECK(client.next() == "text new a");
    client.send("crash");
    scripts.await("it ended with the exit code 3");
    scripts.await("last words");
    client.send("b");
    CHECK(client.next() == "text again b");
}

TEST_CASE("an exception in Python ends its connection only", "[script_handler]") {
    Scripts scripts;
    Site site{scripts.run(R"(
import wsd_handler
class Picky(wsd_handler.Handler):
    def on_text(self, c, text): c.send(str(1 / len(text)))
wsd_handler.run(Picky())
)")};
    BlockingClient ann{site.url, ""}, bob{site.url, ""};
    ann.send("");
    CHECK(ann.next().starts_with("close 1011"));
    scripts.await("ZeroDivisionError");
    bob.send("ab");
    CHECK(bob.next() == "text 0.5");
}

TEST_CASE("nonsense of a script ends its process only", "[script_handler]") {
    Scripts scripts;
    const auto [words, error] =
        GENERATE(table<std::string, std::string>({{"hello 0", "there is no such request"},
                                                  {"send 0-0-1 0", "want: send ID text|binary LENGTH"},
                                                  {"send nowhere text 0", "it has no id of a connection"},
                                                  {"send 0-0-1 picture 0", "its kind must be text or binary"},
                                                  {"close 0-0-1 1005 0", "want a close code that may be sent"},
                                                  {"ready 0", "it is ready already"},
                                                  {"hello", "it must end with the length"}}));
    CAPTURE(words);
    Site site{scripts.run(R"(
import sys
def out(line): sys.stdout.write(line); sys.stdout.flush()
out('ready 0\n')
for line in sys.stdin.buffer:
    word, *more, size = line.decode().split()
    payload = sys.stdin.buffer.read(int(size)).decode()
    if word == 'ping': out('pong %s 0\n' % more[0])
    if word == 'stop': break
    if word == 'text' and payload == 'bad': out(')" +
                          words + R"(\n')
    if word == 'text' and payload != 'bad': out('send %s text %d\n%s' % (more[0], len(payload), payload))
)")};
    BlockingClient client{site.url, ""};
    client.send("bad");
    scripts.await(error);
    client.send("good");
    CHECK(client.next() == "text good");
}

TEST_CASE("a script that cannot start says why", "[script_handler]") {
    Scripts scripts;
    const auto error_of = [&](const std::string& code, ScriptOptions options = {}) {
        const auto started = scripts.start(code, std::move(options));
        return started ? std::string{} : started.error();
    };
    CHECK(error_of("import sys; sys.exit(4)").ends_with("it ended with the exit code 4"));
    CHECK(error_of("print('hello 0')").find("the first one must be: ready") == std::string::npos);
    CHECK(
        error_of("import time; time.sleep(60)", {.start_timeout = 200ms}).ends_with("it was not ready within 200 ms"));
    const auto missing = start_script("x", {.command = {"/nowhere/script"}}, {}, [](auto, auto, auto) {});
    REQUIRE_FALSE(missing);
    CHECK(missing.error() == "/nowhere/script cannot be started: No such file or directory");
}

TEST_CASE("a script that hangs is killed, and its queue waits for the next one", "[script_handler]") {
    Scripts scripts;
    Site site{scripts.run(R"(
import time, wsd_handler
class Slow(wsd_handler.Handler):
    def on_text(self, c, text):
        if text == 'hang': time.sleep(1000)
        c.send(text)
wsd_handler.run(Slow())
)",
                          {.deadline = 500ms, .end_timeout = 200ms})};
    BlockingClient client{site.url, ""};
    client.send("hang");
    scripts.await("it has not answered a ping within 500 ms");
    client.send("after");
    CHECK(client.next() == "text after");
}

TEST_CASE("a script is replaced while its connections send", "[script_handler]") {
    Scripts scripts;
    const auto handler = std::make_shared<ReplaceableHandler>(scripts.run(echo));
    Site site{handler};
    std::atomic<bool> replaced{false};
    std::mutex mutex;
    Strings wrong;
    std::vector<std::jthread> threads;
    for (int c = 0; c < 4; ++c) {
        threads.emplace_back([&] {
            BlockingClient client{site.url, ""};
            for (int i = 1; i <= 100 || !replaced; ++i) {
                client.send("m");
                std::string reply = client.next();
                while (reply.starts_with("ping")) reply = client.next();
                if (reply == "text m " + std::to_string(i)) continue;
                const std::lock_guard lock{mutex};
                wrong.push_back(reply + " instead of " + std::to_string(i));
                return;
            }
        });
    }
    for (int i = 0; i < 10; ++i) {
        const auto done = handler->replace(scripts.run(echo));
        REQUIRE(done);
        hand_over_connections(site.server, handler);
    }
    replaced = true;
    threads.clear();
    CHECK(wrong == Strings{});
    CHECK(scripts.lines() == Strings{});
}

TEST_CASE("a client that sends more than a script reads waits, and loses nothing", "[script_handler]") {
    Scripts scripts;
    Site site{scripts.run(R"(
import time, wsd_handler
class Slow(wsd_handler.Handler):
    def on_open(self, c): c.data = 0
    def on_text(self, c, text):
        c.data += 1
        if c.data == 1: time.sleep(0.3)
        if text == 'last': c.send(str(c.data))
wsd_handler.run(Slow())
)",
                          {.high_mark = 64 * 1024, .hard_limit = 4 * 1024 * 1024})};
    BlockingClient client{site.url, ""};
    std::jthread writer{[&] {
        for (int i = 0; i < 2000; ++i) client.send(std::string(5000, 'x'));
        client.send("last");
    }};
    writer.join();
    CHECK(client.next() == "text 2001");
}
