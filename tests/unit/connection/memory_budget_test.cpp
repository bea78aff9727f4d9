#include "wsserver/connection/memory_budget.hpp"

#include <vector>

#include "support/catch.hpp"

using namespace wsserver;

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

std::vector<MemoryHolder> holders(const std::vector<std::size_t>& sizes) {
    std::vector<MemoryHolder> all;
    for (const std::size_t size : sizes) all.push_back({{}, size, 0, false});
    return all;
}

std::vector<bool> paused(const std::vector<MemoryHolder>& all) {
    std::vector<bool> result;
    for (const MemoryHolder& holder : all) result.push_back(holder.paused);
    return result;
}

}  // namespace

TEST_CASE("memory is short above three quarters of the limit", "[memory_budget]") {
    const MemoryBudget budget{100 * mib};
    CHECK(budget.mark() == 75 * mib);
    CHECK_FALSE(budget.is_short(75 * mib));
    CHECK(budget.is_short(75 * mib + 1));
    CHECK_FALSE(budget.is_over(100 * mib));
    CHECK(budget.is_over(100 * mib + 1));
    CHECK(budget.longest_message() == 75 * mib);
    const MemoryBudget unlimited;
    CHECK(unlimited.longest_message() > 1000 * mib);
    CHECK_FALSE(unlimited.is_short(1000 * mib));
    CHECK_FALSE(unlimited.is_over(1000 * mib));
}

TEST_CASE("the largest holders are paused first, and more of them near the limit", "[memory_budget]") {
    const MemoryBudget budget{100 * mib};
    auto all = holders({40 * mib, 30 * mib, 9 * mib, mib, 1000});
    using Pauses = std::vector<bool>;
    SECTION("none up to the mark") {
        budget.pause(75 * mib, all);
        CHECK(paused(all) == Pauses{false, false, false, false, false});
    }
    SECTION("the largest just above it") {
        budget.pause(75 * mib + 1, all);
        CHECK(paused(all) == Pauses{true, false, false, false, false});
    }
    SECTION("some between") {
        budget.pause(90 * mib, all);
        CHECK(paused(all) == Pauses{true, true, false, false, false});
    }
    SECTION("all at the limit, except those that hold little") {
        budget.pause(100 * mib, all);
        CHECK(paused(all) == Pauses{true, true, true, true, false});
    }
    SECTION("and they continue a bit below the mark, so that they do not flap") {
        budget.pause(76 * mib, all);
        budget.pause(70 * mib, all);
        CHECK(paused(all) == Pauses{true, false, false, false, false});
        budget.pause(68 * mib, all);
        CHECK(paused(all) == Pauses{false, false, false, false, false});
    }
}

TEST_CASE("a holder that is not paused by itself does not stay paused by itself", "[memory_budget]") {
    const MemoryBudget budget{100 * mib};
    auto all = holders({70 * mib});
    budget.pause(76 * mib, all);
    CHECK(paused(all) == std::vector<bool>{true});
    budget.pause(75 * mib, all);
    CHECK(paused(all) == std::vector<bool>{false});
}

TEST_CASE("holders that cannot be paused take no pause from others", "[memory_budget]") {
    const MemoryBudget budget{100 * mib};
    auto all = holders({70 * mib, 6 * mib, 4 * mib});
    all[0].can_pause = false;
    all[0].paused = GENERATE(false, true);  // it could be paused before
    budget.pause(80 * mib, all);            // a fifth of what can be paused
    CHECK(paused(all) == std::vector<bool>{false, true, false});
    budget.pause(100 * mib, all);
    CHECK(paused(all) == std::vector<bool>{false, true, true});
}

TEST_CASE("messages that wait for a worker count for pausing, not for closing", "[memory_budget]") {
    const MemoryBudget budget{10 * mib};
    std::vector<MemoryHolder> all{{{}, 0, 11 * mib, false}};
    budget.pause(11 * mib, all);
    CHECK(all[0].paused);
    CHECK(budget.to_close({11 * mib, 0}, all) == 0);
}

TEST_CASE("over the limit, as many of the largest are closed as are needed", "[memory_budget]") {
    const MemoryBudget budget{100 * mib};
    const auto all = holders({40 * mib, 30 * mib, 20 * mib, 5 * mib});
    CHECK(budget.to_close({100 * mib, 40 * mib}, all) == 0);
    CHECK(budget.to_close({100 * mib + 1, 40 * mib}, all) == 1);
    CHECK(budget.to_close({150 * mib, 40 * mib}, all) == 2);
    CHECK(budget.to_close({180 * mib, 40 * mib}, all) == 3);
    SECTION("but not while another thread has one that is more than twice as large") {
        CHECK(budget.to_close({150 * mib, 81 * mib}, all) == 0);
        CHECK(budget.to_close({180 * mib, 80 * mib}, all) == 1);
    }
}

TEST_CASE("a broadcast counts once for all that wait for it", "[memory_budget]") {
    MemoryHolder holder{.held = mib, .shared = 12 * mib};
    holder.divide({.broadcasts = 12 * mib, .shared = 12 * mib});
    CHECK(holder.rank() == 13 * mib);
    holder.divide({.broadcasts = 12 * mib, .shared = 300 * 12 * mib});
    CHECK(holder.rank() > mib);
    CHECK(holder.rank() < mib + 12 * mib / 300 + 2);
    holder.divide({.broadcasts = 12 * mib, .shared = 0});  // what others hold is not known yet
    CHECK(holder.rank() == 13 * mib);
    SECTION("and while it waits for others, closing more may free nothing") {
        const MemoryBudget budget{8 * mib};
        std::vector<MemoryHolder> all(300, MemoryHolder{.shared = 12 * mib});
        for (MemoryHolder& each : all) each.divide({.broadcasts = 12 * mib, .shared = 300 * 12 * mib});
        CHECK(budget.to_close({.total = 12 * mib}, all) == 1);
    }
}

TEST_CASE("far below the mark, threads look at the total rarely", "[memory_budget]") {
    const MemoryBudget budget{std::size_t{1} << 30};
    CHECK(budget.step(0) == 12 * mib);
    CHECK(budget.step(budget.mark()) == 64 << 10);
    CHECK(budget.step(budget.mark() + 1) == 16 * mib - 1);
    CHECK(budget.step(2 * budget.mark()) == 64 << 10);
}
