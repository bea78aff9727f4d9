#include "wsserver/base/unique_function.hpp"

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "support/catch.hpp"

using namespace wsserver;

TEST_CASE("an empty function converts to false", "[unique_function]") {
    CHECK_FALSE(UniqueFunction<void()>{});
    CHECK_FALSE(UniqueFunction<void()>{nullptr});
    CHECK(UniqueFunction<void()>{[] {}});
}

TEST_CASE("a call of an empty function throws", "[unique_function]") {
    UniqueFunction<int()> empty;
    CHECK_THROWS_AS(empty(), std::bad_function_call);
}

TEST_CASE("arguments and results are forwarded", "[unique_function]") {
    UniqueFunction<std::string(std::string, std::unique_ptr<int>, int&)> join =
        [](std::string text, std::unique_ptr<int> number, int& count) {
            return text + std::to_string(*number + ++count);
        };
    int count = 1;
    CHECK(join("n", std::make_unique<int>(5), count) == "n7");
    CHECK(count == 2);
}

TEST_CASE("a callable keeps its state when moved and is destroyed exactly once", "[unique_function]") {
    const auto token = std::make_shared<int>(0);
    const auto check = [&](auto padding) {
        {
            UniqueFunction<int()> first = [token, padding, count = 0]() mutable {
                static_cast<void>(padding);
                return ++count;
            };
            CHECK(first() == 1);
            UniqueFunction<int()> second = std::move(first);
            CHECK_FALSE(first);
            CHECK(second() == 2);
            first = std::move(second);
            CHECK_FALSE(second);
            CHECK(first() == 3);
            auto& same = first;
            first = std::move(same);
            CHECK(first() == 4);
            CHECK(token.use_count() == 2);
            first = [] { return 9; };  // destroys the previous callable
            CHECK(token.use_count() == 1);
            CHECK(first() == 9);
        }
        CHECK(token.use_count() == 1);
    };
    SECTION("a small callable, stored inside") { check(std::array<char, 8>{}); }
    SECTION("a large callable, allocated") { check(std::array<char, 500>{}); }
    SECTION("a callable whose move may throw, allocated") {
        struct Risky {
            Risky() = default;
            Risky(const Risky&) {}
            Risky(Risky&&) noexcept(false) {}
        };
        check(Risky{});
    }
}

TEST_CASE("a callable need not be copyable", "[unique_function]") {
    UniqueFunction<int()> number = [owned = std::make_unique<int>(3)] { return *owned; };
    UniqueFunction<int()> moved{std::move(number)};
    CHECK(moved() == 3);
}
