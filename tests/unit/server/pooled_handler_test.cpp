#include "wsserver/server/detail/pooled_handler.hpp"

#include <new>

#include "support/catch.hpp"

using namespace wsserver;

TEST_CASE("a batch that was not scheduled for lack of memory is scheduled with the next one", "[pooled_handler]") {
    PriorityTaskQueue queue;
    int wanted = 0;
    ReadyMailboxes ready{queue, [&] {
                             if (++wanted == 1) throw std::bad_alloc{};
                         }};
    ready.batch().add(make_task(Priority::message, {}, [] {}));
    CHECK_THROWS_AS(ready.schedule(), std::bad_alloc);
    ready.batch().add(make_task(Priority::message, {}, [] {}));
    ready.schedule();
    ready.schedule();
    CHECK(wanted == 2);
    ready.push();
    CHECK(queue.size() == 2);
}
