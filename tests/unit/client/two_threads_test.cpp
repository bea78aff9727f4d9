// Threads that run the io_context of a client.
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <csignal>
#include <future>
#include <string>
#include <thread>

#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "support/one_loop.hpp"
#include "wsserver/client.hpp"
#include "wsserver/server.hpp"

using namespace wsserver;
using namespace std::chrono_literals;
using test::OneLoop;
namespace asio = boost::asio;

namespace {

struct Counter {
    int* opened;
    void on_open(AnyConnection&) { ++*opened; }
};

}  // namespace

TEST_CASE("threads may run the loop of a client one after the other", "[client][threads]") {
    OneLoop loop;
    int opened = 0;
    Client client{loop.context};
    client.connect(loop.url, Counter{&opened});
    for (int i = 0; i < 100 && opened == 0; ++i) {
        std::thread{[&] { loop.context.run_one_for(1s); }}.join();
    }
    CHECK(opened == 1);
    loop.context.stop();
}

// The thread sanitizer does not support threads in a child process.
#ifndef __SANITIZE_THREAD__

namespace {

/// Blocks its thread until another thread has entered the client.
struct Blocking {
    void on_open(AnyConnection& connection) {
        connection.handle().send("from another thread");  // posted: the other thread runs it
        std::promise<void> never;
        never.get_future().wait_for(30s);
    }
};

[[noreturn]] void run_on_two_threads() {
    Server server;
    server.handle(test::Echo{});
    const auto url = server.listen("127.0.0.1:0");
    server.start();
    asio::io_context context;
    Client client{context};
    client.connect(*url, Blocking{});
    std::thread other{[&] { context.run(); }};
    context.run();
    ::_exit(1);
}

}  // namespace

TEST_CASE("two threads that run the loop of a client abort the process", "[client][threads]") {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        std::signal(SIGABRT, SIG_DFL);  // not that of Catch2
        ::dup2(ends[1], STDERR_FILENO);
        run_on_two_threads();
    }
    ::close(ends[1]);
    std::string text;
    char buffer[256];
    for (ssize_t count; (count = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
        text.append(buffer, static_cast<std::size_t>(count));
    }
    ::close(ends[0]);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CAPTURE(text);
    REQUIRE(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGABRT);
    CHECK(text.find("two threads run one io_context at the same time") != std::string::npos);
}

#endif
