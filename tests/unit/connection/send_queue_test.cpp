#include "wsserver/connection/send_queue.hpp"

#include <cstring>
#include <deque>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/frames.hpp"
#include "support/strings.hpp"
#include "wsserver/protocol/frame.hpp"
using wsserver::test::frames_in;
using wsserver::test::Strings;

using namespace wsserver;

namespace {

constexpr std::size_t everything = std::numeric_limits<std::size_t>::max();

std::string frame(Opcode opcode, bool fin, std::string_view payload, std::optional<MaskingKey> key = {}) {
    OutputBuffer output;
    append_frame(output, {.fin = fin, .opcode = opcode, .masking_key = key, .payload_length = payload.size()},
                 bytes_of(payload));
    return std::string{text_of(output.bytes())};
}

/// A text message in fragments.
std::string message(const std::vector<std::string>& fragments) {
    std::string frames;
    for (std::size_t i = 0; i < fragments.size(); ++i) {
        frames += frame(i == 0 ? Opcode::text : Opcode::continuation, i + 1 == fragments.size(), fragments[i]);
    }
    return frames;
}

std::string ping(std::string_view payload) { return frame(Opcode::ping, true, payload); }
std::string close_frame() { return frame(Opcode::close, true, "\x03\xE8"); }

struct Fixture {
    SendQueueLimits limits;
    SendQueue queue{limits};

    PushResult push(std::string_view frames, SendKind kind = SendKind::reply) {
        return queue.push(bytes_of(frames), kind);
    }
    bool nothing_waits() const { return queue.bytes() == queue.in_flight(); }
    /// The bytes of one take(), which are then reported as sent.
    std::string take(std::size_t max_bytes = everything) {
        std::string bytes = take_only(max_bytes);
        queue.batch_sent();
        return bytes;
    }
    std::string take_only(std::size_t max_bytes = everything) {
        std::vector<SendPiece> batch;
        const bool any = queue.take(max_bytes, batch);
        CHECK(any == !batch.empty());
        std::string bytes;
        for (const SendPiece& piece : batch) {
            CHECK(piece.owner);
            bytes += text_of(piece.bytes);
        }
        CHECK(queue.in_flight() == bytes.size());
        return bytes;
    }
};

}  // namespace

TEST_CASE("a new queue is empty", "[send_queue]") {
    Fixture f;
    CHECK(f.queue.idle());
    CHECK(f.nothing_waits());
    CHECK(f.take().empty());
}

TEST_CASE("messages are sent in the order in which they were pushed", "[send_queue]") {
    Fixture f;
    CHECK(f.push(message({"a"})).status == SendStatus::queued);
    CHECK(f.push(message({"b", "c"})).status == SendStatus::queued);
    CHECK(f.push(message({""})).status == SendStatus::queued);
    CHECK(f.queue.messages() == 3);
    CHECK(frames_in(f.take_only()) == Strings{"81 a", "01 b", "80 c", "81"});
    CHECK(f.nothing_waits());
    CHECK_FALSE(f.queue.idle());
    f.queue.batch_sent();
    CHECK(f.queue.idle());
}

TEST_CASE("short messages are joined into one piece", "[send_queue]") {
    Fixture f;
    for (int i = 0; i < 100; ++i) f.push(message({"hello"}));
    std::vector<SendPiece> batch;
    f.queue.take(everything, batch);
    CHECK(batch.size() == 1);
}

TEST_CASE("bytes in flight do not move while more messages are pushed", "[send_queue]") {
    Fixture f;
    f.push(message({"first"}));
    std::vector<SendPiece> batch;
    f.queue.take(everything, batch);
    for (int i = 0; i < 10'000; ++i) f.push(message({std::string(100, 'x')}));
    REQUIRE(batch.size() == 1);
    CHECK(frames_in(text_of(batch[0].bytes)) == Strings{"81 first"});
    f.queue.batch_sent();
    CHECK(frames_in(f.take()).size() == 10'000);
}

TEST_CASE("a shared message is not copied and is released after it was taken", "[send_queue]") {
    Fixture f;
    const auto shared = std::make_shared<const std::string>(message({std::string(1000, 'x')}));
    f.queue.push_shared(shared, bytes_of(*shared));
    CHECK(shared.use_count() == 2);
    {
        std::vector<SendPiece> batch;
        f.queue.take(everything, batch);
        REQUIRE(batch.size() == 1);
        CHECK(batch[0].bytes.data() == bytes_of(*shared).data());
        CHECK(batch[0].owner == shared);
    }
    f.queue.batch_sent();
    CHECK(shared.use_count() == 1);
}

TEST_CASE("a shared message counts as a whole until all of it was sent", "[send_queue]") {
    Fixture f;
    const std::string part(1000, 'x');
    const auto first = std::make_shared<const std::string>(message({part, part, part}));
    const auto second = std::make_shared<const std::string>(message({part, part}));
    f.queue.push_shared(first, bytes_of(*first));
    f.queue.push_shared(second, bytes_of(*second));
    const std::size_t both = first->size() + second->size();
    CHECK(f.queue.shared() == both);
    const std::size_t taken = f.take(1100).size();
    CHECK(taken < first->size());
    CHECK(f.queue.shared() == both);
    CHECK(f.queue.shared_left() == both - taken);
    SECTION("the rest of it and a part of the next one are sent") {
        (void)f.take_only(first->size() - taken + 1100);
        CHECK(f.queue.shared() == both);
        f.queue.batch_sent();
        CHECK(f.queue.shared() == second->size());
        CHECK(f.queue.shared_left() < second->size());
        (void)f.take();
    }
    SECTION("the rest is discarded") { f.queue.discard(); }
    SECTION("the rest is discarded while some is in flight") {
        (void)f.take_only(1100);
        f.queue.discard();
        CHECK(f.queue.shared() > 0);
        f.queue.batch_sent();
    }
    SECTION("the rest is sent in pieces") {
        while (!f.queue.idle()) (void)f.take(1100);
    }
    CHECK(f.queue.idle());
    CHECK(f.queue.shared() == 0);
}

TEST_CASE("a short shared message is copied", "[send_queue]") {
    Fixture f;
    const auto shared = std::make_shared<const std::string>(message({"hi"}));
    f.queue.push_shared(shared, bytes_of(*shared));
    CHECK(shared.use_count() == 1);
    CHECK(frames_in(f.take()) == Strings{"81 hi"});
}

TEST_CASE("a batch has complete frames of at most max_bytes in total", "[send_queue]") {
    Fixture f;
    f.push(message({"1234", "5678"}));  // 6 bytes a frame
    f.push(message({"abcd"}));
    CHECK(frames_in(f.take(13)) == Strings{"01 1234", "80 5678"});
    f.push(message({"efgh"}));
    CHECK(frames_in(f.take(11)) == Strings{"81 abcd"});
    CHECK(frames_in(f.take(6)) == Strings{"81 efgh"});
}

TEST_CASE("a batch has at least one frame of any length", "[send_queue]") {
    Fixture f;
    f.push(message({std::string(70'000, 'x'), "y"}));
    CHECK(f.take(1).size() == 70'010);
    CHECK(frames_in(f.take(0)) == Strings{"80 y"});
}

TEST_CASE("pings and pongs overtake messages", "[send_queue][rfc6455-5.5]") {
    Fixture f;
    f.push(message({"a"}));
    f.push(ping("1"), SendKind::control);
    f.push(message({"b"}));
    f.push(frame(Opcode::pong, true, "2"), SendKind::control);
    CHECK(frames_in(f.take()) == Strings{"89 31", "8a 32", "81 a", "81 b"});
}

TEST_CASE("pings and pongs are sent between the fragments of a message", "[send_queue][rfc6455-5.4]") {
    Fixture f;
    f.push(message({"1234", "5678"}));
    CHECK(frames_in(f.take(6)) == Strings{"01 1234"});
    f.push(ping(""), SendKind::control);
    CHECK(frames_in(f.take()) == Strings{"89", "80 5678"});
}

TEST_CASE("the length of a masked frame is taken from its header", "[send_queue][rfc6455-5.3]") {
    Fixture f;
    const MaskingKey key{1, 2, 3, 4};
    const std::string first = frame(Opcode::binary, false, std::string(300, 'x'), key);
    const std::string last = frame(Opcode::continuation, true, "y", key);
    f.push(first + last);
    CHECK(f.take(1) == first);
    CHECK(f.take(1) == last);
}

TEST_CASE("a Close frame is sent last, pings overtake it, nothing follows it", "[send_queue][rfc6455-5.5.1]") {
    Fixture f;
    f.push(message({"a", "b"}));
    CHECK(f.push(close_frame(), SendKind::close).status == SendStatus::queued);
    CHECK(f.push(message({"late"})).status == SendStatus::closed);
    CHECK(f.queue.push_shared(nullptr, bytes_of(message({"late"}))).status == SendStatus::closed);
    CHECK(f.push(close_frame(), SendKind::close).status == SendStatus::closed);
    CHECK(frames_in(f.take(1)) == Strings{"01 a"});
    CHECK(f.push(ping("p"), SendKind::control).status == SendStatus::queued);
    CHECK(frames_in(f.take()) == Strings{"89 70", "80 b", "88 03 e8"});
    CHECK(f.queue.idle());
    CHECK(f.push(message({"late"})).status == SendStatus::closed);
}

TEST_CASE("after discard only a Close frame may follow", "[send_queue]") {
    Fixture f;
    f.push(message({"1", "2"}));
    f.push(message({"3"}));
    CHECK(frames_in(f.take_only(1)) == Strings{"01 1"});
    f.push(ping(""), SendKind::control);
    CHECK(f.queue.discard() == 2);
    CHECK(f.nothing_waits());
    CHECK(f.queue.bytes() == 3);
    CHECK(f.push(message({"4"})).status == SendStatus::closed);
    f.push(close_frame(), SendKind::close);
    f.queue.batch_sent();
    CHECK(frames_in(f.take()) == Strings{"88 03 e8"});
}

TEST_CASE("a message is accepted while the queue is not over the limit", "[send_queue]") {
    Fixture f{{.high_mark = 1000, .hard_limit = 5000, .policy = SlowConsumer::drop_newest}};
    const std::string long_message = message({std::string(10'000, 'x')});
    CHECK(f.push(long_message, SendKind::message).status == SendStatus::queued);
    CHECK(f.push(message({"a"}), SendKind::message).status == SendStatus::dropped);
    CHECK(f.push(message({"a"}), SendKind::reply).status == SendStatus::dropped);
    CHECK(f.take() == long_message);
    CHECK(f.push(message({"a"}), SendKind::message).status == SendStatus::queued);
}

TEST_CASE("limits of zero let one message through at a time", "[send_queue]") {
    Fixture f{{.high_mark = 0, .hard_limit = 0, .policy = SlowConsumer::drop_newest}};
    CHECK(f.push(message({"a"}), SendKind::message).status == SendStatus::queued);
    CHECK(f.push(message({"b"}), SendKind::message).status == SendStatus::dropped);
    CHECK(frames_in(f.take()) == Strings{"81 a"});
    CHECK(f.push(message({"c"})).status == SendStatus::queued);
}

TEST_CASE("above the high mark only replies are queued, up to the hard limit", "[send_queue]") {
    const auto policy = GENERATE(SlowConsumer::close, SlowConsumer::drop_newest);
    Fixture f{{.high_mark = 1000, .hard_limit = 5000, .policy = policy}};
    const std::string kilo = message({std::string(996, 'x')});
    f.push(kilo, SendKind::message);
    f.push(kilo, SendKind::message);
    CHECK(f.queue.is_over_high_mark());
    const auto refused = [&](PushResult result) {
        if (policy == SlowConsumer::close) {
            return result.status == SendStatus::closed && result.must_close && result.dropped == 0;
        }
        return result.status == SendStatus::dropped && !result.must_close && result.dropped == 1;
    };
    CHECK(refused(f.push(kilo, SendKind::message)));
    while (f.queue.bytes() < 5000) CHECK(f.push(kilo, SendKind::reply).status == SendStatus::queued);
    CHECK(refused(f.push(kilo, SendKind::reply)));
    CHECK(f.queue.messages() == 5);
}

TEST_CASE("bytes that were passed to the transport count as queued", "[send_queue]") {
    Fixture f{{.high_mark = 1000, .hard_limit = 5000, .policy = SlowConsumer::close}};
    f.queue.add_in_flight(1001);
    CHECK(f.queue.is_over_high_mark());
    CHECK(f.push(message({"a"}), SendKind::message).must_close);
    CHECK(f.push(message({"a"}), SendKind::reply).status == SendStatus::queued);
    f.queue.batch_sent();
    CHECK_FALSE(f.queue.is_over_high_mark());
}

TEST_CASE("drop_oldest drops the message that waits longest", "[send_queue]") {
    // 7 bytes for each, and 48 for the bookkeeping of their run.
    Fixture f{{.high_mark = 68, .hard_limit = 5000, .policy = SlowConsumer::drop_oldest}};
    f.push(message({"first"}), SendKind::reply);
    f.push(message({"secnd"}), SendKind::message);
    CHECK(f.push(message({"third"}), SendKind::message).dropped == 0);
    const PushResult result = f.push(message({"forth"}), SendKind::message);
    CHECK(result.status == SendStatus::queued);
    CHECK(result.dropped == 1);
    CHECK(f.push(message({"reply"}), SendKind::reply).dropped == 0);
    CHECK(f.push(message({"sixth"}), SendKind::message).dropped == 2);
    CHECK(frames_in(f.take()) == Strings{"81 forth", "81 reply", "81 sixth"});
}

TEST_CASE("drop_oldest keeps a message that was partly taken", "[send_queue][rfc6455-5.4]") {
    // The fragments of one message, then other messages in the same run. The message that was partly taken is kept.
    Fixture f{{.high_mark = 10, .hard_limit = 5000, .policy = SlowConsumer::drop_oldest}};
    f.push(message({"a1", "a2", "a3"}));
    f.push(message({"b1", "b2"}));
    f.push(message({"c1"}));
    CHECK(frames_in(f.take(1)) == Strings{"01 a1"});
    const PushResult result = f.push(message({"d1"}), SendKind::message);
    CHECK(result.status == SendStatus::queued);
    CHECK(result.dropped == 2);
    CHECK(frames_in(f.take(1)) == Strings{"00 a2"});
    CHECK(f.push(message({"e1"}), SendKind::message).dropped == 1);
    CHECK(frames_in(f.take()) == Strings{"80 a3", "81 e1"});
}

TEST_CASE("the pushed message is dropped if bytes in flight exceed the hard limit", "[send_queue]") {
    const auto policy = GENERATE(SlowConsumer::drop_oldest, SlowConsumer::keep_latest);
    Fixture f{{.high_mark = 10, .hard_limit = 100, .policy = policy}};
    f.queue.add_in_flight(50);
    CHECK(f.push(message({"a"}), SendKind::message).status == SendStatus::queued);
    f.queue.add_in_flight(51);
    const PushResult result = f.push(message({"b"}), SendKind::message);
    CHECK(result.status == SendStatus::dropped);
    CHECK(result.dropped == 2);
    CHECK(f.queue.messages() == 0);
}

TEST_CASE("keep_latest keeps one message that waits", "[send_queue]") {
    Fixture f{{.high_mark = 10, .hard_limit = 5000, .policy = SlowConsumer::keep_latest}};
    f.push(message({"a1", "a2"}));
    f.push(message({"b1"}));
    f.push(message({"c1"}));
    CHECK(frames_in(f.take_only(1)) == Strings{"01 a1"});
    CHECK(f.push(message({"d1"}), SendKind::message).dropped == 2);
    CHECK(f.push(message({"e1"}), SendKind::message).dropped == 1);
    f.queue.batch_sent();
    CHECK(frames_in(f.take()) == Strings{"80 a2", "81 e1"});
}

TEST_CASE("pings and pongs are limited, too", "[send_queue]") {
    SECTION("close") {
        Fixture f{{.high_mark = 10, .hard_limit = 100, .policy = SlowConsumer::close}};
        while (f.queue.bytes() <= 100) CHECK(f.push(ping("x"), SendKind::control).status == SendStatus::queued);
        CHECK(f.push(ping("x"), SendKind::control).must_close);
    }
    SECTION("any other policy") {
        Fixture f{{.high_mark = 10, .hard_limit = 100, .policy = SlowConsumer::keep_latest}};
        while (f.queue.bytes() <= 100) CHECK(f.push(ping("x"), SendKind::control).status == SendStatus::queued);
        CHECK(f.push(ping("x"), SendKind::control).status == SendStatus::dropped);
        CHECK(frames_in(f.take()).size() == 34);
    }
}

TEST_CASE("reading is held from over the high mark until half of it", "[send_queue]") {
    Fixture f{{.high_mark = 1000, .hard_limit = 5000, .policy = SlowConsumer::close}};
    for (int i = 0; i < 12; ++i) {
        CHECK_FALSE(f.queue.holds_reading());
        f.push(message({std::string(80, 'x')}));
    }
    CHECK(f.queue.holds_reading());
    f.take(400);
    CHECK_FALSE(f.queue.is_over_high_mark());
    CHECK(f.queue.holds_reading());
    f.take(300);
    CHECK_FALSE(f.queue.holds_reading());
}

TEST_CASE("the limits may change", "[send_queue]") {
    Fixture f{{.high_mark = 10, .hard_limit = 5000, .policy = SlowConsumer::close}};
    f.push(message({"0123456789"}));
    CHECK(f.push(message({"a"}), SendKind::message).must_close);
    f.limits.high_mark = 1000;
    CHECK(f.push(message({"a"}), SendKind::message).status == SendStatus::queued);
}

TEST_CASE("short messages cost little more than their bytes", "[send_queue]") {
    // Otherwise the limit would not hold: a message of 2 bytes would need 48 bytes of bookkeeping.
    Fixture f{{.high_mark = 10'000, .hard_limit = 20'000, .policy = SlowConsumer::drop_newest}};
    std::size_t queued = 0;
    while (f.push(message({""}), SendKind::message).status == SendStatus::queued) ++queued;
    CHECK(queued >= 4'900);
    CHECK(f.queue.bytes() <= 10'002);
}

TEST_CASE("the bookkeeping of shared messages counts towards the limit", "[send_queue]") {
    Fixture f{{.high_mark = 100'000, .hard_limit = 200'000, .policy = SlowConsumer::drop_newest}};
    const auto shared = std::make_shared<const std::string>(message({std::string(200, 'x')}));
    while (f.queue.push_shared(shared, bytes_of(*shared)).status == SendStatus::queued) {
    }
    CHECK(f.queue.bytes() < 90'000);
}

TEST_CASE("the queue behaves like a list of frames", "[send_queue]") {
    struct Waiting {
        std::vector<std::string> frames;
        std::size_t left = 0;  ///< frames that were taken
    };
    const auto policy =
        GENERATE(SlowConsumer::drop_oldest, SlowConsumer::drop_newest, SlowConsumer::keep_latest, SlowConsumer::close);
    for (unsigned seed = 1; seed <= 50; ++seed) {
        CAPTURE(seed);
        std::mt19937 random{seed};
        const auto below = [&](unsigned bound) {
            return std::uniform_int_distribution<unsigned>{0, bound - 1}(random);
        };
        Fixture f{{.high_mark = 2000, .hard_limit = 4000, .policy = policy}};
        std::deque<Waiting> model;
        std::string controls;
        int number = 0;
        const auto droppable = [&] { return model.size() - (!model.empty() && model.front().left > 0 ? 1 : 0); };
        const auto first_droppable = [&] {
            return std::next(model.begin(), static_cast<std::ptrdiff_t>(model.size() - droppable()));
        };
        for (int step = 0; step < 2000; ++step) {
            const unsigned what = below(10);
            if (what < 6) {
                Waiting fresh;
                std::string frames;
                const unsigned fragments = 1 + (below(3) == 0 ? below(5) : 0);
                for (unsigned i = 0; i < fragments; ++i) {
                    const std::string payload = std::to_string(++number) + std::string(below(below(4) ? 40 : 400), '.');
                    fresh.frames.push_back(
                        frame(i == 0 ? Opcode::text : Opcode::continuation, i + 1 == fragments, payload));
                    frames += fresh.frames.back();
                }
                const auto kind = below(3) == 0 ? SendKind::reply : SendKind::message;
                const bool over = f.queue.is_over_high_mark();
                const bool surely_over_hard = f.queue.bytes() > 4000;
                PushResult result;
                if (below(2) == 0) {
                    const auto shared = std::make_shared<const std::string>(frames);
                    result = f.queue.push_shared(shared, bytes_of(*shared), kind);
                } else {
                    result = f.push(frames, kind);
                }
                if (!over) REQUIRE((result.status == SendStatus::queued && result.dropped == 0));
                const bool policy_applies = (over && kind == SendKind::message) || surely_over_hard;
                const bool applied = result.status != SendStatus::queued || result.dropped > 0;
                if (policy_applies && policy != SlowConsumer::drop_oldest && policy != SlowConsumer::keep_latest) {
                    REQUIRE(applied);
                }
                if (policy_applies && droppable() > 0) REQUIRE(applied);
                const std::size_t itself = result.status == SendStatus::dropped ? 1 : 0;
                switch (policy) {
                    case SlowConsumer::close:
                        REQUIRE(result.dropped == 0);
                        REQUIRE(result.must_close == (result.status == SendStatus::closed));
                        break;
                    case SlowConsumer::drop_newest:
                        REQUIRE(result.dropped == itself);
                        break;
                    case SlowConsumer::keep_latest:
                        if (applied) REQUIRE(result.dropped == droppable() + itself);
                        if (applied) model.erase(first_droppable(), model.end());
                        break;
                    case SlowConsumer::drop_oldest:
                        REQUIRE(result.dropped <= droppable() + itself);
                        for (std::size_t i = itself; i < result.dropped; ++i) model.erase(first_droppable());
                        break;
                }
                if (result.status == SendStatus::queued) model.push_back(fresh);
            } else if (what == 6) {
                const std::string control = ping(std::to_string(++number));
                const PushResult result = f.push(control, SendKind::control);
                if (result.status == SendStatus::queued) controls += control;
            } else {
                if (f.queue.in_flight() > 0) f.queue.batch_sent();
                const std::size_t limit = below(4) == 0 ? below(40) : below(1500);
                const std::string bytes = f.take_only(limit);
                std::string expected = std::exchange(controls, {});
                while (!model.empty()) {
                    Waiting& front = model.front();
                    const std::string& next = front.frames[front.left];
                    if (!expected.empty() && expected.size() + next.size() > limit) break;
                    expected += next;
                    if (++front.left == front.frames.size()) model.pop_front();
                }
                REQUIRE(bytes == expected);
            }
            std::size_t waiting = controls.size();
            for (const Waiting& each : model) {
                for (std::size_t i = each.left; i < each.frames.size(); ++i) waiting += each.frames[i].size();
            }
            REQUIRE(f.queue.bytes() == waiting + f.queue.in_flight());
            REQUIRE(f.queue.messages() == model.size());
        }
    }
}

TEST_CASE("the memory of a queue is what its destruction frees", "[send_queue]") {
    SendQueueLimits limits;
    MemoryAccount account;
    {
        SendQueue queue{limits, &account};
        const std::string long_one = message({std::string(60'000, 'a'), std::string(60'000, 'b')});
        const auto owner = std::make_shared<const std::string>(long_one);
        const Bytes frames = bytes_of(std::string_view{*owner});
        std::vector<SendPiece> batch;

        // A message that others hold, too, costs only bookkeeping.
        CHECK(queue.push_shared(owner, frames).status == SendStatus::queued);
        CHECK(queue.memory() < 100);
        CHECK(queue.take(everything, batch));
        queue.batch_sent();
        CHECK(queue.memory() == 0);

        // A message of its own counts as a whole until its last byte is sent.
        CHECK(queue.push_shared(owner, frames, SendKind::reply, frames.size()).status == SendStatus::queued);
        CHECK(queue.take(70'000, batch));
        queue.batch_sent();
        CHECK(queue.bytes() < 61'000);
        CHECK(queue.memory() >= frames.size());
        CHECK(queue.take(everything, batch));
        CHECK(queue.memory() >= frames.size());
        CHECK(account.read() == queue.memory());
        queue.batch_sent();
        CHECK(queue.memory() == 0);

        // Copies count until they are sent or dropped.
        for (int i = 0; i < 5; ++i) queue.push(bytes_of(message({std::string(1000, 'c')})), SendKind::reply);
        CHECK(queue.memory() >= 5000);
        CHECK(queue.memory() < 5200);
        CHECK(queue.discard() == 5);
        CHECK(queue.memory() == 0);
        queue.add_in_flight(300, 300);
        CHECK(account.read() == 300);
    }
    CHECK(account.read() == 0);
}

TEST_CASE("memory that the policy drops is not counted any more", "[send_queue]") {
    const auto policy = GENERATE(SlowConsumer::drop_oldest, SlowConsumer::keep_latest);
    SendQueueLimits limits{10'000, 10'000, policy};
    MemoryAccount account;
    SendQueue queue{limits, &account};
    std::vector<SendPiece> batch;
    for (int i = 0; i < 100; ++i) {
        queue.push(bytes_of(message({std::string(900, 'a'), std::string(900, 'b')})), SendKind::reply);
        CHECK(account.read() <= 14'000);
        if (i % 10 != 9) continue;
        batch.clear();
        if (queue.in_flight() > 0) queue.batch_sent();
        CHECK(queue.take(1000, batch));
    }
    queue.batch_sent();
    while (queue.take(everything, batch)) queue.batch_sent();
    CHECK(account.read() == 0);
}

TEST_CASE("bytes that are not frames are sent in their order and cut anywhere", "[send_queue]") {
    MemoryAccount account;
    const SendQueueLimits limits{.high_mark = 100, .hard_limit = 200};
    SendQueue queue{limits, &account};
    const auto body = std::make_shared<const std::string>(std::string(1000, 'b'));
    queue.push_raw(bytes_of(std::string_view{"head"}));
    queue.push_raw(bytes_of(std::string_view{"er"}));
    queue.push_raw({});
    queue.push_raw_shared(body, bytes_of(*body));
    queue.push_raw(bytes_of(std::string_view{"\x81"}));
    CHECK(queue.bytes() == 1007);
    CHECK(queue.holds_reading());
    CHECK(queue.messages() == 0);
    CHECK(queue.shared() == 0);
    CHECK(account.read() == queue.memory());
    CHECK(queue.memory() >= 1007);
    std::string all;
    while (!queue.idle()) {
        std::vector<SendPiece> batch;
        REQUIRE(queue.take(300, batch));
        CHECK(queue.in_flight() <= 300);
        for (const SendPiece& piece : batch) all += text_of(piece.bytes);
        queue.batch_sent();
    }
    CHECK(all == "header" + *body + "\x81");
    CHECK(body.use_count() == 1);
    CHECK(account.read() == 0);
    queue.push_raw_shared(body, bytes_of(*body));
    CHECK(queue.discard() == 0);
    CHECK(queue.idle());
}

namespace {

/// Counts as a received message.
struct Held final : MessageHolder {
    explicit Held(const std::string& text) : owned{PooledBuffer{text.size()}} {
        std::memcpy(owned.memory.data(), text.data(), text.size());
        owned.bytes = {owned.memory.data(), text.size()};
    }
    Bytes payload() const noexcept override { return owned.bytes; }
    OwnedPayload take() noexcept override { return std::exchange(owned, {}); }
    OwnedPayload owned;
};

/// The frames of a text that stays in its memory.
std::shared_ptr<const MessageFrames> frames_apart(const std::string& text, std::size_t fragment_size) {
    Held held{text};
    Binary binary{held.owned.bytes, MessageMemory{&held}};
    return MessageFrames::take(AnyMessage{std::move(binary)}, fragment_size, [](FrameHeader&, MutableBytes) {});
}

}  // namespace

TEST_CASE("a message in its own memory is sent from there, between frames of others", "[send_queue]") {
    Fixture f;
    MemoryAccount account;
    SendQueue queue{f.limits, &account};
    const auto apart = frames_apart("abcdefgh", 3);
    CHECK(apart->size() == 14);
    queue.push(bytes_of(message({"before"})), SendKind::reply);
    CHECK(queue.push_frames(apart, *apart, SendKind::reply, apart->memory()).status == SendStatus::queued);
    queue.push(bytes_of(message({"after"})), SendKind::reply);
    CHECK(queue.messages() == 3);
    CHECK(queue.bytes() == 8 + 14 + 7);
    CHECK(account.read() == queue.memory());
    CHECK(queue.memory() > 15 + apart->memory());
    CHECK(queue.shared() == 0);
    std::vector<SendPiece> batch;
    REQUIRE(queue.take(everything, batch));
    CHECK(queue.in_flight() == 29);
    CHECK(queue.messages() == 0);
    REQUIRE(batch.size() == 8);
    CHECK(batch[2].bytes.data() == apart->frames()[0].payload.data());
    std::string sent;
    for (const SendPiece& piece : batch) sent += text_of(piece.bytes);
    CHECK(frames_in(sent) == Strings{"81 before", "02 abc", "00 def", "80 gh", "81 after"});
    batch.clear();
    CHECK(apart.use_count() == 1);
    queue.batch_sent();
    CHECK(queue.idle());
    CHECK(account.read() == 0);
}

TEST_CASE("a message in its own memory is taken frame by frame, and Pings overtake the rest", "[send_queue]") {
    Fixture f;
    const auto apart = frames_apart("abcdefgh", 3);
    const bool alone = GENERATE(true, false);
    f.queue.push_frames(apart, *apart, SendKind::reply, alone ? apart->memory() : 0);
    CHECK(f.queue.shared() == (alone ? 0 : 14));
    CHECK(frames_in(f.take(1)) == Strings{"02 abc"});
    CHECK(f.queue.bytes() == 9);
    CHECK(f.queue.messages() == 1);
    CHECK(f.queue.shared() == (alone ? 0 : 14));
    CHECK(f.queue.shared_left() == (alone ? 0 : 9));
    f.push(ping("p"), SendKind::control);
    f.push(message({"next"}));
    CHECK(frames_in(f.take(8)) == Strings{"89 70", "00 def"});
    CHECK(f.queue.messages() == 2);
    CHECK(frames_in(f.take(5)) == Strings{"80 gh"});
    CHECK(f.queue.messages() == 1);
    CHECK(f.queue.shared() == 0);
    CHECK(frames_in(f.take()) == Strings{"81 next"});
    CHECK(f.queue.idle());
    CHECK(apart.use_count() == 1);
}

TEST_CASE("the policies drop a message in its own memory as a whole, unless it was begun", "[send_queue]") {
    Fixture f;
    f.limits.policy = GENERATE(SlowConsumer::drop_oldest, SlowConsumer::keep_latest);
    f.limits.high_mark = f.limits.hard_limit = 1000;
    const bool begun = GENERATE(true, false);
    const auto apart = frames_apart("abcdefgh", 3);
    const auto second = frames_apart(std::string(20, 'x'), 2);
    f.queue.push_frames(apart, *apart, SendKind::reply, apart->memory());
    if (begun) CHECK(frames_in(f.take(1)) == Strings{"02 abc"});
    f.limits.hard_limit = 1000;
    f.queue.push_frames(second, *second, SendKind::reply, second->memory());
    f.limits.high_mark = f.limits.hard_limit = 80;
    f.push(message({"last"}));
    CHECK(f.queue.messages() == (begun ? 2 : 1));
    CHECK(second.use_count() == 1);
    CHECK(apart.use_count() == (begun ? 2 : 1));
    CHECK(frames_in(f.take()) == (begun ? Strings{"00 def", "80 gh", "81 last"} : Strings{"81 last"}));
    CHECK(f.queue.idle());
    CHECK(f.queue.memory() == 0);
}

TEST_CASE("a message in its own memory keeps to the limits, and is discarded", "[send_queue]") {
    Fixture f;
    f.limits.policy = SlowConsumer::close;
    const auto apart = frames_apart(std::string(1000, 'x'), 100);
    f.limits.high_mark = f.limits.hard_limit = 1000;
    CHECK(f.queue.push_frames(apart, *apart, SendKind::message, 0).status == SendStatus::queued);
    CHECK(f.queue.holds_reading());
    CHECK(f.queue.push_frames(apart, *apart, SendKind::message, 0).must_close);
    CHECK(f.queue.messages() == 1);
    CHECK(f.queue.discard() == 1);
    CHECK(f.queue.push_frames(apart, *apart, SendKind::reply, 0).status == SendStatus::closed);
    CHECK(apart.use_count() == 1);
    CHECK(f.queue.idle());
}

TEST_CASE("frames are not joined with bytes before them that are not frames", "[send_queue]") {
    Fixture f;
    f.limits = {.high_mark = 0, .hard_limit = 5'000, .policy = SlowConsumer::drop_oldest};
    const std::string answer(2'000, 'H');
    f.queue.push_raw(bytes_of(answer));
    f.push(message({std::string(1'500, 'a')}));
    f.push(message({std::string(1'500, 'b')}));
    CHECK(f.push(message({"last"}), SendKind::message).dropped == 2);
    CHECK(f.take(1'500) == answer.substr(500));
    CHECK(f.take(500) == answer.substr(1'500));
    CHECK(frames_in(f.take()) == Strings{"81 last"});
}
