#include "wsserver/connection/connection_pool.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"

using namespace wsserver;

namespace {

constexpr std::uint16_t reactor = 3;
constexpr std::uint32_t last_generation = std::numeric_limits<std::uint32_t>::max();

/// The part of a connection that the pool needs; counts its objects. `size` is in bytes.
template <std::size_t size>
class Fake {
   public:
    explicit Fake(ConnectionId id) : id_(id) { ++alive; }
    Fake(const Fake&) = delete;
    Fake& operator=(const Fake&) = delete;
    ~Fake() { --alive; }

    ConnectionId id() const noexcept { return id_; }

    inline static int alive = 0;

   private:
    const ConnectionId id_;
    alignas(8) std::array<std::uint8_t, size - 16> rest_{};
};
using Small = Fake<24>;
using Pool = ConnectionPool<Small>;

std::vector<ConnectionId> ids_of(Pool& pool) {
    std::vector<ConnectionId> ids;
    pool.for_each([&](Small& connection) { ids.push_back(connection.id()); });
    return ids;
}

std::vector<ConnectionId> filled(Pool& pool, std::size_t count) {
    std::vector<ConnectionId> ids;
    for (std::size_t i = 0; i < count; ++i) ids.push_back(pool.emplace()->id());
    return ids;
}

}  // namespace

TEST_CASE("the connections of some slots are visited", "[pool]") {
    Pool pool{reactor};
    const auto ids = filled(pool, 200);
    const auto visited = [&](std::uint32_t first, std::uint32_t most, bool is_last) {
        std::vector<ConnectionId> found;
        CHECK(pool.for_each_in(first, most, [&](Small& one) { found.push_back(one.id()); }) == is_last);
        return found;
    };
    using Ids = std::vector<ConnectionId>;
    CHECK(visited(0, 64, false) == Ids(ids.begin(), ids.begin() + 64));
    CHECK(visited(64, 128, false) == Ids(ids.begin() + 64, ids.begin() + 192));
    CHECK(visited(192, 64, true) == Ids(ids.begin() + 192, ids.end()));
    CHECK(visited(128, 1024, true) == Ids(ids.begin() + 128, ids.end()));
    CHECK(visited(256, 64, true).empty());
    CHECK(visited(1024, 64, true).empty());
    CHECK(visited(0, std::numeric_limits<std::uint32_t>::max(), true) == ids);
}

TEST_CASE("a slot costs little more than its connection", "[pool]") {
    // The code that grows the pool asserts it at compile time.
    const auto grow = []<std::size_t size>(std::integral_constant<std::size_t, size>) {
        static_assert(sizeof(Fake<size>) == size);
        CHECK(ConnectionPool<Fake<size>>{reactor}.emplace() != nullptr);
    };
    grow(std::integral_constant<std::size_t, 24>{});
    grow(std::integral_constant<std::size_t, 280>{});
    grow(std::integral_constant<std::size_t, 1000>{});
    STATIC_REQUIRE(Pool::max_size >= 1'048'576);
}

TEST_CASE("the bytes that wait for a connection are noted in steps, for any thread", "[pool]") {
    Pool pool{reactor};
    const ConnectionId id = pool.emplace()->id();
    CHECK(pool.queued(id) == 0);  // it is not open
    pool.open(id);
    CHECK(pool.queued(id) == 0);
    for (const std::size_t bytes : {std::size_t{1}, std::size_t{1024}}) {
        pool.note_queued(id, bytes);
        CHECK(pool.queued(id) == 1024);
    }
    pool.note_queued(id, 1025);
    CHECK(pool.queued(id) == 2048);
    pool.note_queued(id, std::numeric_limits<std::size_t>::max());
    CHECK(pool.queued(id) == 65'535 * 1024);
    pool.retire(id);
    CHECK(pool.queued(id) == 0);
    pool.erase(id);
    const ConnectionId next = pool.emplace()->id();
    pool.open(next);
    CHECK(pool.queued(next) == 0);
    CHECK(pool.queued(id) == 0);
}

TEST_CASE("a connection is found by its id until it is erased", "[pool]") {
    Pool pool{reactor};
    CHECK(pool.empty());
    Small* first = pool.emplace();
    Small* second = pool.emplace();
    REQUIRE(first != nullptr);
    CHECK(first->id() == ConnectionId{reactor, 0, 1});
    CHECK(second->id() == ConnectionId{reactor, 1, 1});
    CHECK(pool.size() == 2);
    const ConnectionId gone = first->id();
    CHECK(pool.find(gone) == first);
    pool.erase(gone);
    CHECK(pool.find(gone) == nullptr);
    CHECK(pool.size() == 1);
    CHECK(Small::alive == 1);

    CHECK(pool.emplace()->id() == ConnectionId{reactor, 0, 2});
    CHECK(pool.find(gone) == nullptr);
    CHECK(pool.find(second->id()) == second);
}

TEST_CASE("ids without a connection find nothing", "[pool]") {
    Pool pool{reactor};
    const ConnectionId absent =
        GENERATE(ConnectionId{reactor, 0, 0}, ConnectionId{reactor, 0, 2}, ConnectionId{reactor, 1, 1},
                 ConnectionId{reactor, 1, 0}, ConnectionId{reactor, Pool::chunk_slots, 1},
                 ConnectionId{reactor, Pool::max_size, 1},
                 ConnectionId{reactor, std::numeric_limits<std::uint32_t>::max(), 1}, ConnectionId{});
    CHECK(pool.find(absent) == nullptr);
    CHECK_FALSE(pool.is_open(absent));
    pool.open(pool.emplace()->id());
    CHECK(pool.find(absent) == nullptr);
    CHECK_FALSE(pool.is_open(absent));
    CHECK(pool.find({reactor + 1, 0, 1}) == nullptr);
}

TEST_CASE("only an open connection may be sent to", "[pool]") {
    Pool pool{reactor};
    const ConnectionId id = pool.emplace()->id();
    CHECK_FALSE(pool.is_open(id));
    pool.open(id);
    CHECK(pool.is_open(id));
    SECTION("until it is retired, but it is still found") {
        pool.retire(id);
        CHECK_FALSE(pool.is_open(id));
        CHECK(pool.find(id) != nullptr);
    }
    SECTION("until it is gone") {
        pool.erase(id);
        CHECK_FALSE(pool.is_open(id));
        const ConnectionId next = pool.emplace()->id();
        CHECK(next.slot == id.slot);
        pool.open(next);
        CHECK_FALSE(pool.is_open(id));
        CHECK(pool.is_open(next));
    }
}

TEST_CASE("a close that is due is called or reported, but not both", "[pool]") {
    Pool pool{reactor};
    const auto ids = filled(pool, Pool::chunk_slots + 1);
    for (const ConnectionId id : ids) pool.open(id);
    CHECK(pool.close_called(ids[0]));
    CHECK(pool.close_called(ids.back()));
    using Ids = std::vector<ConnectionId>;
    CHECK(pool.take_close_due() == Ids(ids.begin() + 1, ids.end() - 1));
    CHECK_FALSE(pool.close_called(ids[1]));
    CHECK(pool.take_close_due().empty());
}

TEST_CASE("each close is called or reported once, whichever thread comes first", "[pool][threads]") {
    Pool pool{reactor};
    const auto ids = filled(pool, 16 * Pool::chunk_slots);
    std::size_t both = 0, none = 0;
    for (int round = 0; round < 100; ++round) {
        for (const ConnectionId id : ids) pool.open(id);
        std::vector<ConnectionId> reported;
        std::atomic<bool> begin{false};
        std::jthread reporter{[&] {
            while (!begin) std::this_thread::yield();
            reported = pool.take_close_due();
        }};
        begin = true;
        std::vector<ConnectionId> called;
        for (const ConnectionId id : ids) {
            if (pool.close_called(id)) called.push_back(id);
        }
        reporter.join();
        for (const ConnectionId id : ids) {
            const auto times = std::ranges::count(called, id) + std::ranges::count(reported, id);
            if (times > 1) ++both;
            if (times < 1) ++none;
        }
    }
    CHECK(both == 0);
    CHECK(none == 0);
}

TEST_CASE("many connections are made and erased", "[pool]") {
    struct Known {
        Small* connection;
        bool open;
    };
    Pool pool{reactor};
    std::map<ConnectionId, Known> model;  // in order of slot, because each slot has at most one
    std::set<ConnectionId> given;
    std::vector<ConnectionId> gone;
    std::mt19937 random{GENERATE(1U, 2U, 3U)};
    const auto any_known = [&] {
        auto found = model.lower_bound({reactor, static_cast<std::uint32_t>(random() % 300), 0});
        return found == model.end() ? model.begin() : found;
    };
    bool same = true;
    for (int step = 0; step < 60'000 && same; ++step) {
        // The pool grows and shrinks in phases.
        const unsigned growing = step / 2'000 % 2 == 0 ? 60 : 30;
        if (model.empty() || random() % 100 < growing) {
            Small* connection = pool.emplace();
            same = connection != nullptr && given.insert(connection->id()).second;
            model[connection->id()] = {connection, false};
        } else {
            const auto [id, known] = *any_known();
            same = pool.find(id) == known.connection && known.connection->id() == id && pool.is_open(id) == known.open;
            switch (random() % 4) {
                case 0:
                    pool.open(id);
                    model[id].open = true;
                    break;
                case 1:
                    pool.retire(id);
                    model[id].open = false;
                    break;
                default:
                    pool.erase(id);
                    model.erase(id);
                    gone.push_back(id);
            }
        }
        if (!gone.empty()) {
            const ConnectionId stale = gone[random() % gone.size()];
            same = same && pool.find(stale) == nullptr && !pool.is_open(stale);
        }
        same = same && pool.size() == model.size();
        if (step % 500 != 0) continue;
        std::vector<ConnectionId> expected;
        expected.reserve(model.size());
        for (const auto& [id, known] : model) expected.push_back(id);
        same = same && ids_of(pool) == expected && Small::alive == static_cast<int>(model.size());
    }
    CHECK(same);
    CHECK(gone.size() > 10'000);
}

TEST_CASE("the generation after the last is the first", "[pool]") {
    Pool pool{reactor, last_generation - 1};
    std::vector<ConnectionId> given;
    for (const std::uint32_t expected : {last_generation - 1, last_generation, 1U, 2U}) {
        const ConnectionId id = pool.emplace()->id();
        CHECK(id == ConnectionId{reactor, 0, expected});
        pool.open(id);
        CHECK(pool.is_open(id));
        for (const ConnectionId stale : given) {
            CHECK(pool.find(stale) == nullptr);
            CHECK_FALSE(pool.is_open(stale));
        }
        CHECK_FALSE(pool.is_open({reactor, 0, 0}));
        pool.erase(id);
        given.push_back(id);
    }
}

TEST_CASE("each slot has generations of its own", "[pool]") {
    Pool pool{reactor};
    const auto ids = filled(pool, 3 * Pool::chunk_slots);
    // Reuse the slots of the second chunk each time; keep the others.
    for (std::uint32_t generation = 1; generation < 5; ++generation) {
        for (std::uint32_t slot = Pool::chunk_slots; slot < 2 * Pool::chunk_slots; ++slot) {
            pool.erase({reactor, slot, generation});
        }
        CHECK(pool.size() == 2 * Pool::chunk_slots);
        filled(pool, Pool::chunk_slots);
    }
    for (const ConnectionId& id : ids_of(pool)) {
        CHECK(id.generation == (id.slot / Pool::chunk_slots == 1 ? 5 : 1));
    }
    CHECK(pool.size() == ids.size());
}

TEST_CASE("for_each allows changes while it runs", "[pool]") {
    Pool pool{reactor};
    constexpr std::uint32_t count = 2 * Pool::chunk_slots + 7;
    const auto ids = filled(pool, count);
    std::vector<std::uint32_t> met;
    SECTION("each connection erases itself") {
        pool.for_each([&](Small& connection) {
            met.push_back(connection.id().slot);
            pool.erase(connection.id());
        });
        CHECK(met.size() == count);
        CHECK(pool.empty());
    }
    SECTION("the first erases all") {
        pool.for_each([&](Small& connection) {
            met.push_back(connection.id().slot);
            for (const ConnectionId id : ids) pool.erase(id);
        });
        CHECK(met == std::vector<std::uint32_t>{0});
    }
    SECTION("each erases the next one, also in the next chunk") {
        pool.for_each([&](Small& connection) {
            met.push_back(connection.id().slot);
            if (const std::uint32_t next = met.back() + 1; next < count) pool.erase(ids[next]);
        });
        CHECK(met.size() == (count + 1) / 2);
        CHECK(std::ranges::none_of(met, [](std::uint32_t slot) { return slot % 2 == 1; }));
    }
    SECTION("each erases the one before") {
        pool.for_each([&](Small& connection) {
            met.push_back(connection.id().slot);
            if (met.back() > 0) pool.erase(ids[met.back() - 1]);
        });
        CHECK(met.size() == count);
        CHECK(pool.size() == 1);
    }
    SECTION("each is replaced by a new one") {
        std::size_t made = 0;
        pool.for_each([&](Small& connection) {
            if (connection.id().generation > 1) return;  // a new one
            met.push_back(connection.id().slot);
            pool.erase(connection.id());
            pool.emplace();
            ++made;
        });
        CHECK(met.size() == count);
        CHECK(pool.size() == made);
    }
    SECTION("new ones make the pool grow") {
        pool.for_each([&](Small& connection) {
            if (connection.id().slot >= count) return;  // a new one
            met.push_back(connection.id().slot);
            filled(pool, 3);
        });
        CHECK(met.size() == count);
        CHECK(pool.size() == 4 * count);
    }
    CHECK(std::ranges::is_sorted(met));
    for (const ConnectionId id : ids_of(pool)) CHECK(pool.find(id) != nullptr);
}

TEST_CASE("the last slot of a chunk may be the only one in use", "[pool]") {
    Pool pool{reactor};
    auto ids = filled(pool, 3 * Pool::chunk_slots);
    std::erase_if(ids, [&](ConnectionId id) {
        if (id.slot == 2 * Pool::chunk_slots - 1) return false;
        pool.erase(id);
        return true;
    });
    CHECK(ids_of(pool) == ids);
    CHECK(pool.find(ids.front())->id() == ids.front());
}

TEST_CASE("if a constructor throws, the slot is free again but the id is not reused", "[pool]") {
    struct Failing {
        Failing(ConnectionId id, bool fail) : id_(id) {
            if (fail) throw std::runtime_error{"no"};
        }
        ConnectionId id() const noexcept { return id_; }
        ConnectionId id_;
    };
    ConnectionPool<Failing> pool{reactor};
    CHECK_THROWS_AS(pool.emplace(true), std::runtime_error);
    CHECK(pool.empty());
    CHECK(pool.find({reactor, 0, 1}) == nullptr);
    CHECK(pool.emplace(false)->id() == ConnectionId{reactor, 0, 2});
    CHECK_THROWS_AS(pool.emplace(true), std::runtime_error);
    CHECK(pool.emplace(false)->id() == ConnectionId{reactor, 1, 2});
}

TEST_CASE("a connection is not found while it is destroyed", "[pool]") {
    struct Asking {
        Asking(ConnectionId id, ConnectionPool<Asking>& pool) : id_(id), pool_(pool) {}
        ~Asking() {
            CHECK(pool_.find(id_) == nullptr);
            CHECK_FALSE(pool_.is_open(id_));
            pool_.for_each([this](Asking& other) { CHECK(&other != this); });
        }
        ConnectionId id() const noexcept { return id_; }
        ConnectionId id_;
        ConnectionPool<Asking>& pool_;
    };
    ConnectionPool<Asking> pool{reactor};
    const ConnectionId id = pool.emplace(pool)->id();
    pool.open(pool.emplace(pool)->id());
    pool.open(id);
    pool.erase(id);
    CHECK(pool.size() == 1);
}

#ifdef WSSERVER_POISONS
TEST_CASE("the address sanitizer detects the use of a connection that is gone", "[pool]") {
    Pool pool{reactor};
    Small* connection = pool.emplace();
    auto* bytes = reinterpret_cast<std::uint8_t*>(connection);
    CHECK(__asan_region_is_poisoned(bytes, sizeof *connection) == nullptr);
    CHECK(__asan_address_is_poisoned(bytes + sizeof *connection));  // the next slot is still free
    pool.erase(connection->id());
    for (std::size_t i = 0; i < sizeof *connection; ++i) CHECK(__asan_address_is_poisoned(bytes + i));
    CHECK(pool.emplace() == connection);
    CHECK(__asan_region_is_poisoned(bytes, sizeof *connection) == nullptr);
}
#endif

TEST_CASE("the pool destroys its connections", "[pool]") {
    std::optional<Pool> pool{std::in_place, reactor};
    pool->erase(filled(*pool, 200)[70]);
    CHECK(Small::alive == 199);
    pool.reset();
    CHECK(Small::alive == 0);
}

TEST_CASE("a full pool makes no connection until one is erased", "[pool]") {
    const auto pool = std::make_unique<Pool>(reactor);
    std::uint32_t made = 0;
    while (pool->emplace() != nullptr) ++made;
    CHECK(made == Pool::max_size);
    CHECK(pool->emplace() == nullptr);
    const ConnectionId last{reactor, Pool::max_size - 1, 1};
    CHECK(pool->find(last) != nullptr);
    pool->erase(last);
    CHECK(pool->emplace()->id() == ConnectionId{reactor, Pool::max_size - 1, 2});
    CHECK(pool->emplace() == nullptr);
}

TEST_CASE("any thread may check which connections are open", "[pool]") {
    const auto pool = std::make_unique<Pool>(reactor);
    const ConnectionId always = pool->emplace()->id();
    pool->open(always);
    std::atomic<bool> over = false;
    std::atomic<std::uint32_t> wrong = 0;
    std::thread other([&] {
        for (std::uint32_t slot = 1; !over; slot = slot % 1'000 + 1) {
            if (!pool->is_open(always)) ++wrong;
            if (pool->is_open({reactor, slot, 1'000'000})) ++wrong;
            (void)pool->is_open({reactor, slot, slot % 20 + 1});
        }
    });
    for (int round = 0; round < 20; ++round) {
        std::vector<ConnectionId> ids;
        for (int i = 0; i < 40 * (round + 1); ++i) {
            ids.push_back(pool->emplace()->id());
            pool->open(ids.back());
        }
        for (const ConnectionId id : ids) pool->erase(id);
    }
    over = true;
    other.join();
    CHECK(wrong == 0);
}
