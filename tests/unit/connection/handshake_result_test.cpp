#include "wsserver/connection/handshake_result.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace wsserver;

namespace {

struct Deaf {
    void on_open(AnyConnection&) {}
};

}  // namespace

TEST_CASE("who agreed on the same shares it", "[agreement]") {
    Agreements agreements;
    const auto chat = make_handler("chat", Deaf{});
    const AgreementPtr one = agreements.of(chat, "v1", "/rooms");
    CHECK(one->handler() == chat);
    CHECK(one->subprotocol() == "v1");
    CHECK(one->target() == "/rooms");
    CHECK(agreements.of(chat, "v1", "/rooms") == one);

    CHECK(agreements.of(make_handler("chat", Deaf{}), "v1", "/rooms") != one);
    CHECK(agreements.of(chat, "v2", "/rooms") != one);
    CHECK(agreements.of(chat, "", "/rooms") != one);
    CHECK(agreements.of(chat, "v1", "/room") != one);
    CHECK(agreements.of(chat, "/rooms", "v1") != one);
}

TEST_CASE("an agreement ends with its last connection, and its handler with it", "[agreement]") {
    Agreements agreements;
    auto chat = make_handler("chat", Deaf{});
    const std::weak_ptr<AnyHandler> alive = chat;
    AgreementPtr one = agreements.of(chat, "", "/");
    AgreementPtr two = agreements.of(chat, "", "/");
    chat.reset();
    one.reset();
    CHECK_FALSE(alive.expired());
    CHECK(two->target() == "/");
    two.reset();
    CHECK(alive.expired());
}

TEST_CASE("more agreements than are known work as well", "[agreement]") {
    Agreements agreements;
    const auto chat = make_handler("chat", Deaf{});
    std::vector<AgreementPtr> all;
    for (int i = 0; i < 1000; ++i) all.push_back(agreements.of(chat, "v1", "/" + std::to_string(i)));
    for (int i = 0; i < 1000; ++i) CHECK(all[static_cast<std::size_t>(i)]->target() == "/" + std::to_string(i));
    // Those that another has driven out may go, and those that are known.
    for (int i = 0; i < 1000; i += 2) all[static_cast<std::size_t>(i)].reset();
    for (int i = 0; i < 1000; ++i) CHECK(agreements.of(chat, "v1", "/" + std::to_string(i))->handler() == chat);
    all.clear();
    CHECK(chat.use_count() == 1);
}

TEST_CASE("an agreement may outlive those that know it", "[agreement]") {
    const auto chat = make_handler("chat", Deaf{});
    AgreementPtr one;
    {
        Agreements agreements;
        one = agreements.of(chat, "", "/");
    }
    CHECK(one->target() == "/");
    one.reset();
    CHECK(chat.use_count() == 1);
}
