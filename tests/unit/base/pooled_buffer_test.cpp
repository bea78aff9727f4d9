#include "wsserver/base/pooled_buffer.hpp"

#include <memory>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace wsserver;

TEST_CASE("a buffer has at least the requested size", "[pooled_buffer]") {
    CHECK(PooledBuffer{}.data() == nullptr);
    CHECK(PooledBuffer{}.capacity() == 0);
    for (const std::size_t size : {std::size_t{1}, PooledBuffer::large - 1, PooledBuffer::large,
                                   PooledBuffer::large + 1, 5 * PooledBuffer::large}) {
        const PooledBuffer buffer{size};
        CHECK(buffer.capacity() >= size);
        buffer.data()[0] = 1;
        buffer.data()[buffer.capacity() - 1] = 2;
    }
}

TEST_CASE("a buffer has one owner", "[pooled_buffer]") {
    PooledBuffer one{100};
    auto* const bytes = one.data();
    PooledBuffer two{std::move(one)};
    CHECK(one.data() == nullptr);  // NOLINT(bugprone-use-after-move): a moved-from buffer is empty
    CHECK(one.capacity() == 0);
    CHECK(two.data() == bytes);
    one = std::move(two);
    CHECK(one.data() == bytes);
    CHECK(two.data() == nullptr);  // NOLINT(bugprone-use-after-move)
}

TEST_CASE("a large buffer is reused for the next one of its size", "[pooled_buffer]") {
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

TEST_CASE("the thread that destroys a buffer keeps it", "[pooled_buffer]") {
    auto buffer = std::make_unique<PooledBuffer>(PooledBuffer::large);
    const auto* const bytes = buffer->data();
    std::thread([&] {
        buffer.reset();
        CHECK(PooledBuffer{PooledBuffer::large}.data() == bytes);
    }).join();
}

TEST_CASE("a thread keeps at most most_kept bytes", "[pooled_buffer]") {
    std::thread([] {
        const auto* const first = PooledBuffer{PooledBuffer::large}.data();
        {
            std::vector<PooledBuffer> many;
            for (std::size_t bytes = 0; bytes < PooledBuffer::most_kept; bytes += 4 * PooledBuffer::large) {
                many.emplace_back(4 * PooledBuffer::large);
            }
        }
        // The first buffer was freed for these. If it were still kept, `small` would get it.
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

TEST_CASE("a buffer that is destroyed after the kept ones of its thread is freed", "[pooled_buffer]") {
    std::thread([] {
        thread_local std::vector<PooledBuffer> last;  // constructed before the kept buffers, destroyed after them
        last.reserve(1);
        last.emplace_back(PooledBuffer::large);
    }).join();
}
