#include "wsserver/connection/handler_table.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "support/strings.hpp"

using namespace wsserver;
using namespace wsserver::test;

namespace {

std::shared_ptr<AnyHandler> named(std::string name) { return make_handler(std::move(name), Echo{}); }

Offer offer_of(std::string target, std::vector<std::string> subprotocols = {}, std::string origin = {}) {
    Offer offer;
    offer.request.target = std::move(target);
    offer.subprotocols = std::move(subprotocols);
    offer.origin = std::move(origin);
    return offer;
}

/// `HANDLER SUBPROTOCOL ROUTE`, or `ERROR: DETAIL`.
std::string chosen(const HandlerTable& table, const Offer& offer, bool strict = false) {
    const auto choice = table.choose(offer, strict);
    if (!choice.handler) {
        const Refusal refusal = table.why_none(offer);
        return std::to_string(http_status_for(refusal.error)) + ": " + refusal.detail;
    }
    return std::string{choice.handler->name()} + " '" + std::string{choice.subprotocol} + "' " +
           (choice.route ? choice.route->text() : "all");
}

std::string chosen(const HandlerTable& table, std::string target, std::vector<std::string> subprotocols = {}) {
    return chosen(table, offer_of(std::move(target), std::move(subprotocols)));
}

/// What set_path() throws; empty if it succeeds.
std::string fault_of(HandlerTable& table, std::string_view pattern) {
    try {
        table.set_path(pattern, "", named("x"));
    } catch (const std::invalid_argument& invalid) {
        return invalid.what();
    }
    return {};
}

}  // namespace

TEST_CASE("the most specific route is chosen, whatever the order of the calls", "[handler_table]") {
    Strings patterns{"/chat/lobby", "/chat/{room}", "/chat/{path...}", "/{x}/lobby"};
    std::ranges::sort(patterns);
    do {
        HandlerTable table;
        for (const auto& pattern : patterns) table.set_path(pattern, "", named("h"));
        REQUIRE(chosen(table, "/chat/lobby") == "h '' /chat/lobby");
        REQUIRE(chosen(table, "/chat/5?lobby") == "h '' /chat/{room}");
        REQUIRE(chosen(table, "/chat/5/6") == "h '' /chat/{path...}");
        REQUIRE(chosen(table, "/chat/") == "h '' /chat/{path...}");
        REQUIRE(chosen(table, "/news/lobby") == "h '' /{x}/lobby");
        REQUIRE(chosen(table, "/news?token=secret") == "404: the client asked for /news");
        const auto routes = table.routes();
        REQUIRE(routes.size() == 4);
        CHECK(routes[0].pattern == "/chat/lobby");
        CHECK(routes[3].pattern == "/{x}/lobby");
    } while (std::ranges::next_permutation(patterns).found);
}

TEST_CASE("a path without a route gets the handlers for all paths", "[handler_table]") {
    HandlerTable table;
    table.set_path("/chat", "", named("chat"));
    CHECK(chosen(table, "/") == "404: the client asked for /");
    table.set("v1", named("all v1"));
    CHECK(chosen(table, "/", {"v1"}) == "all v1 'v1' all");
    CHECK(chosen(table, "/") == "400: the client asked for none; the server has v1");
    table.set("", named("all"));
    CHECK(chosen(table, "/") == "all '' all");
    CHECK(chosen(table, "/chat") == "chat '' /chat");
    CHECK(chosen(table, "/chat/") == "all '' all");
    CHECK(chosen(table, "/%zz") == "all '' all");
    CHECK(HandlerTable{}.why_none(offer_of("/")).error == Errc::no_such_path);
}

TEST_CASE("within a route, the subprotocol selects the handler", "[handler_table]") {
    HandlerTable table;
    table.set("", named("all"));
    table.set("v3", named("all v3"));
    table.set_path("/chat/{room}", "v1", named("one"));
    table.set_path("/chat/{room}", "v2", named("two"));
    CHECK(chosen(table, "/chat/5", {"v2", "v1"}) == "two 'v2' /chat/{room}");
    CHECK(chosen(table, "/chat/5", {"v3", "v1"}) == "one 'v1' /chat/{room}");
    // The route decides alone.
    CHECK(chosen(table, "/chat/5", {"v3"}) == "400: the client asked for v3; the path /chat/5 has v1, v2");
    CHECK(chosen(table, "/chat/5") == "400: the client asked for none; the path /chat/5 has v1, v2");

    table.set_path("/chat/{room}", "", named("default"));
    CHECK(chosen(table, "/chat/5") == "default '' /chat/{room}");
    CHECK(chosen(table, "/chat/5", {"v3"}) == "default '' /chat/{room}");
    CHECK(chosen(table, offer_of("/chat/5", {"v3"}), true).starts_with("400: "));
    CHECK(chosen(table, offer_of("/chat/5", {"v3"}, "http://localhost")).starts_with("400: "));
    CHECK(chosen(table, offer_of("/chat/5", {}, "http://localhost"), true) == "default '' /chat/{room}");
}

TEST_CASE("setting a handler of a route again replaces it, and keeps the route", "[handler_table]") {
    HandlerTable table;
    table.set_path("/caf%C3%A9/{x}", "", named("old"));
    const auto before = table.choose(offer_of("/caf\xC3\xA9/1"), false);
    table.set_path("/caf\xC3\xA9/{x}", "", named("new"));
    const auto after = table.choose(offer_of("/caf\xC3\xA9/1"), false);
    CHECK(before.handler->name() == "old");
    CHECK(after.handler->name() == "new");
    CHECK(before.route == after.route);
    CHECK(table.routes().size() == 1);
}

TEST_CASE("an invalid pattern changes nothing", "[handler_table]") {
    HandlerTable table;
    CHECK(fault_of(table, "chat") == "path pattern 'chat': it must begin with / (example: /chat/{room})");
    CHECK(fault_of(table, "/{a}{b}").starts_with("path pattern '/{a}{b}': "));
    CHECK(table.routes().empty());
    CHECK(fault_of(table, "/{room}/x").empty());
    CHECK(fault_of(table, "/{name}/x") ==
          "path pattern '/{name}/x': '/{room}/x' matches the same paths; use the same names");
    CHECK(table.routes().size() == 1);
    CHECK(fault_of(table, "/{name}/y").empty());
}

TEST_CASE("a route is removed with its last handler", "[handler_table]") {
    HandlerTable table;
    table.set("v1", named("all"));
    table.set_path("/chat/{room}", "", named("default"));
    table.set_path("/chat/{room}", "v1", named("one"));
    table.set_path("/{path...}", "", named("rest"));

    CHECK(table.remove_path("chat", std::nullopt).empty());
    CHECK(table.remove_path("/chat", std::nullopt).empty());
    CHECK(table.remove_path("/chat/{room...}", std::nullopt).empty());
    CHECK(table.remove_path("/chat/{room}", "v2").empty());
    CHECK(table.remove("").empty());

    const auto one = table.remove_path("/chat/{room}", "v1");
    REQUIRE(one.size() == 1);
    CHECK(one[0].handler->name() == "one");
    CHECK(one[0].subprotocol == "v1");
    CHECK(one[0].route->text() == "/chat/{room}");
    CHECK(chosen(table, "/chat/5", {"v1"}) == "default '' /chat/{room}");

    CHECK(table.remove_path("/chat/{other}", "").size() == 1);
    CHECK(chosen(table, "/chat/5") == "rest '' /{path...}");
    table.set_path("/{path...}", "v1", named("rest v1"));
    CHECK(table.remove_path("/{path...}", std::nullopt).size() == 2);
    CHECK(chosen(table, "/chat/5", {"v1"}) == "all 'v1' all");
    CHECK(table.remove("v1").size() == 1);
    CHECK(chosen(table, "/chat/5", {"v1"}) == "404: the client asked for /chat/5");

    table.set_path("/", "", named("x"));
    table.clear();
    CHECK(table.routes().empty());
}
