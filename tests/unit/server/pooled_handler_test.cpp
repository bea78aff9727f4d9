#include "wsserver/server/detail/pooled_handler.hpp"

#include <new>

#include "support/catch.hpp"

using namespace wsserver;

TEST_CASE("a batch that cannot be scheduled for lack of memory is pushed at once", "[pooled_handler]") {
    PriorityTaskQueue queue;
    int wanted = 0;
    MemoryAccount memory;
    ReadyMailboxes ready{queue, memory, [&] {
                             if (++wanted == 1) throw std::bad_alloc{};
                         }};
    ready.batch().add(make_task(Priority::message, {}, [] {}));
    ready.schedule();
    CHECK(queue.size() == 1);
    ready.batch().add(make_task(Priority::message, {}, [] {}));
    ready.schedule();
    ready.schedule();
    CHECK(wanted == 2);
    CHECK(queue.size() == 1);
    ready.push();
    CHECK(queue.size() == 2);
}
