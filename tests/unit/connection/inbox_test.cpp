#include "wsserver/connection/inbox.hpp"

#include <memory>
#include <string>
#include <utility>

#include "support/catch.hpp"

using namespace wsserver;

TEST_CASE("an inbox that is not emptied is bounded for every kind of payload", "[inbox]") {
    constexpr std::size_t limit = 10'000;
    Inbox inbox{limit};
    std::shared_ptr<SharedMessage> shared;
    std::string payload;
    std::size_t at_most = 3;
    SECTION("long messages") { payload.assign(limit / 4, 'x'); }
    SECTION("short messages") {
        payload = "x";
        at_most = limit / sizeof(InboxItem);
    }
    SECTION("broadcasts") {
        shared = std::make_shared<SharedMessage>();
        shared->frames.append(bytes_of(std::string(limit / 4, 'x')));
    }
    int woken = 0;
    const auto wake = [&] { ++woken; };
    const auto put = [&] {
        InboxItem item;
        item.kind = shared ? InboxItem::Kind::broadcast : InboxItem::Kind::send_text;
        if (shared) item.to_all = std::make_unique<Broadcast>(Broadcast{.shared = shared});
        return inbox.put(std::move(item), bytes_of(payload), wake);
    };
    std::size_t taken = 0;
    while (taken <= at_most && put()) ++taken;
    CHECK(taken > 0);
    CHECK(taken <= at_most);

    InboxItem room;  // never refused
    room.kind = InboxItem::Kind::resume;
    CHECK(inbox.put(std::move(room), {}, wake));
    CHECK(woken == 1);
    Inbox::Batch batch;
    inbox.take(batch);
    CHECK(batch.items.size() == taken + 1);
    CHECK(put());
    CHECK(woken == 2);
}
