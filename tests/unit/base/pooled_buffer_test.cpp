#include "wsserver/base/pooled_buffer.hpp"

#include <memory>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace wsserver;

TEST_CASE("a block has at least the octets asked for", "[block]") {
    CHECK(Block{}.data() == nullptr);
    CHECK(Block{}.capacity() == 0);
    for (const std::size_t size :
         {std::size_t{1}, Block::large - 1, Block::large, Block::large + 1, 5 * Block::large}) {
        const Block block{size};
        CHECK(block.capacity() >= size);
        block.data()[0] = 1;
        block.data()[block.capacity() - 1] = 2;
    }
}

TEST_CASE("a block has one owner", "[block]") {
    Block one{100};
    auto* const octets = one.data();
    Block two{std::move(one)};
    CHECK(one.data() == nullptr);  // NOLINT(bugprone-use-after-move): what a move leaves is promised
    CHECK(one.capacity() == 0);
    CHECK(two.data() == octets);
    one = std::move(two);
    CHECK(one.data() == octets);
    CHECK(two.data() == nullptr);  // NOLINT(bugprone-use-after-move)
}

TEST_CASE("a large block is the next one of its size", "[block]") {
    std::thread([] {
        const auto* const first = Block{Block::large * 2}.data();
        {
            const Block again{Block::large * 2 - 1};
            CHECK(again.data() == first);
            CHECK(again.capacity() == Block::large * 2);
            const Block another{Block::large * 2};
            CHECK(another.data() != first);
        }
        const Block much_smaller{Block::large / 2};
        const Block too_large{Block::large * 100};
        CHECK(too_large.capacity() == Block::large * 100);
    }).join();
}

TEST_CASE("one thread's block may go back to another", "[block]") {
    auto block = std::make_unique<Block>(Block::large);
    const auto* const octets = block->data();
    std::thread([&] {
        block.reset();
        CHECK(Block{Block::large}.data() == octets);
    }).join();
}

TEST_CASE("a thread keeps so much and no more", "[block]") {
    std::thread([] {
        const auto* const first = Block{Block::large}.data();
        {
            std::vector<Block> many;
            for (std::size_t octets = 0; octets < Block::most_kept; octets += 4 * Block::large) {
                many.emplace_back(4 * Block::large);
            }
        }
        // The first has been given up for them; were it still there it would be the one that fits.
        std::vector<Block> all;
        for (std::size_t octets = 0; octets < Block::most_kept; octets += 4 * Block::large) {
            all.emplace_back(4 * Block::large);
        }
        const Block small{Block::large};
        CHECK(small.capacity() == Block::large);
        CHECK(first != nullptr);
        const Block more_than_all{Block::most_kept + 1};
        CHECK(more_than_all.capacity() > Block::most_kept);
    }).join();
}

TEST_CASE("what outlives the kept blocks of a thread is freed", "[block]") {
    std::thread([] {
        thread_local std::vector<Block> last;  // made before the thread keeps any: goes after them
        last.reserve(1);
        last.emplace_back(Block::large);
    }).join();
}
