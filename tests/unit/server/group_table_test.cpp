#include "wsserver/server/detail/group_table.hpp"

#include <atomic>
#include <deque>
#include <map>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

using Refusal = GroupTable::Refusal;

namespace {

constexpr Clock::time_point start{1h};

GroupLimits at_most(std::size_t connections, std::size_t per_second) {
    return {.connections = connections, .connections_per_second = per_second};
}

/// The same rules for one key, written as plainly as possible.
struct Model {
    std::size_t connections = 0;
    std::deque<Clock::time_point> full_at{start};  ///< of the bucket of new connections

    Refusal join(const GroupLimits& limits, Clock::time_point now) {
        if (limits.connections != 0 && connections >= limits.connections) return Refusal::connections;
        if (limits.connections_per_second != 0) {
            const auto token = Clock::duration{1s} / static_cast<int>(limits.connections_per_second);
            const auto begin = std::max(full_at.back(), now);
            if (begin + token > now + Clock::duration{1s}) return Refusal::rate;
            full_at.back() = begin + token;
        }
        ++connections;
        return Refusal::none;
    }
};

}  // namespace

TEST_CASE("the connections of a group are limited", "[group_table]") {
    GroupTable table{at_most(2, 0)};
    const auto first = table.join("a", start);
    REQUIRE(first.group != nullptr);
    CHECK(table.join("a", start).group == first.group);
    const auto third = table.join("a", start);
    CHECK(third.group == nullptr);
    CHECK(third.refusal == Refusal::connections);
    CHECK(table.join("b", start).group != nullptr);
    table.leave(*first.group, start);
    CHECK(table.join("a", start).group == first.group);
    CHECK(table.over_connections() == 1);
    CHECK(table.over_rate() == 0);
}

TEST_CASE("the new connections of a group in a second are limited", "[group_table]") {
    GroupTable table{at_most(0, 2)};
    for (int i = 0; i < 2; ++i) table.leave(*table.join("a", start).group, start);
    CHECK(table.join("a", start).refusal == Refusal::rate);
    CHECK(table.join("b", start).refusal == Refusal::none);
    CHECK(table.join("a", start + 499ms).refusal == Refusal::rate);
    CHECK(table.join("a", start + 500ms).refusal == Refusal::none);
    CHECK(table.over_rate() == 2);
}

TEST_CASE("few refused clients of a group are answered in a second", "[group_table]") {
    GroupTable table{at_most(1, 0)};
    CHECK(table.join("a", start).is_answered);
    std::uint32_t answered = 0;
    for (int i = 0; i < 1000; ++i) answered += table.join("a", start).is_answered ? 1 : 0;
    CHECK(answered == GroupTable::answers_per_second);
    CHECK(table.join("a", start + 1s).is_answered);
    CHECK(table.over_connections() == 1001);
}

TEST_CASE("a group is forgotten when it is as a new one", "[group_table]") {
    GroupTable table{at_most(1, 5)};
    Group& group = *table.join("a", start).group;
    CHECK(table.size() == 1);
    SECTION("with its last connection, if it has all tokens") {
        table.leave(group, start + 200ms);
        CHECK(table.size() == 0);
    }
    SECTION("later otherwise") {
        table.leave(group, start);
        CHECK(table.size() == 1);
        for (int i = 0; i < 100; ++i) {  // some are in the same shard
            const auto later = start + 1s;
            table.leave(*table.join("b" + std::to_string(i), later).group, later + 200ms);
        }
        CHECK(table.size() == 0);
    }
    CHECK(table.forgotten() == 0);
}

TEST_CASE("limits may change, and older connections count", "[group_table]") {
    GroupTable table{at_most(0, 0)};
    Group& group = table.adopt("a");
    CHECK(&table.adopt("a") == &group);
    table.set(at_most(2, 0));
    CHECK(table.join("a", start).refusal == Refusal::connections);
    table.set(at_most(3, 0));
    CHECK(table.join("a", start).group == &group);
    table.set(at_most(0, 0));
    CHECK(table.join("a", start).group == &group);
    for (int i = 0; i < 4; ++i) table.leave(group, start + 1s);  // the refused one has cost a token
    CHECK(table.size() == 0);
}

TEST_CASE("a flood of keys grows no table, and no group with a connection is forgotten", "[group_table]") {
    constexpr std::size_t most_idle = 1600;
    GroupTable table{at_most(1, 1), most_idle};
    std::vector<Group*> staying;
    for (int i = 0; i < 100; ++i) staying.push_back(table.join("stays " + std::to_string(i), start).group);
    for (int i = 0; i < 100'000; ++i) {
        const auto joined = table.join("flood " + std::to_string(i), start);
        REQUIRE(joined.group != nullptr);
        table.leave(*joined.group, start);
        if (i % 1000 == 0) REQUIRE(table.size() <= most_idle + staying.size());
    }
    CHECK(table.size() <= most_idle + staying.size());
    CHECK(table.forgotten() >= 100'000 - most_idle);
    for (int i = 0; i < 100; ++i)
        CHECK(table.join("stays " + std::to_string(i), start).refusal == Refusal::connections);
    CHECK(table.join("flood 99999", start).refusal == Refusal::rate);  // the newest is remembered
    CHECK(table.join("flood 0", start).refusal == Refusal::none);      // the oldest is not
    for (Group* group : staying) table.leave(*group, start);
}

TEST_CASE("a table decides as a model does", "[group_table]") {
    const auto seed = GENERATE(range(1U, 20U));
    CAPTURE(seed);
    std::mt19937 random{seed};
    const auto up_to = [&](std::size_t most) { return random() % (most + 1); };
    const GroupLimits limits = at_most(up_to(4), up_to(8));
    GroupTable table{limits};
    std::map<std::string, Model> model;
    std::vector<std::pair<std::string, Group*>> open;
    auto now = start;
    for (int step = 0; step < 2000; ++step) {
        if (!open.empty() && up_to(2) == 0) {
            const auto one = open.begin() + static_cast<std::ptrdiff_t>(up_to(open.size() - 1));
            --model[one->first].connections;
            table.leave(*one->second, now);
            open.erase(one);
        } else {
            const std::string key(1 + up_to(40), static_cast<char>('a' + up_to(3)));
            const auto joined = table.join(key, now);
            REQUIRE(joined.refusal == model[key].join(limits, now));
            REQUIRE((joined.group != nullptr) == (joined.refusal == Refusal::none));
            if (joined.group != nullptr) open.emplace_back(key, joined.group);
        }
        if (up_to(3) == 0) now += std::chrono::milliseconds{up_to(400)};
    }
    for (const auto& [key, group] : open) table.leave(*group, now + 1h);
}

TEST_CASE("a group without memory is not there", "[group_table]") {
    const std::string key(100, 'k');
    for (std::size_t n = 1;; ++n) {
        GroupTable table{at_most(1, 1)};
        bool failed = false;
        Group* group = nullptr;
        {
            const AllocationsMayFail within;
            AllocationFailures::from(n, 1);
            try {
                group = table.join(key, start).group;
            } catch (const std::bad_alloc&) {
                failed = true;
            }
            failed = failed && AllocationFailures::happened() == 1;
            AllocationFailures::none();
        }
        CHECK(table.size() == (failed ? 0 : 1));
        if (!failed) {
            CHECK(n > 1);
            table.leave(*group, start);
            break;
        }
        CHECK(table.join(key, start).group != nullptr);
    }
}

TEST_CASE("threads share the places of a group", "[group_table]") {
    GroupTable table{at_most(3, 0)};
    std::atomic<std::size_t> open{0}, most{0}, joins{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
            for (int round = 0; round < 5000; ++round) {
                Group* const own = table.join("own " + std::to_string(i), start).group;
                if (Group* const group = table.join("all", start).group) {
                    ++joins;
                    const auto now = ++open;
                    for (auto seen = most.load(); seen < now && !most.compare_exchange_weak(seen, now);) {
                    }
                    --open;
                    table.leave(*group, start);
                }
                if (own != nullptr) table.leave(*own, start);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(joins > 0);
    CHECK(most <= 3);
    CHECK(table.join("all", start).group != nullptr);
    CHECK(table.size() <= 5);
}
