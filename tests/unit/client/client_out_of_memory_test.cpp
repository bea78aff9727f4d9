// Each allocation of an attempt and a connection of a client fails in turn.
#include <chrono>
#include <functional>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/one_loop.hpp"
#include "wsserver/client.hpp"

using namespace wsserver;
using namespace wsserver::test;

namespace {

struct Counts {
    int opens = 0, closes = 0, echoes = 0, ends = 0;
};

struct Hello {
    Counts* counts;
    void on_open(AnyConnection& connection) {
        ++counts->opens;
        connection.send(Text{"hello"});
    }
    void on_message(AnyConnection&, const Text&) { ++counts->echoes; }
    void on_close(AnyConnection&, const Close&) { ++counts->closes; }
};

void run_until(OneLoop& loop, const std::function<bool()>& done) {
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds{30};
    while (!done() && std::chrono::steady_clock::now() < patience) {
        const AllocationsMayFail within;
        loop.context.run_one_for(std::chrono::seconds{1});
    }
}

/// The allocations from `first` on fail, `count` in a row. Returns whether one has failed.
bool fails(std::size_t first, std::size_t count) {
    OneLoop loop;
    loop.context.poll();  // the server listens
    Counts counts;
    Client client{loop.context};
    client.on_end([&](const ConnectionEnd&, bool) { ++counts.ends; });
    client.connect(loop.url, Hello{&counts});
    AllocationFailures::from(first, count);
    run_until(loop, [&] { return counts.echoes > 0 || counts.ends > 0; });
    const bool failed = AllocationFailures::happened() > 0;
    AllocationFailures::none();
    if (counts.ends == 0) client.close();
    run_until(loop, [&] { return counts.ends > 0; });
    CHECK(counts.ends == 1);
    CHECK(counts.opens == counts.closes);

    // The loop still serves the client.
    counts.echoes = 0;
    client.connect(loop.url, Hello{&counts});
    run_until(loop, [&] { return counts.echoes > 0; });
    CHECK(counts.echoes == 1);
    return failed;
}

}  // namespace

TEST_CASE("running out of memory ends a client's attempt or connection, not its loop", "[client]") {
    const auto in_a_row = GENERATE(std::size_t{1}, std::size_t{20});
    std::size_t first = 1;
    CAPTURE(in_a_row, first);
    while (fails(first, in_a_row)) ++first;
    CHECK(first > 10);
}
