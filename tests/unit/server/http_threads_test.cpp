// Plain HTTP requests to the routes of a server, on real sockets and with threads.
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
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

ServerOptions options_with(TransportKind transport) {
    ServerOptions options;
    options.io_threads = 2;
    options.workers = 2;
    options.transport = transport;
    options.trusted_proxies = {"127.0.0.1"};
    return options;
}

std::string get(std::string_view target, std::string_view fields = {}) {
    return "GET " + std::string{target} + " HTTP/1.1\r\nHost: localhost\r\n" + std::string{fields} + "\r\n";
}

std::string post(std::string_view target, std::string_view body) {
    return "POST " + std::string{target} +
           " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           std::string{body};
}

/// `200 body` of a response with Content-Length.
std::string response_of(BlockingClient& client) {
    const std::string head = client.read_head();
    const auto at = head.find("Content-Length: ");
    if (at == std::string::npos) return head.substr(9, 3);
    return head.substr(9, 3) + " " + client.read_bytes(std::stoul(head.substr(at + 16)));
}

/// Answers with the number of bytes when the whole body was received.
void read_all(HttpUpload body, HttpReply reply, std::size_t so_far) {
    auto shared = std::make_shared<std::pair<HttpUpload, HttpReply>>(std::move(body), std::move(reply));
    (void)shared->first.read([shared, so_far](HttpPiece&& piece) {
        const std::size_t size = so_far + piece.bytes.size();
        if (piece.is_last) return void(shared->second({.body = std::to_string(size)}));
        if (!piece.is_gone) read_all(std::move(shared->first), std::move(shared->second), size);
    });
}

/// Waits until `done` or for 30 s.
template <class F>
bool wait_for(std::condition_variable& changed, std::unique_lock<std::mutex>& lock, F&& done) {
    return changed.wait_for(lock, 30s, std::forward<F>(done));
}

}  // namespace

TEST_CASE("workers and other threads answer requests in the order of the client", "[http][threads]") {
    const auto transport = GENERATE(TransportKind::asio, TransportKind::automatic);
    std::vector<std::thread> threads;
    {
        Server server{options_with(transport)};
        server.handle(Echo{});
        server.handle_http("POST", "/pooled",
                           [](const RoutedRequest& r) { return HttpResponse{.body = std::string{r.body()}}; },
                           {.runs = Runs::pooled});
        server.handle_http("GET", "/inline",
                           [](const RoutedRequest& r) { return HttpResponse{.body = r.query("n").value_or("")}; });
        server.handle_http("GET", "/later", [&](const RoutedRequest& r, HttpReply reply) {
            threads.emplace_back([n = r.query("n").value_or(""), reply = std::move(reply)]() mutable {
                (void)reply({.body = "later " + n});
            });
        });
        const auto url = *server.listen("127.0.0.1:0");
        server.start();
        BlockingClient client{url};
        std::string all;
        for (int i = 0; i < 30; ++i) {
            const auto n = std::to_string(i);
            all += post("/pooled", "pooled " + n) + get("/inline?n=" + n) + get("/later?n=" + n);
        }
        client.write(all);
        for (int i = 0; i < 30; ++i) {
            const auto n = std::to_string(i);
            CHECK(response_of(client) == "200 pooled " + n);
            CHECK(response_of(client) == "200 " + n);
            CHECK(response_of(client) == "200 later " + n);
        }
        CHECK(server.statistics().http_answered == 90);
        CHECK(server.stop(1s).complete());
    }
    for (auto& thread : threads) thread.join();
}

TEST_CASE("requests are answered while workers are blocked", "[http][threads]") {
    Blocker blocker;
    Server server{options_with(TransportKind::automatic)};
    server.handle_http("GET", "/slow",
                       [&](const RoutedRequest&) {
                           blocker.wait();
                           return HttpResponse{.body = "slow"};
                       },
                       {.runs = Runs::pooled});
    server.handle_http("GET", "/fast", [](const RoutedRequest&) { return HttpResponse{.body = "fast"}; });
    const auto url = *server.listen("127.0.0.1:0");
    server.start();
    BlockingClient slow{url}, gone{url}, fast{url};
    slow.write(get("/slow"));
    gone.write(get("/slow"));
    gone.hang_up();
    for (int i = 0; i < 3; ++i) {
        fast.write(get("/fast"));
        CHECK(response_of(fast) == "200 fast");
    }
    blocker.release();
    CHECK(response_of(slow) == "200 slow");
    slow.write(get("/slow"));
    CHECK(response_of(slow) == "200 slow");
}

TEST_CASE("over the memory limit, a request that a worker has keeps its client", "[http][threads][memory_budget]") {
    constexpr std::size_t large = 600'000, small = 100'000;
    Blocker blocker;
    ServerOptions options = options_with(TransportKind::automatic);
    options.io_threads = 1;
    Server server{options};
    server.handle_http("POST", "/slow",
                       [&](const RoutedRequest& request) {
                           blocker.wait();
                           return HttpResponse{.body = std::to_string(request.body().size())};
                       },
                       {.runs = Runs::pooled});
    const auto url = *server.listen("127.0.0.1:0");
    server.start();
    BlockingClient begun{url}, asked{url};
    const std::string whole = post("/slow", std::string(small, 'b'));
    begun.write(whole.substr(0, whole.size() - 1));
    asked.write(post("/slow", std::string(large, 'b')));
    blocker.wait_until_blocked(1);
    while (server.statistics().memory < large + small - 1) std::this_thread::yield();
    options.memory_limit = large;
    server.reconfigure(options);
    CHECK(response_of(begun).starts_with("503"));  // closing the larger one would free nothing
    CHECK(server.statistics().closed_for_memory == 1);
    blocker.release();
    CHECK(response_of(asked) == "200 " + std::to_string(large));
}

TEST_CASE("another thread streams an answer of any length", "[http][threads]") {
    constexpr std::size_t pieces = 300;
    const std::string piece(40'000, 'p');
    std::mutex mutex;
    std::condition_variable changed;
    bool drained = false;
    std::vector<HttpStream> streams;
    Server server{options_with(GENERATE(TransportKind::asio, TransportKind::automatic))};
    server.handle_http("GET", "/stream", [&](const RoutedRequest&, HttpReply reply) {
        HttpStream stream = reply.stream({}, pieces * piece.size());
        (void)stream.on_drain([&] {
            const std::lock_guard lock(mutex);
            drained = true;
            changed.notify_all();
        });
        const std::lock_guard lock(mutex);
        streams.push_back(std::move(stream));
        changed.notify_all();
    });
    const auto url = *server.listen("127.0.0.1:0");
    server.start();
    std::atomic<std::size_t> most = 0;
    std::thread writer{[&] {
        std::unique_lock lock(mutex);
        if (!wait_for(changed, lock, [&] { return !streams.empty(); })) return;
        HttpStream stream = std::move(streams.back());
        for (std::size_t i = 0; i < pieces; ++i) {
            (void)stream.write(piece);
            most = std::max(most.load(), stream.queued());
            if (stream.queued() <= SendQueueLimits{}.high_mark) continue;
            wait_for(changed, lock, [&] { return drained; });
            drained = false;
        }
        (void)stream.end();
    }};
    BlockingClient client{url};
    client.read_slowly(0ms);
    client.write(get("/stream") + get("/none"));
    CHECK(client.read_head().find("\r\nContent-Length: 12000000\r\n") != std::string::npos);
    const std::string all = client.read_bytes(pieces * piece.size());
    writer.join();
    CHECK(all.find_first_not_of('p') == std::string::npos);
    CHECK(most < SendQueueLimits{}.high_mark + 2 * piece.size());
    CHECK(response_of(client).starts_with("404 "));
}

TEST_CASE("an upload of any length is received in pieces", "[http][threads]") {
    constexpr std::size_t size = 5'000'000;
    std::atomic<std::size_t> received = 0;
    std::atomic<std::size_t> longest = 0;
    struct Upload {
        HttpUpload body;
        HttpReply reply;
    };
    std::function<void(std::shared_ptr<Upload>)> read_on = [&](const std::shared_ptr<Upload>& upload) {
        (void)upload->body.read([&, upload](HttpPiece&& piece) {
            received += piece.bytes.size();
            longest = std::max(longest.load(), piece.bytes.size());
            piece.is_last ? (void)upload->reply({.body = std::to_string(received.load())}) : read_on(upload);
        });
    };
    Server server{options_with(GENERATE(TransportKind::asio, TransportKind::automatic))};
    server.handle_http("POST", "/upload", [&](const RoutedRequest&, HttpUpload body, HttpReply reply) {
        read_on(std::make_shared<Upload>(Upload{std::move(body), std::move(reply)}));
    });
    const auto url = *server.listen("127.0.0.1:0");
    server.start();
    BlockingClient client{url};
    client.write(post("/upload", std::string(size, 'u')) + get("/none"));
    CHECK(response_of(client) == "200 5000000");
    CHECK(longest <= std::size_t{256} << 10);
    CHECK(response_of(client).starts_with("404 "));
}

TEST_CASE("each request behind a proxy has the address of its client", "[http][threads]") {
    Server server{options_with(TransportKind::automatic)};
    server.handle(Echo{});
    server.handle_http("GET", "/who",
                       [](const RoutedRequest& r) { return HttpResponse{.body = std::string{r.peer()}}; });
    const auto url = *server.listen("127.0.0.1:0");
    server.start();
    BlockingClient client{url};
    client.write(get("/who", "X-Forwarded-For: 192.0.2.1\r\n") + get("/who", "X-Forwarded-For: 192.0.2.2\r\n") +
                 get("/who"));
    CHECK(response_of(client).starts_with("200 192.0.2.1"));
    CHECK(response_of(client).starts_with("200 192.0.2.2"));
    CHECK(response_of(client).starts_with("200 127.0.0.1:"));
    client.write(upgrade_request("X-Forwarded-For: 192.0.2.3\r\n"));
    CHECK(client.read_head().starts_with("HTTP/1.1 101 "));
    while (server.list().empty()) std::this_thread::yield();
    CHECK(server.list().at(0).peer.starts_with("192.0.2.3"));
}

TEST_CASE("a server that is gone has no clients for a reply", "[http][threads]") {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<HttpReply> replies;
    std::atomic<int> gone = 0;
    {
        Server server{options_with(TransportKind::automatic)};
        server.handle_http("GET", "/later", [&](const RoutedRequest&, HttpReply reply) {
            (void)reply.on_gone([&] { ++gone; });
            const std::lock_guard lock(mutex);
            replies.push_back(std::move(reply));
            changed.notify_all();
        });
        const auto url = *server.listen("127.0.0.1:0");
        server.start();
        BlockingClient client{url};
        client.write(get("/later"));
        std::unique_lock lock(mutex);
        REQUIRE(wait_for(changed, lock, [&] { return !replies.empty(); }));
        lock.unlock();
        (void)server.stop(0ms);
        CHECK(gone == 1);
    }
    CHECK(replies.at(0).is_gone());
    CHECK(replies.at(0)({}) == SendStatus::closed);
}

TEST_CASE("a server on the program's loop answers requests", "[http][threads]") {
    boost::asio::io_context context;
    Server server{context, {.workers = 1}};
    server.handle(Echo{});
    std::thread::id loop, worker;  // written before the answers that the test reads
    server.handle_http("GET", "/inline", [&](const RoutedRequest&) {
        loop = std::this_thread::get_id();
        return HttpResponse{.body = "inline"};
    });
    server.handle_http("POST", "/pooled",
                       [&](const RoutedRequest& r) {
                           worker = std::this_thread::get_id();
                           return HttpResponse{.body = std::string{r.body()}};
                       },
                       {.runs = Runs::pooled});
    boost::asio::steady_timer timer{context};
    server.handle_http("GET", "/timer", [&](const RoutedRequest&, HttpReply reply) {
        timer.expires_after(1ms);
        timer.async_wait([reply = std::move(reply)](const auto&) mutable { (void)reply({.body = "timer"}); });
    });
    server.handle_http("PUT", "/upload", [&](const RoutedRequest&, HttpUpload body, HttpReply reply) {
        read_all(std::move(body), std::move(reply), 0);
    });
    const auto url = *server.listen("127.0.0.1:0");
    server.start();
    std::thread thread{[&] { context.run(); }};
    {
        BlockingClient client{url};
        client.write(get("/inline") + post("/pooled", "text") + get("/timer") + get("/nowhere"));
        CHECK(response_of(client) == "200 inline");
        CHECK(response_of(client) == "200 text");
        CHECK(response_of(client) == "200 timer");
        CHECK(response_of(client) == "404 nothing is at this path\n");
        CHECK(loop == thread.get_id());
        CHECK(worker != thread.get_id());
        const std::string large(std::size_t{1} << 20, 'x');
        client.write("PUT /upload HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(large.size()) + "\r\n\r\n" +
                     large);
        CHECK(response_of(client) == "200 " + std::to_string(large.size()));
        client.write(upgrade_request());
        CHECK(client.read_head().starts_with("HTTP/1.1 101 "));
    }
    server.request_stop(1s);
    thread.join();
    CHECK(server.statistics().http_answered == 4);
}

TEST_CASE("the Date of a response is the time of day", "[http][rfc9110-6.6.1]") {
    Server server{options_with(GENERATE(TransportKind::asio, TransportKind::automatic))};
    server.handle_http("GET", "/", [](const RoutedRequest&) { return HttpResponse{}; });
    const auto url = *server.listen("127.0.0.1:0");
    server.start();
    BlockingClient client{url};
    // The clock of time() may be late by some milliseconds.
    const auto from = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now() - 100ms);
    client.write(get("/"));
    const std::string head = client.read_head();
    const auto to = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    std::vector<std::string> possible;
    for (auto time = from; time <= to; time += 1s) possible.push_back(http_date(time));
    const auto date = head.substr(head.find("\r\nDate: ") + 8, 29);
    CHECK_THAT(possible, Catch::VectorContains(date));
}
