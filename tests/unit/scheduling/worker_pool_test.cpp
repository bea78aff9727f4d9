#include "wsserver/scheduling/worker_pool.hpp"

#include <signal.h>

#include <atomic>
#include <barrier>
#include <future>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/blocker.hpp"
#include "support/catch.hpp"

using namespace wsserver;
using wsserver::test::Blocker;
using namespace std::chrono_literals;

namespace {

constexpr auto long_enough = 60s;  // a deadline that only a failed test reaches

/// A task that counts down when it runs, and then blocks.
TaskPtr blocking(TaskName name, std::latch& runs, const std::shared_ptr<Blocker>& blocker) {
    return make_task(Priority::message, name, [&runs, blocker] {
        runs.count_down();
        blocker->wait();
    });
}

}  // namespace

TEST_CASE("a pool has the given number of workers, or one per core", "[worker_pool]") {
    CHECK(WorkerPool{3}.size() == 3);
    CHECK(WorkerPool{0}.size() == std::max(1U, std::thread::hardware_concurrency()));
}

TEST_CASE("workers run tasks at the same time", "[worker_pool]") {
    WorkerPool pool{3};
    std::barrier together{3};
    std::latch done{3};
    for (int i = 0; i < 3; ++i) {
        pool.queue().push(make_task(Priority::message, {}, [&] {
            together.arrive_and_wait();
            done.count_down();
        }));
    }
    done.wait();
}

TEST_CASE("stop waits for queued tasks", "[worker_pool]") {
    std::atomic<int> done{0};
    WorkerPool pool{2};
    for (int i = 0; i < 1000; ++i) pool.queue().push(make_task(Priority::background, {}, [&] { ++done; }));
    CHECK(pool.stop(long_enough));
    CHECK(done == 1000);
    CHECK(pool.stop(0s));
    CHECK_FALSE(pool.queue().push(make_task(Priority::message, {}, [] {})));
}

TEST_CASE("a task may be queued again", "[worker_pool]") {
    class Countdown final : public Task {
       public:
        Countdown(int left, std::promise<void>& done) : Task(Priority::message, {}), left_(left), done_(done) {}
        TaskPtr run(TaskPtr self, Worker&) override {
            if (--left_ > 0) return self;
            done_.set_value();
            return nullptr;
        }

       private:
        int left_;
        std::promise<void>& done_;
    };
    std::promise<void> done;
    WorkerPool pool{2};
    pool.queue().push(TaskPtr{new Countdown{1000, done}});
    done.get_future().wait();
    CHECK(pool.stop(long_enough));
}

TEST_CASE("an exception is counted and reported, and the worker continues", "[worker_pool]") {
    std::mutex mutex;
    std::vector<std::string> reports;
    WorkerPool pool{1, [&](TaskName task, std::exception_ptr exception) {
                        const std::lock_guard lock(mutex);
                        try {
                            std::rethrow_exception(std::move(exception));
                        } catch (const std::exception& error) {
                            reports.push_back(task.text() + ": " + error.what());
                        } catch (int number) {
                            reports.push_back(task.text() + ": " + std::to_string(number));
                        }
                    }};
    std::promise<void> done;
    pool.queue().push(make_task(Priority::message, TaskName{"first"}, [] { throw std::runtime_error{"no"}; }));
    pool.queue().push(make_task(Priority::message, TaskName{"second"}, [] { throw 5; }));
    pool.queue().push(make_task(Priority::message, TaskName{"third"},
                                [](Worker& worker) { worker.failed(TaskName{"part"}, std::make_exception_ptr(6)); }));
    pool.queue().push(make_task(Priority::message, {}, [&] { done.set_value(); }));
    done.get_future().wait();
    CHECK(pool.failures() == 3);
    const std::lock_guard lock(mutex);
    CHECK(reports == std::vector<std::string>{"first: no", "second: 5", "part: 6"});
}

TEST_CASE("the failure callback may throw", "[worker_pool]") {
    WorkerPool pool{1, [](TaskName, std::exception_ptr) { throw 1; }};
    pool.queue().push(make_task(Priority::message, {}, [] { throw 2; }));
    CHECK(pool.stop(long_enough));
    CHECK(pool.failures() == 2);
}

TEST_CASE("states tell what workers do and for how long", "[worker_pool]") {
    const auto blocker = std::make_shared<Blocker>();
    std::latch runs{2};
    WorkerPool pool{3};
    CHECK(pool.newly_overdue(0ms).empty());
    pool.queue().push(blocking(TaskName{"sleeper"}, runs, blocker));
    pool.queue().push(blocking(TaskName{"dreamer"}, runs, blocker));
    runs.wait();

    std::vector<std::string> busy;
    for (const WorkerPool::State& state : pool.states(1h)) {
        if (!state.busy) continue;
        CHECK(state.since >= 0ms);
        CHECK_FALSE(state.overdue);
        busy.push_back(state.task.text());
    }
    std::sort(busy.begin(), busy.end());
    CHECK(busy == std::vector<std::string>{"dreamer", "sleeper"});

    CHECK(pool.newly_overdue(1h).empty());
    // A negative deadline has passed for every task.
    CHECK(pool.newly_overdue(-1ms).size() == 2);
    CHECK(pool.newly_overdue(-1ms).empty());
    std::size_t overdue = 0;
    for (const WorkerPool::State& state : pool.states(-1ms)) overdue += state.overdue ? 1U : 0U;
    CHECK(overdue == 2);
    blocker->release();
    CHECK(pool.stop(long_enough));
    for (const WorkerPool::State& state : pool.states(1h)) CHECK_FALSE(state.busy);
}

TEST_CASE("stop abandons a worker that is blocked", "[worker_pool]") {
    const auto blocker = std::make_shared<Blocker>();
    std::latch runs{2};
    std::promise<void> ended;
    std::atomic<int> reports{0};
    auto resource = std::make_shared<int>(1);
    const std::weak_ptr<int> queued = resource;
    {
        WorkerPool pool{2, [&](TaskName, std::exception_ptr) { ++reports; }};
        pool.queue().push(blocking(TaskName{"a"}, runs, blocker));
        pool.queue().push(make_task(Priority::message, TaskName{"b"}, [&runs, blocker, &ended] {
            // Ends with an exception after the pool is destroyed. The exception is not reported.
            struct AtEnd {
                std::promise<void>& promise;
                ~AtEnd() { promise.set_value(); }
            } at_end{ended};
            runs.count_down();
            blocker->wait();
            throw 1;
        }));
        runs.wait();
        // No worker is free for this task.
        pool.queue().push(make_task(Priority::message, {}, [resource = std::move(resource)] {}));
        CHECK_FALSE(pool.stop(0ms));
        CHECK(queued.expired());
        CHECK_FALSE(pool.stop(long_enough));  // does not wait
        CHECK(pool.states(1h).at(0).busy);
    }
    blocker->release();
    ended.get_future().wait();
    CHECK(reports == 0);
}

TEST_CASE("stop does not wait for a failure callback that blocks", "[worker_pool]") {
    const auto blocker = std::make_shared<Blocker>();
    auto called = std::make_shared<std::latch>(1);
    WorkerPool pool{1, [blocker, called](TaskName, std::exception_ptr) {
                        called->count_down();
                        blocker->wait();
                    }};
    pool.queue().push(make_task(Priority::message, {}, [] { throw 1; }));
    called->wait();
    auto stopped = std::async(std::launch::async, [&] { return pool.stop(0ms); });
    CHECK(stopped.wait_for(long_enough) == std::future_status::ready);
    blocker->release();
    CHECK_FALSE(stopped.get());
}

TEST_CASE("workers leave signals to the program", "[worker_pool]") {
    WorkerPool pool{1};
    std::promise<sigset_t> mask;
    pool.queue().push(make_task(Priority::message, {}, [&] {
        sigset_t blocked;
        pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
        mask.set_value(blocked);
    }));
    const sigset_t blocked = mask.get_future().get();
    CHECK(sigismember(&blocked, SIGTERM) == 1);
    CHECK(sigismember(&blocked, SIGHUP) == 1);
    CHECK(sigismember(&blocked, SIGSEGV) == 0);
    sigset_t own;
    pthread_sigmask(SIG_SETMASK, nullptr, &own);
    CHECK(sigismember(&own, SIGTERM) == 0);
}

TEST_CASE("states can be read while tasks start and end", "[worker_pool][threads]") {
    WorkerPool pool{2};
    const TaskName names[] = {TaskName{"a"}, TaskName{"b"}, TaskName{"c"}};
    std::atomic<bool> ended{false};
    std::thread watcher{[&] {
        while (!ended) {
            for (const WorkerPool::State& state : pool.states(1h)) {
                if (state.busy && (state.overdue || state.task.text().size() != 1)) std::abort();
            }
            pool.newly_overdue(1h);
        }
    }};
    std::latch done{3000};
    for (int i = 0; i < 3000; ++i) {
        pool.queue().push(make_task(Priority::message, names[i % 3], [&] { done.count_down(); }));
    }
    done.wait();
    ended = true;
    watcher.join();
}
