#include "wsserver/base/pooled_buffer.hpp"

#include <memory>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace wsserver;

TEST_CASE("a block has at least the bytes asked for", "[pooled_buffer]") {
    CHECK(PooledBuffer{}.data() == nullptr);
    CHECK(PooledBuffer{}.capacity() == 0);
    for (const std::size_t size : {std::size_t{1}, PooledBuffer::large - 1, PooledBuffer::large,
                                   PooledBuffer::large + 1, 5 * PooledBuffer::large}) {
        const PooledBuffer block{size};
        CHECK(block.capacity() >= size);
        block.data()[0] = 1;
        block.data()[block.capacity() - 1] = 2;
    }
}

TEST_CASE("a block has one owner", "[pooled_buffer]") {
    PooledBuffer one{100};
    auto* const bytes = one.data();
    PooledBuffer two{std::move(one)};
    CHECK(one.data() == nullptr);  // NOLINT(bugprone-use-after-move): what a move leaves is promised
    CHECK(one.capacity() == 0);
    CHECK(two.data() == bytes);
    one = std::move(two);
    CHECK(one.data() == bytes);
    CHECK(two.data() == nullptr);  // NOLINT(bugprone-use-after-move)
}

TEST_CASE("a large block is the next one of its size", "[pooled_buffer]") {
    std::thread([] {
        const auto* const first = PooledBuffer{PooledBuffer::large * 2}.data();
        {
            const PooledBuffer again{PooledBuffer::large * 2 - 1};
            CHECK(again.data() == first);
            CHECK(again.capacity() == PooledBuffer::large * 2);
            const PooledBuffer another{PooledBuffer::large * 2};
            CHECK(another.data() != first);
        }
        const PooledBuffer much_smaller{PooledBuffer::large / 2};
        const PooledBuffer too_large{PooledBuffer::large * 100};
        CHECK(too_large.capacity() == PooledBuffer::large * 100);
    }).join();
}

TEST_CASE("one thread's block may go back to another", "[pooled_buffer]") {
    auto block = std::make_unique<PooledBuffer>(PooledBuffer::large);
    const auto* const bytes = block->data();
    std::thread([&] {
        block.reset();
        CHECK(PooledBuffer{PooledBuffer::large}.data() == bytes);
    }).join();
}

TEST_CASE("a thread keeps so much and no more", "[pooled_buffer]") {
    std::thread([] {
        const auto* const first = PooledBuffer{PooledBuffer::large}.data();
        {
            std::vector<PooledBuffer> many;
            for (std::size_t bytes = 0; bytes < PooledBuffer::most_kept; bytes += 4 * PooledBuffer::large) {
                many.emplace_back(4 * PooledBuffer::large);
            }
        }
        // The first has been given up for them; were it still there it would be the one that fits.
        std::vector<PooledBuffer> all;
        for (std::size_t bytes = 0; bytes < PooledBuffer::most_kept; bytes += 4 * PooledBuffer::large) {
            all.emplace_back(4 * PooledBuffer::large);
        }
        const PooledBuffer small{PooledBuffer::large};
        CHECK(small.capacity() == PooledBuffer::large);
        CHECK(first != nullptr);
        const PooledBuffer more_than_all{PooledBuffer::most_kept + 1};
        CHECK(more_than_all.capacity() > PooledBuffer::most_kept);
    }).join();
}

TEST_CASE("what outlives the kept blocks of a thread is freed", "[pooled_buffer]") {
    std::thread([] {
        thread_local std::vector<PooledBuffer> last;  // made before the thread keeps any: goes after them
        last.reserve(1);
        last.emplace_back(PooledBuffer::large);
    }).join();
}
