// The program's function that decides about opening handshakes, on real sockets.
#include <atomic>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support/blocker.hpp"
#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "wsserver/server.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

/// Sends its name to each client.
struct Named {
    std::string name;
    void on_open(AnyConnection& connection) { connection.send(Text{name}); }
};

/// A server that has not started, and what its functions have seen. What those of a test use must outlive it.
struct Rig {
    Rig() {
        server.handle(Echo{});
        server.handle("b", Named{"b"});
        server.on_log([this](LogLevel, std::string_view text) {
            const std::lock_guard lock(mutex);
            lines.emplace_back(text);
        });
        server.on_end([this](const ConnectionEnd& end) {
            const std::lock_guard lock(mutex);
            ends.push_back(end);
        });
    }
    static ServerOptions options() {
        ServerOptions options;
        options.io_threads = 1;
        options.connection.handshake_timeout = 20s;
        return options;
    }
    void start() {
        url = *server.listen("127.0.0.1:0");
        server.start();
    }
    /// The response to an opening handshake with these additional fields.
    std::string response(std::string_view fields = {}, std::string_view target = "/chat") const {
        BlockingClient client{url};
        client.write(upgrade_request(fields, target));
        return client.read_head();
    }
    bool has_logged(std::string_view text) {
        const std::lock_guard lock(mutex);
        for (const std::string& line : lines) {
            if (line.find(text) != std::string::npos) return true;
        }
        return false;
    }

    std::mutex mutex;
    std::vector<std::string> lines;
    std::vector<ConnectionEnd> ends;
    Server server{options()};
    std::string url;
};

}  // namespace

TEST_CASE("a program refuses opening handshakes with its own response", "[upgrade][threads]") {
    std::string seen;
    Rig f;
    f.server.on_upgrade([&](const UpgradeRequest& request) -> Admission {
        const auto user = request.cookie("sid");
        if (!user)
            return Admission::refuse({.status = 401, .fields = {{"WWW-Authenticate", "Bearer"}}, .body = "no token"});
        if (request.query("room") == "full") {
            return Admission::refuse({.status = 302, .fields = {{"Location", "/other?a=b"}}});
        }
        const std::lock_guard lock(f.mutex);
        seen = std::string{request.path()} + " " + std::string{*user} + " " + request.query("room").value_or("-") +
               " " + std::string{request.find("user-agent")} + " " + std::to_string(request.subprotocols().size()) +
               (request.peer().starts_with("127.0.0.1:") ? " local" : " ?");
        return {};
    });
    f.start();
    BlockingClient client{f.url};
    client.write(upgrade_request());
    const std::string refusal = client.read_rest();
    client.hang_up();
    CHECK(refusal.starts_with("HTTP/1.1 401 Unauthorized\r\n"));
    CHECK(refusal.find("\r\nWWW-Authenticate: Bearer\r\n") != std::string::npos);
    CHECK(refusal.ends_with("\r\n\r\nno token"));
    const std::string moved = f.response("Cookie: sid=ann\r\n", "/chat?room=full");
    CHECK(moved.starts_with("HTTP/1.1 302 Found\r\n"));
    CHECK(moved.find("\r\nLocation: /other?a=b\r\n") != std::string::npos);
    const auto accepted =
        f.response("Cookie: a=b; sid=ann\r\nUser-Agent: t\r\nSec-WebSocket-Protocol: x, y\r\n", "/a%20b?room=5%2B1");
    CHECK(accepted.starts_with("HTTP/1.1 101 "));
    while (f.server.statistics().refusals.size() < 2) std::this_thread::yield();  // the connections end
    CHECK(f.server.statistics().refusals == std::map<unsigned, std::uint64_t>{{302, 1}, {401, 1}});
    const std::lock_guard lock(f.mutex);
    CHECK(seen == "/a%20b ann 5+1 t 2 local");
}

TEST_CASE("a program chooses subprotocol, handler and fields of the response", "[upgrade][threads]") {
    const auto own = make_handler("own", Named{"own"});
    Rig f;
    f.server.on_upgrade([&](const UpgradeRequest& request) {
        Admission admission;
        if (const auto name = request.query("as")) admission.subprotocol = *name;
        if (request.query("own")) admission.handler = own;
        admission.fields = {{"Set-Cookie", "seen=1"}};
        return admission;
    });
    f.start();
    const auto first = [&](std::string_view target, std::string_view subprotocols) {
        BlockingClient client{f.url};
        client.write(upgrade_request(
            subprotocols.empty() ? "" : "Sec-WebSocket-Protocol: " + std::string{subprotocols} + "\r\n", target));
        const std::string head = client.read_head();
        if (!head.starts_with("HTTP/1.1 101 ")) return head.substr(9, 3);
        CHECK(head.find("\r\nSet-Cookie: seen=1\r\n") != std::string::npos);
        const auto at = head.find("Sec-WebSocket-Protocol: ");
        std::string result = at == std::string::npos ? "none" : head.substr(at + 24, head.find('\r', at) - at - 24);
        client.send("hi");
        return result + ", " + client.next();
    };
    CHECK(first("/", "") == "none, text hi");
    CHECK(first("/", "a, b") == "b, text b");
    CHECK(first("/?as=b", "a, b") == "b, text b");
    CHECK(first("/?as=a", "a, b") == "500");  // nothing serves `a`
    CHECK(first("/?as=", "a, b") == "none, text hi");
    CHECK(first("/?own", "") == "none, text own");
    CHECK(first("/?own&as=a", "a, b") == "a, text own");
    CHECK(first("/?own", "a, b") == "b, text own");
    CHECK(first("/?as=c", "a, b") == "500");
    CHECK(f.has_logged("on_upgrade failed for /?as=a: it chose the subprotocol 'a', which has no handler"));
    CHECK(f.has_logged("on_upgrade failed for /?as=c: it chose the subprotocol c, which the client does not ask for"));
}

TEST_CASE("an upgrade function that throws refuses with a 500", "[upgrade][threads]") {
    const bool later = GENERATE(false, true);
    const Runs runs = GENERATE(Runs::inline_, Runs::pooled);
    const auto decide = [](const UpgradeRequest& request) -> Admission {
        if (request.query("odd")) throw 7;
        if (const auto status = request.query("status")) {
            return Admission::refuse({.status = static_cast<unsigned>(std::stoul(*status))});
        }
        throw std::runtime_error{"the database is down"};
    };
    Rig f;
    if (later) {
        f.server.on_upgrade([&](const UpgradeRequest& request, UpgradeReply reply) { reply(decide(request)); });
    } else {
        f.server.on_upgrade(decide, runs);
    }
    f.start();
    CHECK(f.response().starts_with("HTTP/1.1 500 "));
    CHECK(f.has_logged("on_upgrade failed for /chat: it threw: the database is down"));
    CHECK(f.response({}, "/?odd").starts_with("HTTP/1.1 500 "));
    for (const auto* target : {"/?status=200", "/?status=1000"}) {
        CHECK(f.response({}, target).starts_with("HTTP/1.1 500 "));
    }
}

TEST_CASE("a pooled upgrade function may block", "[upgrade][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    Rig f;
    f.server.on_upgrade(
        [&](const UpgradeRequest& request) -> Admission {
            if (request.path() == "/slow") blocker->wait();
            return {};
        },
        Runs::pooled);
    f.start();
    BlockingClient slow{f.url};
    slow.write(upgrade_request({}, "/slow"));
    blocker->wait_until_blocked(1);
    CHECK(f.response().starts_with("HTTP/1.1 101 "));
    blocker->release();
    CHECK(slow.read_head().starts_with("HTTP/1.1 101 "));
    slow.send("hello");
    CHECK(slow.next() == "text hello");
}

TEST_CASE("a reply is gone if the function that got it throws", "[upgrade][threads]") {
    std::optional<UpgradeReply> kept;
    Rig f;
    f.server.on_upgrade([&](const UpgradeRequest&, UpgradeReply reply) {
        const std::lock_guard lock(f.mutex);
        kept.emplace(std::move(reply));
        throw std::runtime_error{"no"};
    });
    f.start();
    CHECK(f.response().starts_with("HTTP/1.1 500 "));
    const std::lock_guard lock(f.mutex);
    CHECK(kept->is_gone());
    CHECK((*kept)(Admission{}) == SendStatus::closed);
}

TEST_CASE("another thread decides about an opening handshake", "[upgrade][threads]") {
    std::mutex mutex;
    std::vector<UpgradeReply> replies;
    Rig f;
    f.server.on_upgrade([&](const UpgradeRequest&, UpgradeReply reply) {
        const std::lock_guard lock(mutex);
        replies.push_back(std::move(reply));
    });
    f.start();
    const auto take = [&] {
        for (;;) {
            const std::lock_guard lock(mutex);
            if (replies.empty()) continue;
            UpgradeReply reply = std::move(replies.back());
            replies.pop_back();
            return reply;
        }
    };
    BlockingClient client{f.url};
    client.write(upgrade_request());
    UpgradeReply reply = take();
    CHECK(reply(Admission{}) == SendStatus::queued);
    CHECK(client.read_head().starts_with("HTTP/1.1 101 "));

    BlockingClient gone{f.url};
    gone.write(upgrade_request());
    reply = take();
    gone.hang_up();
    while (!reply.is_gone()) std::this_thread::yield();
    CHECK(reply(Admission{}) == SendStatus::closed);

    BlockingClient last{f.url};
    last.write(upgrade_request());
    reply = take();
    CHECK(f.server.stop(0s).complete());
    CHECK(reply.is_gone());
    CHECK(reply(Admission{}) == SendStatus::closed);
}

namespace {

/// Lets in clients with a token, once it is allowed to decide.
struct Guarded {
    std::string name;
    std::shared_ptr<Blocker> blocker;

    Admission on_upgrade(const UpgradeRequest& request) {
        if (blocker && request.path() == "/slow") blocker->wait();
        if (!request.query("token")) return Admission::refuse({.status = 401, .body = "no token"});
        Admission admission;
        admission.fields = {{"X-Guard", name}};
        return admission;
    }
    void on_open(AnyConnection& connection) { connection.send(name); }
};

}  // namespace

TEST_CASE("the handler that a client selects decides about it on a worker", "[upgrade][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    Rig f;
    f.server.handle("g", Guarded{"g", blocker});
    f.server.on_upgrade([](const UpgradeRequest& request) {
        if (request.query("banned")) return Admission::refuse({.status = 403});
        Admission admission;
        admission.fields = {{"X-Program", "1"}};
        return admission;
    });
    f.start();
    const std::string_view g = "Sec-WebSocket-Protocol: g\r\n";
    CHECK(f.response(g).starts_with("HTTP/1.1 401 "));
    CHECK(f.response(g, "/?banned&token").starts_with("HTTP/1.1 403 "));
    CHECK(f.response().starts_with("HTTP/1.1 101 "));  // the default handler has no say
    BlockingClient slow{f.url};
    slow.write(upgrade_request(g, "/slow?token"));
    blocker->wait_until_blocked(1);
    const std::string other = f.response(g, "/?token");
    CHECK(other.starts_with("HTTP/1.1 101 "));
    CHECK(other.find("\r\nX-Program: 1\r\n") != std::string::npos);
    CHECK(other.find("\r\nX-Guard: g\r\n") != std::string::npos);
    blocker->release();
    CHECK(slow.read_head().starts_with("HTTP/1.1 101 "));
    CHECK(slow.next() == "text g");
}

TEST_CASE("early frames wait until both the program and the handlers have decided", "[upgrade][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    struct GuardedEcho : Guarded {
        void on_message(AnyConnection& connection, const Text& message) { connection.send(message); }
    };
    Rig f;
    f.server.handle("g", GuardedEcho{{"old", blocker}});
    f.server.on_upgrade([](const UpgradeRequest&) { return Admission{}; }, Runs::pooled);
    f.start();
    const std::string frames{"\x81\x83\0\0\0\0one\x81\x83\0\0\0\0two", 18};
    const auto cut = GENERATE(std::size_t{0}, std::size_t{5}, std::size_t{9}, std::size_t{18});
    BlockingClient client{f.url};
    client.write(upgrade_request("Sec-WebSocket-Protocol: g\r\n", "/slow?token") + frames.substr(0, cut));
    blocker->wait_until_blocked(1);
    f.server.handle("g", GuardedEcho{{"new", nullptr}});  // is asked, too
    blocker->release();
    client.write(frames.substr(cut));
    CHECK(client.read_head().starts_with("HTTP/1.1 101 "));
    for (const auto* message : {"text new", "text one", "text two"}) CHECK(client.next() == message);
}

TEST_CASE("a handler that never decides refuses its client, and the others are served", "[upgrade][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    ServerOptions options = Rig::options();
    options.connection.handshake_timeout = 200ms;
    options.workers = 2;
    Server server{options};
    server.handle("g", Guarded{"g", blocker});
    server.handle("other", Guarded{"other", nullptr});
    const auto url = *server.listen("127.0.0.1:0");
    server.start();
    BlockingClient slow{url}, second{url};
    slow.write(upgrade_request("Sec-WebSocket-Protocol: g\r\n", "/slow?token"));
    second.write(upgrade_request("Sec-WebSocket-Protocol: g\r\n", "/slow?token"));
    CHECK(slow.read_head().starts_with("HTTP/1.1 503 "));
    CHECK(second.read_head().starts_with("HTTP/1.1 503 "));
    BlockingClient other{url};
    other.write(upgrade_request("Sec-WebSocket-Protocol: other\r\n", "/slow?token"));
    CHECK(other.read_head().starts_with("HTTP/1.1 101 "));
    blocker->release();
}

TEST_CASE("a handler that is replaced or removed while it decides serves no client", "[upgrade][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    Rig f;
    f.server.handle("g", Guarded{"old", blocker});
    f.server.handle("gone", Guarded{"gone", blocker});
    f.start();
    BlockingClient to_new{f.url}, to_none{f.url};
    to_new.write(upgrade_request("Sec-WebSocket-Protocol: g\r\n", "/slow?token"));
    to_none.write(upgrade_request("Sec-WebSocket-Protocol: gone\r\n", "/slow?token"));
    blocker->wait_until_blocked(2);
    f.server.handle("g", Guarded{"new", nullptr});
    CHECK(f.server.remove_handler("gone"));
    blocker->release();
    const std::string head = to_new.read_head();
    CHECK(head.starts_with("HTTP/1.1 101 "));
    CHECK(head.find("\r\nX-Guard: new\r\n") != std::string::npos);
    CHECK(to_new.next() == "text new");
    CHECK(to_none.read_head().starts_with("HTTP/1.1 400 "));
}
