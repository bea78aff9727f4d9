#include "wsserver/connection/inbox.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace wsserver;

namespace {

/// An item of that kind; a request to all connections if it has a broadcast.
InboxItem item_of(InboxItem::Kind kind, std::shared_ptr<const SharedMessage> shared = {}) {
    InboxItem item;
    item.kind = kind;
    const bool to_all = kind >= InboxItem::Kind::broadcast;
    if (to_all) item.to_all = std::make_unique<Broadcast>(Broadcast{.shared = std::move(shared)});
    return item;
}

}  // namespace

TEST_CASE("an inbox that is not emptied is bounded for every kind of request", "[inbox]") {
    constexpr std::size_t limit = 10'000;
    Inbox inbox{limit};
    auto kind = InboxItem::Kind::send_text;
    std::shared_ptr<SharedMessage> shared;
    std::string payload;
    std::size_t at_most = limit / sizeof(InboxItem);
    SECTION("long messages") {
        payload.assign(limit / 4, 'x');
        at_most = 3;
    }
    SECTION("short messages") { payload = "x"; }
    SECTION("empty messages") {
        kind = GENERATE(InboxItem::Kind::send_text, InboxItem::Kind::send_binary);  //
    }
    SECTION("control frames without a payload") {
        kind = GENERATE(InboxItem::Kind::ping, InboxItem::Kind::close);  //
    }
    SECTION("broadcasts") {
        kind = InboxItem::Kind::broadcast;
        shared = std::make_shared<SharedMessage>();
        shared->frames.append(bytes_of(std::string(limit / 4, 'x')));
        at_most = 3;
    }
    SECTION("requests to all connections without a payload") {
        kind = GENERATE(InboxItem::Kind::ping_all, InboxItem::Kind::close_all);
        at_most = limit / (sizeof(InboxItem) + sizeof(Broadcast));
    }
    int woken = 0;
    const auto wake = [&] { ++woken; };
    const auto put = [&] { return inbox.put(item_of(kind, shared), bytes_of(payload), wake); };
    std::size_t taken = 0;
    while (taken <= at_most && put()) ++taken;
    CHECK(taken > 0);
    CHECK(taken <= at_most);

    // Never refused.
    CHECK(inbox.put(item_of(InboxItem::Kind::resume), {}, wake));
    CHECK(inbox.put(item_of(InboxItem::Kind::fail), bytes_of("the handler threw"), wake));
    CHECK(inbox.put(item_of(InboxItem::Kind::fail_message), bytes_of("no memory"), wake));
    CHECK_FALSE(put());
    // A program may ask for this any number of times.
    std::size_t resumed = 0;
    while (resumed < 1000 && inbox.put(item_of(InboxItem::Kind::unpause), {}, wake)) ++resumed;
    CHECK(resumed > 10);
    CHECK(resumed < 2 * limit / sizeof(InboxItem));
    CHECK(woken == 1);
    Inbox::Batch batch;
    inbox.take(batch);
    CHECK(batch.items.size() == taken + 3 + resumed);
    CHECK(put());
    CHECK(woken == 2);
}

TEST_CASE("an inbox keeps little memory after a burst", "[inbox]") {
    Inbox inbox;
    const auto wake = [] {};
    std::string payload;
    SECTION("of many items") {}
    SECTION("of many bytes") { payload.assign(1'000, 'x'); }
    for (int i = 0; i < 50'000; ++i) REQUIRE(inbox.put(item_of(InboxItem::Kind::send_text), bytes_of(payload), wake));
    Inbox::Batch batch;
    inbox.take(batch);
    CHECK(batch.items.size() == 50'000);
    batch.clear();
    CHECK(batch.items.capacity() * sizeof(InboxItem) <= Inbox::Batch::kept);
    CHECK(batch.payload.capacity() <= Inbox::Batch::kept);
}

TEST_CASE("the limit counts the bytes of a message that was moved, and the memory all that it holds", "[inbox]") {
    constexpr std::size_t size = 100'000;
    const bool is_shared = GENERATE(false, true);
    OwnedPayload taken{PooledBuffer{4 * size}};
    taken.bytes = {taken.memory.data(), size};
    std::fill(taken.bytes.begin(), taken.bytes.end(), std::uint8_t{1});
    Inbox inbox{size + 1000};
    InboxItem item;
    item.to_all = std::make_unique<Broadcast>();
    if (is_shared) {
        item.to_all->shared = SharedMessage::of(Opcode::binary, taken, 0);
    } else {
        item.to_all->taken = std::move(taken);
    }
    CHECK(inbox.put(std::move(item), {}, [] {}));
    CHECK(inbox.waiting_bytes() >= 4 * size);
    const std::vector<std::uint8_t> too_much(1000);
    CHECK_FALSE(inbox.put(item_of(InboxItem::Kind::send_binary), too_much, [] {}));
    Inbox::Batch batch;
    inbox.take(batch);
    CHECK(inbox.waiting_bytes() == 0);
}
