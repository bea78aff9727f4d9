#include "wsserver/connection/room_directory.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"

using namespace wsserver;

namespace {

std::vector<std::uint16_t> sorted(std::vector<std::uint16_t> reactors) {
    std::sort(reactors.begin(), reactors.end());
    return reactors;
}

using Reactors = std::vector<std::uint16_t>;

}  // namespace

TEST_CASE("a directory knows the reactors that have members of a room", "[rooms]") {
    RoomDirectory directory;
    CHECK(directory.reactors_of("a").empty());
    directory.add("a", 3);
    directory.add("a", 0);
    directory.add("b", 1);
    CHECK(sorted(directory.reactors_of("a")) == Reactors{0, 3});
    CHECK(directory.reactors_of("b") == Reactors{1});
    CHECK(directory.size() == 2);
    directory.remove("a", 3);
    CHECK(directory.reactors_of("a") == Reactors{0});
    directory.remove("a", 0);
    CHECK(directory.reactors_of("a").empty());
    CHECK(directory.size() == 1);
}

TEST_CASE("a reactor stays in a directory until it was removed as often as it was added", "[rooms]") {
    RoomDirectory directory;
    directory.add("a", 3);
    directory.add("a", 3);
    directory.remove("a", 3);
    CHECK(directory.reactors_of("a") == Reactors{3});
    directory.remove("a", 3);
    CHECK(directory.size() == 0);
}

TEST_CASE("a directory without memory stays as it was", "[rooms]") {
    for (std::size_t failing = 1;; ++failing) {
        RoomDirectory directory;
        const std::string room(100, 'x');
        directory.add("a", 3);
        bool failed = false;
        {
            const test::AllocationsMayFail may_fail;
            test::AllocationFailures::from(failing, 1);
            try {
                directory.add(room, 1);
                directory.add("a", 4);
            } catch (const std::bad_alloc&) {
                failed = true;
            }
            test::AllocationFailures::none();
        }
        const std::size_t added = directory.reactors_of(room).size();
        CHECK(directory.size() == 1 + added);
        CHECK(directory.reactors_of("a").size() == (failed ? 1 : 2));
        if (!failed) break;
        REQUIRE(failing < 100);
    }
}

TEST_CASE("threads change a directory at the same time", "[rooms]") {
    RoomDirectory directory;
    std::vector<std::thread> threads;
    for (std::uint16_t reactor = 0; reactor < 4; ++reactor) {
        threads.emplace_back([&directory, reactor] {
            for (int i = 0; i < 1'000; ++i) {
                const std::string room = "room " + std::to_string(i % 7);
                directory.add(room, reactor);
                (void)directory.reactors_of(room);
                if (i % 2 == 0 || i < 500) directory.remove(room, reactor);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(directory.size() == 7);
    for (int i = 0; i < 7; ++i) CHECK(directory.reactors_of("room " + std::to_string(i)).size() == 4);
}
