// Messages in pieces of handlers that run on workers: a part that is lost on its way never leaves a message that looks
// whole.
#include <algorithm>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"
#include "wsserver/server/detail/pooled_handler.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

/// What a handler has got, and what it does.
struct Desk {
    std::size_t first_parts = 0, last_parts = 0, wrong_messages = 0, closes = 0;
    std::string message{};             ///< so far
    std::vector<std::string> whole{};  ///< the messages that a last part may end
    std::size_t throws_at = 0;         ///< the part, counted from 1, at which it throws
    std::function<void(AnyConnection&)> on_open{};
};

struct Program {
    static constexpr Runs runs = Runs::pooled;
    Desk* desk;
    std::size_t parts = 0;

    void on_open(AnyConnection& connection) {
        if (desk->on_open) desk->on_open(connection);
    }
    void on_part(AnyConnection&, const Part& part) {
        const AllocationsSucceed records;
        if (part.first) desk->message.clear();
        desk->message += text_of(part.bytes);
        desk->first_parts += part.first ? 1U : 0U;
        if (++parts == desk->throws_at) throw std::runtime_error{"the disk is full"};
        if (!part.last) return;
        ++desk->last_parts;
        const auto& whole = desk->whole;
        if (std::find(whole.begin(), whole.end(), desk->message) == whole.end()) ++desk->wrong_messages;
    }
    void on_close(AnyConnection&, const Close&) { ++desk->closes; }
};

struct QuietWorker final : Worker {
    void failed(TaskName, std::exception_ptr) noexcept override {}
};

/// A reactor in memory with a pooled handler, whose worker is a thread that runs to its end in each step. Allocations
/// may fail within settle() only.
class Rig final : public ReactorShared {
   public:
    explicit Rig(Desk& desk) : handler_(make_handler("program", Program{&desk})) {}
    ~Rig() {
        while (queue_.try_pop()) {
        }
    }

    // ReactorShared
    const std::shared_ptr<Hub>& hub() const noexcept override { return any_hub_; }
    OfferDecision choose(OwnedConnection& connection, const Offer& offer) override {
        const AllocationsSucceed opens;
        Acceptance acceptance{handler_, {}};
        acceptance.handler = make_pooled(acceptance, connection, offer.request.target, server_hub, ready_);
        return acceptance;
    }
    std::optional<HttpResponse> answer(const HttpRequest&) override { return std::nullopt; }
    void on_ended(const ConnectionEnd& end) override {
        const AllocationsSucceed records;
        causes.push_back(end.cause);
    }
    StreamAdmission admit() noexcept override { return StreamAdmission::welcome; }
    void released() noexcept override {}
    void on_stopped(std::uint16_t) override {}

    Reactor<MemoryTransport>& reactor() noexcept { return reactors_[0]; }
    WireClient open() {
        WireClient client{network.wire(place_)};
        client.wire().write(upgrade_request());
        settle();
        (void)client.read_response();
        return client;
    }
    /// Runs the reactor and the worker until they have nothing left to do.
    void settle() {
        do {
            const AllocationsMayFail within;
            network.advance(100ms);
        } while (run_worker() > 0);
    }

    MemoryNetwork network;
    const std::shared_ptr<ServerHub> server_hub = std::make_shared<ServerHub>(std::size_t{64} << 10);
    Strings causes;  ///< of the ends of connections

   private:
    std::size_t run_worker() {
        std::size_t count = 0;
        if (queue_.size() == 0) return count;
        std::thread{[&] {
            QuietWorker worker;
            const AllocationsMayFail within;
            while (TaskPtr task = queue_.try_pop()) {
                Task& current = *task;
                if (TaskPtr again = current.run(std::move(task), worker)) queue_.push(std::move(again));
                ++count;
            }
        }}.join();
        return count;
    }

    const Endpoint place_{"server", 80, {}};
    std::shared_ptr<Hub> any_hub_ = server_hub;
    std::shared_ptr<AnyHandler> handler_;
    PriorityTaskQueue queue_;
    MemoryAccount memory_;
    ReadyMailboxes ready_{queue_, memory_, [this] { reactor().post([this] { ready_.push(); }); }};
    MemoryReactors reactors_{*this, *server_hub, {}, network, place_};
};

/// A frame of a client whose masking key is zero. `first` is the first byte.
std::string frame(unsigned char first, std::string_view payload) {
    const auto byte = [](std::size_t value) { return static_cast<char>(value & 0xFF); };
    std::string bytes{static_cast<char>(first), byte(0x80 | 126), byte(payload.size() >> 8), byte(payload.size())};
    return bytes.append(4, '\0').append(payload);
}

const std::string beginning(200, 'a'), middle(20'000, 'b'), ending(200, 'c');
const std::string three_frames = frame(0x01, beginning) + frame(0x00, middle) + frame(0x80, ending);

}  // namespace

TEST_CASE("nothing of a message follows a part at which the handler threw", "[pooled_parts]") {
    Desk desk;
    desk.throws_at = GENERATE(1U, 2U);
    const std::string next(200, 'd');
    desk.whole = {next};
    Rig rig{desk};
    WireClient client = rig.open();
    client.wire().write(three_frames + frame(0x81, next));
    rig.settle();
    CHECK(desk.first_parts == 2);
    CHECK(desk.last_parts == 1);  // of the next message
    CHECK(desk.wrong_messages == 0);
    CHECK(client.read() == Strings{"close 1011 the handler failed"});
    client.wire().reset();
    rig.settle();
    CHECK(desk.closes == 1);
}

TEST_CASE("nothing of a message follows a part for which there was no memory", "[pooled_parts]") {
    const auto in_a_row = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{10});
    std::size_t failing = 1, unfinished = 0;
    for (bool failed = true; failed; ++failing) {
        Desk desk;
        desk.whole = {beginning + middle + ending};
        Rig rig{desk};
        WireClient client = rig.open();
        client.wire().write(three_frames);
        AllocationFailures::from(failing, in_a_row);
        rig.settle();
        failed = AllocationFailures::happened() > 0;
        AllocationFailures::none();
        rig.settle();
        CAPTURE(failing, in_a_row);
        REQUIRE(desk.wrong_messages == 0);
        if (!failed) REQUIRE(desk.last_parts == 1);
        if (desk.last_parts > 0) continue;
        unfinished += desk.first_parts;
        client.wire().reset();
        rig.settle();
        REQUIRE(desk.closes == 1);
    }
    CHECK(failing > 2);
    CHECK(unfinished > 0);
}

namespace {

/// Goes on after each failure, as no program should.
template <class F>
void carelessly(F&& call) {
    try {
        call();
    } catch (const std::bad_alloc&) {
    }
}

void send_carelessly(AnyConnection& connection) {
    carelessly([&] { (void)connection.begin_message(Opcode::text); });
    for (const std::string* piece : {&beginning, &middle, &ending}) carelessly([&] { connection.append(*piece); });
    carelessly([&] { connection.end_message(); });
    carelessly([&] { (void)connection.begin_message(Opcode::text); });
    carelessly([&] { connection.append("more"); });
    carelessly([&] { connection.end_message(); });
}

}  // namespace

TEST_CASE("a piece that could not be sent for lack of memory never leaves a message that looks whole",
          "[pooled_parts]") {
    const auto in_a_row = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{10});
    const std::string whole = "text " + beginning + middle + ending;
    std::size_t failing = 1, cut = 0;
    for (bool failed = true; failed; ++failing) {
        Desk desk;
        Rig rig{desk};
        desk.on_open = send_carelessly;
        AllocationFailures::from(failing, in_a_row);
        WireClient client = rig.open();
        failed = AllocationFailures::happened() > 0;
        AllocationFailures::none();
        rig.settle();
        CAPTURE(failing, in_a_row);
        const Strings events = client.read();
        for (const std::string& event : events) {
            if (event.starts_with("text")) REQUIRE((event == whole || event == "text more"));
        }
        if (!failed) REQUIRE(events == Strings{whole, "text more"});
        if (events == Strings{"close 1011 a message could not be completed"}) ++cut;
        client.wire().reset();
        rig.settle();
        if (events == Strings{"close 1011 a message could not be completed"}) {
            REQUIRE(rig.causes == Strings{"out of memory for a piece of a message"});
            REQUIRE(rig.reactor().counters().handler_exceptions.read() == 0);
        }
    }
    CHECK(failing > 2);
    CHECK(cut > 0);
}

TEST_CASE("the cause of a message in pieces that is not UTF-8 is not an exception", "[pooled_parts]") {
    Desk desk;
    Rig rig{desk};
    desk.on_open = [](AnyConnection& connection) {
        (void)connection.begin_message(Opcode::text);
        connection.append("a");
        connection.append("\xff");
    };
    WireClient client = rig.open();
    CHECK(client.read() == Strings{"close 1011 a message could not be completed"});
    client.wire().reset();
    rig.settle();
    CHECK(rig.causes == Strings{"a text that was sent in pieces was not UTF-8"});
    CHECK(rig.reactor().counters().handler_exceptions.read() == 0);
}

TEST_CASE("messages that a worker sends to a connection that closes are counted, in pieces or not", "[pooled_parts]") {
    Desk desk;
    Rig rig{desk};
    desk.on_open = [](AnyConnection& connection) {
        connection.close();  // its thread closes later
        connection.send("whole");
        for (const auto type : {Opcode::text, Opcode::binary}) {
            (void)connection.begin_message(type);
            connection.append("in");
            connection.append("pieces");
            connection.end_message();
        }
    };
    (void)rig.open();
    CHECK(rig.reactor().counters().messages_dropped.read() == 3);
}

TEST_CASE("a message in pieces that is too much for the queue is counted once", "[pooled_parts]") {
    Desk desk;
    Rig rig{desk};
    WireClient client = rig.open();
    client.wire().set_window(0);
    const auto put = [&](InboxItem::Kind kind, Bytes payload) {
        InboxItem item;
        item.kind = kind;
        item.to = rig.reactor().list().at(0).id;
        item.send_as = SendKind::reply;
        (void)rig.server_hub->put(std::move(item), payload);
    };
    const std::vector<std::uint8_t> much(std::size_t{17} << 20);
    put(InboxItem::Kind::begin_binary, much);
    rig.settle();
    put(InboxItem::Kind::append, much);
    rig.settle();
    CHECK(rig.reactor().counters().slow_consumers.read() == 1);
    CHECK(rig.reactor().counters().messages_dropped.read() == 1);
}

TEST_CASE("the pieces that a worker has checked are not checked again", "[pooled_parts]") {
    Desk desk;
    Rig rig{desk};
    WireClient client = rig.open();
    std::thread{[&, id = rig.reactor().list().at(0).id] {
        for (const auto kind : {InboxItem::Kind::begin_text, InboxItem::Kind::append, InboxItem::Kind::end_message}) {
            InboxItem item;
            item.kind = kind;
            item.to = id;
            // No worker sends this: it shows who checks.
            const bool ends = kind == InboxItem::Kind::end_message;
            (void)rig.server_hub->put(std::move(item), ends ? Bytes{} : bytes_of("\xff"));
        }
    }}.join();
    rig.settle();
    using namespace std::string_literals;
    CHECK(client.wire().read() == "\x01\x01\xff\x00\x01\xff\x80\x00"s);
}
