// Handlers that do not return from create(), destroy() or on_command(), until a test opens their FIFO.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <stop_token>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "wsserver/base/descriptor.hpp"
#include "wsserver/handler/shared_object.hpp"
#include "wsserver/scheduling/foreign_calls.hpp"

using namespace wsserver;
using namespace std::chrono_literals;
using wsserver::test::TemporaryFolder;

namespace {

const std::string waiter = std::string{WSSERVER_TEST_MODULES} + "/waiter.so";

/// A FIFO for which handlers wait.
class Fifo {
   public:
    Fifo() { REQUIRE(::mkfifo(path_.c_str(), 0600) == 0); }
    std::string path() const { return path_; }
    /// Lets one handler go. Waits for it.
    void open() const {
        const Descriptor writer{::open(path_.c_str(), O_WRONLY | O_CLOEXEC)};
        REQUIRE(writer);
    }

   private:
    TemporaryFolder folder_;
    std::string path_ = folder_.path() + "/fifo";
};

HandlerLoader loading(const std::string& config, HandlerLog log = {}) {
    return [config, log] { return load_handler(waiter, {}, config, log); };
}

std::vector<std::string> calls() {
    std::vector<std::string> names;
    for (const auto& call : ForeignCalls::of_process().states()) names.push_back(call.name);
    return names;
}

bool all_have_returned(ForeignCalls::Kind kind) { return ForeignCalls::of_process().wait_for_all(kind, 1h); }

}  // namespace

TEST_CASE("a create() that hangs is an error at the deadline, and is named until it returns", "[hanging]") {
    const Fifo fifo;
    const auto handler = load_within(10ms, {}, waiter, loading("create " + fifo.path()));
    REQUIRE_FALSE(handler);
    CHECK(handler.error() ==
          "handler '" + waiter + "': its start does not end within 10 ms: a constructor or create() hangs");
    CHECK(calls() == std::vector{"create() of " + waiter});
    fifo.open();
    CHECK(all_have_returned(ForeignCalls::Kind::load));
    CHECK(all_have_returned(ForeignCalls::Kind::end));  // loaded too late, and so ended
}

TEST_CASE("a program that stops does not wait for a create()", "[hanging]") {
    const Fifo fifo;
    std::stop_source stop;
    stop.request_stop();
    const auto handler = load_within(1h, stop.get_token(), waiter, loading("create " + fifo.path()));
    REQUIRE_FALSE(handler);
    CHECK(handler.error() == "handler '" + waiter + "': the program stops, and its start has not ended");
    fifo.open();
    CHECK(all_have_returned(ForeignCalls::Kind::load));
}

TEST_CASE("a handler that is loaded in time serves, and its own errors are unchanged", "[hanging]") {
    const auto handler = load_within(1h, {}, waiter, loading("nowhere"));
    REQUIRE(handler);
    CHECK((*handler)->name() == "waiter");
    const auto missing = load_within(1h, {}, "/no/such.so", [] { return load_handler("/no/such.so"); });
    REQUIRE_FALSE(missing);
    CHECK(missing.error() == "handler '/no/such.so': it cannot be opened: No such file or directory");
}

TEST_CASE("too many starts that hang are an error", "[hanging]") {
    const Fifo fifo;
    std::stop_source stop;
    stop.request_stop();  // so that no load is awaited
    for (std::size_t i = 0; i < ForeignCalls::most; ++i) {
        CHECK_FALSE(load_within(1h, stop.get_token(), waiter, loading("create " + fifo.path())));
    }
    const auto handler = load_within(1h, {}, waiter, loading("create " + fifo.path()));
    REQUIRE_FALSE(handler);
    CHECK(handler.error().find("8 handlers hang while they start: `status` names them") != std::string::npos);
    // Those that wait for the FIFO are let go together, and others come later.
    while (!ForeignCalls::of_process().wait_for_all(ForeignCalls::Kind::load, 0ms)) {
        const Descriptor writer{::open(fifo.path().c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)};
        static_cast<void>(ForeignCalls::of_process().wait_for_all(ForeignCalls::Kind::load, 1ms));
    }
    CHECK(all_have_returned(ForeignCalls::Kind::end));
}

TEST_CASE("a destroy() runs on a thread of its own and is named while it hangs", "[hanging]") {
    const Fifo fifo;
    auto handler = load_handler(waiter, {}, "destroy " + fifo.path());
    REQUIRE(handler);
    {
        const HandlersEndLater later;
        handler->reset();
    }
    CHECK(calls() == std::vector<std::string>{"destroy() of waiter"});
    CHECK_FALSE(wait_for_handler_ends(0ms));
    fifo.open();
    CHECK(wait_for_handler_ends(1h));
    CHECK(calls().empty());
}

TEST_CASE("no handler is loaded while too many do not end, and each one ends at last", "[hanging]") {
    const Fifo fifo;
    std::vector<std::shared_ptr<AnyHandler>> handlers;
    for (std::size_t i = 0; i < 2 * ForeignCalls::most; ++i) {
        auto handler = load_handler(waiter, {}, "destroy " + fifo.path());
        REQUIRE(handler);
        handlers.push_back(*std::move(handler));
    }
    {
        const HandlersEndLater later;
        handlers.clear();
    }
    CHECK(calls() == std::vector<std::string>(16, "destroy() of waiter"));
    for (const auto& refused : {load_handler(waiter), load_within(1h, {}, waiter, loading("nowhere"))}) {
        REQUIRE_FALSE(refused);
        CHECK(refused.error() == "handler '" + waiter +
                                     "': 16 handlers have not ended: `status` names them; if their destroy() hangs, "
                                     "only a restart ends them");
    }
    while (!wait_for_handler_ends(0ms)) {  // those that wait for the FIFO are let go together, and others come later
        const Descriptor writer{::open(fifo.path().c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)};
        static_cast<void>(wait_for_handler_ends(1ms));
    }
    CHECK(load_handler(waiter));
    CHECK(wait_for_handler_ends(1h));
}

TEST_CASE("letting go of a handler waits for its destroy()", "[hanging]") {
    auto handler = load_handler(waiter);
    REQUIRE(handler);
    handler->reset();
    CHECK(wait_for_handler_ends(0ms));
}
