#include "wsserver/connection/rooms.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"

using namespace wsserver;

namespace {

constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

using Slots = std::vector<std::uint32_t>;

Slots members(RoomIndex& index, std::string_view room) {
    Slots slots;
    index.for_each_member(room, [&](std::uint32_t slot) { slots.push_back(slot); });
    std::sort(slots.begin(), slots.end());
    return slots;
}

std::vector<std::string> sorted(std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    return names;
}

/// An index and a simple model of it.
struct Modelled {
    explicit Modelled(unsigned seed) : random(seed) { index.use_directory(directory, 5); }

    std::uint32_t number(std::uint32_t below) { return static_cast<std::uint32_t>(random() % below); }
    std::string room() { return std::string(number(3) == 0 ? 40 : 1, 'r') + std::to_string(number(12)); }

    void join(std::uint32_t slot, const std::string& room) {
        auto& its = rooms_of[slot];
        const bool fits = its.contains(room) || its.size() < most;
        CHECK(index.join(slot, room, most) == fits);
        if (fits) its.insert(room);
    }
    void leave(std::uint32_t slot, const std::string& room) {
        CHECK(index.leave(slot, room) == (rooms_of[slot].erase(room) > 0));
    }
    void leave_all(std::uint32_t slot) {
        index.leave_all(slot);
        rooms_of.erase(slot);
    }
    void change() {
        const std::uint32_t slot = number(20);
        switch (number(8)) {
            case 0:
                return leave_all(slot);
            case 1:
            case 2:
                return leave(slot, room());
            default:
                return join(slot, room());
        }
    }
    /// Visits a room, and changes it and others meanwhile.
    void visit(int depth) {
        const std::string name = room();
        const std::map<std::uint32_t, std::set<std::string>> before = rooms_of;
        std::set<std::uint32_t> left, visited;
        index.for_each_member(name, [&](std::uint32_t slot) {
            CHECK(before.at(slot).contains(name));
            CHECK_FALSE(left.contains(slot));
            CHECK(visited.insert(slot).second);
            for (std::uint32_t i = number(3); i > 0; --i) change();
            if (depth > 0 && number(4) == 0) visit(depth - 1);
            for (const auto& [other, rooms] : before) {
                const auto now = rooms_of.find(other);
                if (rooms.contains(name) && (now == rooms_of.end() || !now->second.contains(name))) left.insert(other);
            }
        });
        for (const auto& [slot, rooms] : before) {
            if (rooms.contains(name) && !left.contains(slot)) CHECK(visited.contains(slot));
        }
    }
    void check() {
        std::map<std::string, Slots> slots_in;
        std::size_t memberships = 0;
        for (const auto& [slot, rooms] : rooms_of) {
            CHECK(sorted(index.rooms_of(slot)) == std::vector<std::string>(rooms.begin(), rooms.end()));
            memberships += rooms.size();
            for (const auto& name : rooms) slots_in[name].push_back(slot);
        }
        CHECK(index.memberships() == memberships);
        CHECK(index.rooms() == slots_in.size());
        CHECK(directory->size() == slots_in.size());
        for (const auto& [name, slots] : slots_in) {
            CHECK(members(index, name) == slots);
            CHECK(directory->reactors_of(name) == std::vector<std::uint16_t>{5});
        }
    }

    std::size_t most = 7;
    std::shared_ptr<RoomDirectory> directory = std::make_shared<RoomDirectory>();
    RoomIndex index;
    std::map<std::uint32_t, std::set<std::string>> rooms_of;
    std::mt19937 random;
};

}  // namespace

TEST_CASE("the name of a room is 1 to 255 bytes of UTF-8", "[rooms]") {
    CHECK(is_room_name("a"));
    CHECK(is_room_name("Küche/5"));
    CHECK(is_room_name(std::string(255, 'x')));
    CHECK_FALSE(is_room_name(""));
    CHECK_FALSE(is_room_name(std::string(256, 'x')));
    CHECK_FALSE(is_room_name("\xFF"));
}

TEST_CASE("a connection joins rooms and leaves them", "[rooms]") {
    RoomIndex index;
    CHECK(index.join(7, "a", unlimited));
    CHECK(index.join(7, "a", unlimited));
    CHECK(index.join(3, "a", unlimited));
    CHECK(index.join(7, "b", unlimited));
    CHECK(members(index, "a") == Slots{3, 7});
    CHECK(sorted(index.rooms_of(7)) == std::vector<std::string>{"a", "b"});
    CHECK(index.rooms() == 2);
    CHECK(index.memberships() == 3);
    CHECK(index.leave(7, "a"));
    CHECK_FALSE(index.leave(7, "a"));
    CHECK_FALSE(index.leave(7, "nowhere"));
    CHECK_FALSE(index.leave(1'000, "a"));
    CHECK(members(index, "a") == Slots{3});
    index.leave_all(7);
    index.leave_all(7);
    index.leave_all(1'000);
    CHECK(members(index, "b").empty());
    CHECK(index.rooms_of(7).empty());
    CHECK(index.rooms() == 1);
}

TEST_CASE("a connection is in at most as many rooms as it may be in", "[rooms]") {
    RoomIndex index;
    CHECK_FALSE(index.join(1, "a", 0));
    CHECK(index.rooms() == 0);
    CHECK(index.join(1, "a", 2));
    CHECK(index.join(1, "b", 2));
    CHECK_FALSE(index.join(1, "c", 2));
    CHECK(index.join(1, "a", 2));
    CHECK(index.join(2, "c", 2));
    CHECK(index.leave(1, "a"));
    CHECK(index.join(1, "c", 2));
}

TEST_CASE("an index of rooms is the same as a simple model in any order of changes", "[rooms]") {
    for (unsigned seed = 0; seed < 60; ++seed) {
        INFO("seed " << seed);
        Modelled both(seed);
        for (int step = 0; step < 150; ++step) {
            both.number(10) == 0 ? both.visit(2) : both.change();
            if (step % 10 == 9) both.check();
        }
        both.check();
        for (std::uint32_t slot = 0; slot < 20; ++slot) both.leave_all(slot);
        both.check();
        CHECK(both.index.rooms() == 0);
    }
}

TEST_CASE("a visit of a room sees the members of its start that have not left", "[rooms]") {
    RoomIndex index;
    for (const std::uint32_t slot : {1u, 2u, 3u, 4u, 5u}) index.join(slot, "a", unlimited);
    Slots visited;
    index.for_each_member("a", [&](std::uint32_t slot) {
        visited.push_back(slot);
        if (slot == 2) {
            index.leave(1, "a");  // visited before
            index.leave(4, "a");  // not visited yet
            index.leave_all(2);   // the visited one itself
            index.join(6, "a", unlimited);
            index.join(4, "a", unlimited);  // again: it is a new member
        }
    });
    CHECK(visited == Slots{1, 2, 3, 5});
    CHECK(members(index, "a") == Slots{3, 4, 5, 6});

    SECTION("also if all of them leave") {
        visited.clear();
        index.for_each_member("a", [&](std::uint32_t slot) {
            visited.push_back(slot);
            for (const std::uint32_t other : {3u, 4u, 5u, 6u}) index.leave(other, "a");
            CHECK(index.rooms() == 0);
        });
        CHECK(visited.size() == 1);
        CHECK(members(index, "a").empty());
        CHECK(index.join(1, "b", unlimited));
        CHECK(index.rooms() == 1);
    }
    SECTION("also if the function throws") {
        CHECK_THROWS_AS(index.for_each_member("a",
                                              [&](std::uint32_t slot) {
                                                  index.leave(slot, "a");
                                                  throw std::bad_alloc{};
                                              }),
                        std::bad_alloc);
        CHECK(members(index, "a").size() == 3);
    }
}

TEST_CASE("a join without memory changes nothing, whichever allocation fails", "[rooms]") {
    const std::string long_name(100, 'x');
    for (std::size_t failing = 1;; ++failing) {
        Modelled both(1);
        both.join(2, "a");
        std::size_t done = 0;
        const std::vector<std::pair<std::uint32_t, std::string>> joins{
            {2, long_name}, {70, "a"}, {70, long_name}, {9, "c"}, {9, long_name}};
        {
            const test::AllocationsMayFail may_fail;
            test::AllocationFailures::from(failing, 1);
            try {
                for (; done < joins.size(); ++done) both.index.join(joins[done].first, joins[done].second, unlimited);
            } catch (const std::bad_alloc&) {
            }
            test::AllocationFailures::none();
        }
        INFO("allocation " << failing << " failed, in join " << done);
        for (std::size_t i = 0; i < done; ++i) both.rooms_of[joins[i].first].insert(joins[i].second);
        both.check();
        if (done == joins.size()) break;
        both.join(joins[done].first, joins[done].second);
        both.check();
        REQUIRE(failing < 100);
    }
}

TEST_CASE("leaving needs no memory", "[rooms]") {
    RoomIndex index;
    for (std::uint32_t slot = 0; slot < 200; ++slot) {
        for (const auto* room : {"a", "b", "c"}) index.join(slot, room, unlimited);
    }
    {
        const test::AllocationsMayFail may_fail;
        test::AllocationFailures::from(1, unlimited);
        for (std::uint32_t slot = 0; slot < 198; ++slot) {
            slot % 2 == 0 ? index.leave_all(slot) : void(index.leave(slot, "b"));
        }
        test::AllocationFailures::none();
    }
    CHECK(members(index, "b") == Slots{198, 199});
    CHECK(members(index, "a").size() == 101);
}

TEST_CASE("a membership takes at most 40 bytes, in both directions", "[rooms]") {
    // 9,000 connections in 112 rooms each; small rooms, and rooms of all.
    for (const std::uint32_t room_count : {112u, 1'120u, 11'200u}) {
        const std::size_t before = test::bytes_in_use;
        {
            RoomIndex index;
            index.use_directory(std::make_shared<RoomDirectory>(), 0);
            constexpr std::uint32_t connections = 9'000, rooms_each = 112;
            for (std::uint32_t slot = 0; slot < connections; ++slot) {
                for (std::uint32_t i = 0; i < rooms_each; ++i) {
                    index.join(slot, "room/" + std::to_string((slot * 31 + i) % room_count), rooms_each);
                }
            }
            const std::size_t memberships = index.memberships();
            CHECK(memberships == std::size_t{connections} * rooms_each);
            const auto each = static_cast<double>(test::bytes_in_use - before) / static_cast<double>(memberships);
            INFO(room_count << " rooms: " << each << " bytes for a membership");
            CHECK(each <= 40.0);
            for (std::uint32_t slot = 0; slot < connections; ++slot) index.leave_all(slot);
            CHECK(index.memberships() == 0);
            CHECK(index.rooms() == 0);
        }
        CHECK(test::bytes_in_use == before);
    }
}

TEST_CASE("an index that ends leaves nothing in its directory", "[rooms]") {
    const auto directory = std::make_shared<RoomDirectory>();
    {
        RoomIndex index;
        index.use_directory(directory, 1);
        index.join(1, "a", unlimited);
        index.join(2, "b", unlimited);
        CHECK(directory->size() == 2);
    }
    CHECK(directory->size() == 0);
}
