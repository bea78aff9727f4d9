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

TEST_CASE("equal handshake results are shared", "[handshake_result]") {
    HandshakeResultCache handshake_results;
    const auto chat = make_handler("chat", Deaf{});
    const HandshakeResultPtr one = handshake_results.of(chat, "v1", "/rooms");
    CHECK(one->handler() == chat);
    CHECK(one->subprotocol() == "v1");
    CHECK(one->target() == "/rooms");
    CHECK(handshake_results.of(chat, "v1", "/rooms") == one);

    CHECK(handshake_results.of(make_handler("chat", Deaf{}), "v1", "/rooms") != one);
    CHECK(handshake_results.of(chat, "v2", "/rooms") != one);
    CHECK(handshake_results.of(chat, "", "/rooms") != one);
    CHECK(handshake_results.of(chat, "v1", "/room") != one);
    CHECK(handshake_results.of(chat, "/rooms", "v1") != one);

    const auto route = std::make_shared<const PathPattern>(*PathPattern::parse("/{name}"));
    const HandshakeResultPtr routed = handshake_results.of(chat, "v1", "/rooms", route);
    CHECK(one->route() == nullptr);
    CHECK(routed->route() == route);
    CHECK(handshake_results.of(chat, "v1", "/rooms", route) == routed);
    CHECK(handshake_results.of(chat, "v1", "/rooms") != routed);
    CHECK(handshake_results.of(chat, "v1", "/rooms", std::make_shared<const PathPattern>(*route)) != routed);
}

TEST_CASE("a handshake result and its handler end with the last connection", "[handshake_result]") {
    HandshakeResultCache handshake_results;
    auto chat = make_handler("chat", Deaf{});
    const std::weak_ptr<AnyHandler> alive = chat;
    HandshakeResultPtr one = handshake_results.of(chat, "", "/");
    HandshakeResultPtr two = handshake_results.of(chat, "", "/");
    chat.reset();
    one.reset();
    CHECK_FALSE(alive.expired());
    CHECK(two->target() == "/");
    two.reset();
    CHECK(alive.expired());
}

TEST_CASE("handshake results that are no longer in the cache work as well", "[handshake_result]") {
    HandshakeResultCache handshake_results;
    const auto chat = make_handler("chat", Deaf{});
    std::vector<HandshakeResultPtr> all;
    for (int i = 0; i < 1000; ++i) all.push_back(handshake_results.of(chat, "v1", "/" + std::to_string(i)));
    for (int i = 0; i < 1000; ++i) CHECK(all[static_cast<std::size_t>(i)]->target() == "/" + std::to_string(i));
    // Results may be released, whether or not they are still in the cache.
    for (int i = 0; i < 1000; i += 2) all[static_cast<std::size_t>(i)].reset();
    for (int i = 0; i < 1000; ++i) CHECK(handshake_results.of(chat, "v1", "/" + std::to_string(i))->handler() == chat);
    all.clear();
    CHECK(chat.use_count() == 1);
}

TEST_CASE("a handshake result may outlive the cache", "[handshake_result]") {
    const auto chat = make_handler("chat", Deaf{});
    HandshakeResultPtr one;
    {
        HandshakeResultCache handshake_results;
        one = handshake_results.of(chat, "", "/");
    }
    CHECK(one->target() == "/");
    one.reset();
    CHECK(chat.use_count() == 1);
}
