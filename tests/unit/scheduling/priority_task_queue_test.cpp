#include "wsserver/scheduling/priority_task_queue.hpp"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <deque>
#include <latch>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/test_worker.hpp"

using namespace wsserver;
using wsserver::test::run;
using wsserver::test::TestWorker;

namespace {

constexpr auto all_priorities = {Priority::control, Priority::command, Priority::message, Priority::background};

/// A task with a number. Counts the tasks that are alive.
class Numbered final : public Task {
   public:
    explicit Numbered(int number, Priority priority = Priority::message, TaskName name = {},
                      const void* owner = nullptr)
        : Task(priority, name, owner), number_(number) {
        ++alive;
    }
    TaskPtr run(TaskPtr, Worker&) override { return nullptr; }
    int number() const noexcept { return number_; }

    static inline std::atomic<int> alive{0};

   private:
    ~Numbered() override { --alive; }

    int number_;
};

TaskPtr numbered(int number, Priority priority = Priority::message) { return TaskPtr{new Numbered(number, priority)}; }

TaskPtr named(int number, std::string_view name, const void* owner = nullptr) {
    return TaskPtr{new Numbered(number, Priority::message, TaskName{name}, owner)};
}

int number_of(const TaskPtr& task) { return task ? static_cast<const Numbered&>(*task).number() : -1; }

}  // namespace

TEST_CASE("task names with equal text are equal", "[task]") {
    const TaskName first{"echo"};
    CHECK(first == TaskName{std::string{"echo"}});
    CHECK(first.text() == "echo");
    CHECK(TaskName{}.text().empty());
    CHECK_FALSE(first == TaskName{});
}

TEST_CASE("a task made from a callable calls it", "[task]") {
    TestWorker worker;
    int calls = 0;
    TaskPtr task = make_task(Priority::command, TaskName{"count"}, [&] { ++calls; });
    CHECK(task->name().text() == "count");
    CHECK(task->priority() == Priority::command);
    CHECK_FALSE(run(std::move(task), worker));
    CHECK(calls == 1);
    const Worker* seen = nullptr;
    run(make_task(Priority::command, {}, [&](Worker& its_worker) { seen = &its_worker; }), worker);
    CHECK(seen == &worker);
}

TEST_CASE("the callable of a task need only be movable and is destroyed with it", "[task]") {
    auto resource = std::make_shared<int>(7);
    const std::weak_ptr<int> watch = resource;
    auto task =
        make_task(Priority::message, {}, [owned = std::make_unique<std::shared_ptr<int>>(std::move(resource))] {});
    CHECK_FALSE(watch.expired());
    task.reset();
    CHECK(watch.expired());
}

TEST_CASE("a worker reports what it does", "[task]") {
    TestWorker worker;
    CHECK_FALSE(worker.doing());
    const auto before = Worker::Clock::now();
    worker.begins(TaskName{"echo"});
    REQUIRE(worker.doing());
    CHECK(worker.doing()->task == TaskName{"echo"});
    CHECK(worker.doing()->since <= Worker::Clock::now());
    CHECK(worker.doing()->since >= before - std::chrono::milliseconds{20});
    worker.rests();
    CHECK_FALSE(worker.doing());
}

TEST_CASE("tasks of one priority are popped in order", "[priority_task_queue]") {
    PriorityTaskQueue queue;
    for (int i = 0; i < 10; ++i) CHECK(queue.push(numbered(i)));
    CHECK(queue.size() == 10);
    CHECK(queue.size(Priority::message) == 10);
    CHECK(queue.size(Priority::control) == 0);
    for (int i = 0; i < 10; ++i) CHECK(number_of(queue.pop()) == i);
    CHECK_FALSE(queue.try_pop());
}

TEST_CASE("the highest priority is popped first", "[priority_task_queue]") {
    PriorityTaskQueue queue;
    TaskBatch batch;
    for (const Priority priority : {Priority::background, Priority::command, Priority::message, Priority::control}) {
        batch.add(numbered(static_cast<int>(priority), priority));
    }
    CHECK(batch.size() == 4);
    queue.push(batch);
    CHECK(batch.empty());
    for (int i = 0; i < 4; ++i) CHECK(number_of(queue.pop()) == i);
}

TEST_CASE("every 64th pop takes the lowest priority", "[priority_task_queue]") {
    PriorityTaskQueue queue;
    queue.push(numbered(-2, Priority::background));
    queue.push(numbered(-3, Priority::message));
    for (int i = 0; i < 200; ++i) queue.push(numbered(i, Priority::control));
    std::map<int, int> position;
    for (int i = 1; i <= 200; ++i) position[number_of(queue.pop())] = i;
    CHECK(position[-2] == 64);
    CHECK(position[-3] == 128);   // now the lowest that is not empty
    CHECK(position[189] == 192);  // only the highest is left
}

TEST_CASE("the names of tasks take turns", "[priority_task_queue]") {
    PriorityTaskQueue queue;
    for (int i = 0; i < 4; ++i) queue.push(named(i, "a"));
    queue.push(named(10, "b"));
    queue.push(named(11, "b"));
    queue.push(named(20, "c"));
    for (const int number : {0, 10, 20, 1, 11, 2, 3}) CHECK(number_of(queue.pop()) == number);
}

TEST_CASE("the tasks of one name leave a worker to the others", "[priority_task_queue]") {
    PriorityTaskQueue queue;
    queue.limit_each_group(2);
    PriorityTaskQueue::Running first, second, third, fourth;
    for (int i = 0; i < 4; ++i) queue.push(named(i, "a"));
    CHECK(number_of(queue.pop(nullptr, first)) == 0);
    CHECK(number_of(queue.pop(nullptr, second)) == 1);
    queue.push(named(10, "b"));
    CHECK(number_of(queue.pop(nullptr, third)) == 10);
    const auto loads = queue.loads();
    REQUIRE(loads.size() == 2);
    CHECK(loads[0].name == TaskName{"a"});
    CHECK(loads[0].waiting == 2);
    CHECK(loads[0].running == 2);
    CHECK(loads[1].waiting == 0);
    CHECK(loads[1].running == 1);

    SECTION("a closed queue has nothing more for another worker") {
        queue.close();
        CHECK_FALSE(queue.pop(nullptr, fourth));
        CHECK(number_of(queue.pop(nullptr, second)) == 2);  // the worker whose task has ended goes on
    }
    SECTION("the next task is popped when one has ended") {
        CHECK(number_of(queue.pop(nullptr, first)) == 2);
        queue.push(named(11, "b"));
        CHECK(number_of(queue.pop(nullptr, fourth)) == 11);
    }
    SECTION("a task that runs again counts once") {
        CHECK(number_of(queue.pop(named(4, "a"), first)) == 2);
        CHECK(number_of(queue.pop(nullptr, second)) == 3);
        CHECK(number_of(queue.pop(nullptr, first)) == 4);
    }
    SECTION("to drop the tasks no limit matters") {
        CHECK(number_of(queue.try_pop()) == 2);
        CHECK(number_of(queue.try_pop()) == 3);
        CHECK_FALSE(queue.try_pop());
    }
}

TEST_CASE("tasks of one name and several owners are several groups with one load", "[priority_task_queue]") {
    PriorityTaskQueue queue;
    queue.limit_each_group(1);
    const int one = 1, two = 2;
    PriorityTaskQueue::Running first, second;
    queue.push(named(10, "a", &one));
    queue.push(named(11, "a", &one));
    queue.push(named(20, "a", &two));
    CHECK(number_of(queue.pop(nullptr, first)) == 10);
    CHECK(number_of(queue.pop(nullptr, second)) == 20);
    const auto loads = queue.loads();
    REQUIRE(loads.size() == 1);
    CHECK(loads[0].waiting == 1);
    CHECK(loads[0].running == 2);
    CHECK(number_of(queue.pop(nullptr, first)) == 11);
}

TEST_CASE("a worker waits while all tasks are over the limit of their name", "[priority_task_queue][threads]") {
    PriorityTaskQueue queue;
    queue.limit_each_group(1);
    PriorityTaskQueue::Running first;
    queue.push(named(0, "a"));
    queue.push(named(1, "a"));
    REQUIRE(number_of(queue.pop(nullptr, first)) == 0);
    std::vector<int> popped;
    std::thread other([&] {
        PriorityTaskQueue::Running second;
        while (const TaskPtr task = queue.pop(nullptr, second)) popped.push_back(number_of(task));
    });
    queue.push(named(10, "b"));
    while (queue.size() > 1) std::this_thread::yield();  // the other thread has popped 10
    queue.close();
    CHECK(number_of(queue.pop(nullptr, first)) == 1);
    other.join();
    CHECK(popped == std::vector{10});
}

TEST_CASE("more names than lanes share a turn", "[priority_task_queue]") {
    PriorityTaskQueue queue;
    for (int i = 0; i < 200; ++i) queue.push(named(i, "name " + std::to_string(i)));
    CHECK(queue.loads().size() == 64);
    std::vector<int> popped;
    while (const TaskPtr task = queue.try_pop()) popped.push_back(number_of(task));
    std::sort(popped.begin(), popped.end());
    REQUIRE(popped.size() == 200);
    for (int i = 0; i < 200; ++i) CHECK(popped[static_cast<std::size_t>(i)] == i);
    CHECK(queue.loads().empty());
}

TEST_CASE("a task that runs again is queued after the others", "[priority_task_queue]") {
    PriorityTaskQueue queue;
    queue.push(numbered(1));
    queue.push(numbered(2));
    TaskPtr task = queue.pop();
    task = queue.pop(std::move(task));
    CHECK(number_of(task) == 2);
    task = queue.pop(std::move(task));
    CHECK(number_of(task) == 1);
    // Without others it is popped again at once.
    CHECK(number_of(queue.pop(queue.pop())) == 2);
    CHECK(number_of(queue.pop(std::move(task))) == 1);
}

TEST_CASE("a closed queue refuses tasks, and the tasks in it can be popped", "[priority_task_queue]") {
    {
        PriorityTaskQueue queue;
        queue.push(numbered(1));
        queue.push(numbered(2));
        queue.close();
        CHECK_FALSE(queue.push(numbered(3)));
        TaskBatch batch;
        batch.add(numbered(4));
        CHECK_FALSE(queue.push(batch));
        CHECK(batch.empty());
        CHECK(Numbered::alive == 2);
        TaskPtr task = queue.pop();
        CHECK(number_of(task) == 1);
        CHECK(number_of(queue.pop(std::move(task))) == 2);  // a task that was queued may be queued again
        CHECK(number_of(queue.pop()) == 1);
        CHECK_FALSE(queue.pop());
        CHECK_FALSE(queue.pop());
    }
    CHECK(Numbered::alive == 0);
}

TEST_CASE("tasks that are never popped are dropped with the queue or batch", "[priority_task_queue]") {
    {
        PriorityTaskQueue queue;
        for (const Priority priority : all_priorities) queue.push(numbered(1, priority));
        TaskBatch batch;
        for (const Priority priority : all_priorities) batch.add(numbered(1, priority));
        CHECK(Numbered::alive == 8);
    }
    CHECK(Numbered::alive == 0);
}

TEST_CASE("the queue behaves like four lists", "[priority_task_queue]") {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        std::mt19937 random{seed};
        PriorityTaskQueue queue;
        std::map<int, std::deque<int>> model;  // without empty lists
        int number = 0;
        int pops = 0;
        for (int step = 0; step < 5000; ++step) {
            if (random() % 2 == 0) {
                TaskBatch batch;
                for (auto i = random() % 5; i > 0; --i) {
                    const auto priority = static_cast<Priority>(random() % priority_count);
                    batch.add(numbered(++number, priority));
                    model[static_cast<int>(priority)].push_back(number);
                }
                queue.push(batch);
            } else if (model.empty()) {
                REQUIRE_FALSE(queue.try_pop());
            } else {
                const auto list = ++pops % 64 == 0 ? std::prev(model.end()) : model.begin();
                REQUIRE(number_of(queue.pop()) == list->second.front());
                list->second.pop_front();
                if (list->second.empty()) model.erase(list);
            }
        }
    }
}

TEST_CASE("close wakes all waiting threads", "[priority_task_queue][threads]") {
    PriorityTaskQueue queue;
    std::atomic<int> ended{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            while (queue.pop()) {
            }
            ++ended;
        });
    }
    queue.push(numbered(1));
    queue.close();
    for (auto& thread : threads) thread.join();
    CHECK(ended == 4);
}

TEST_CASE("a batch wakes as many workers as it has tasks", "[priority_task_queue][threads]") {
    // Each task waits for the others, so all three workers must have been woken.
    PriorityTaskQueue queue;
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            TestWorker worker;
            while (TaskPtr task = queue.pop()) run(std::move(task), worker);
        });
    }
    for (int round = 0; round < 200; ++round) {
        std::barrier together{3};
        std::latch done{3};
        TaskBatch batch;
        for (int i = 0; i < 3; ++i) {
            batch.add(make_task(Priority::message, {}, [&] {
                together.arrive_and_wait();
                done.count_down();
            }));
        }
        queue.push(batch);
        done.wait();
    }
    queue.close();
    for (auto& thread : threads) thread.join();
}

TEST_CASE("many threads push and pop, and each task is popped once", "[priority_task_queue][threads]") {
    constexpr int pushers = 3, poppers = 3, each = 3000;
    PriorityTaskQueue queue;
    std::vector<std::atomic<int>> seen(pushers * each);
    std::vector<std::thread> threads;
    std::atomic<bool> in_order{true};
    for (int p = 0; p < poppers; ++p) {
        threads.emplace_back([&] {
            // Tasks of one pusher and one priority reach a popper in the order of pushing.
            std::map<std::pair<int, Priority>, int> last;
            while (const TaskPtr task = queue.pop()) {
                const int number = number_of(task);
                ++seen[static_cast<std::size_t>(number)];
                int& before = last.try_emplace({number / each, task->priority()}, -1).first->second;
                if (number <= before) in_order = false;
                before = number;
            }
        });
    }
    std::vector<std::thread> pushing;
    for (int p = 0; p < pushers; ++p) {
        pushing.emplace_back([&, p] {
            TaskBatch batch;
            for (int i = 0; i < each; ++i) {
                batch.add(numbered(p * each + i, static_cast<Priority>(i % static_cast<int>(priority_count))));
                if (i % 7 == 0) queue.push(batch);
                if (i % 11 == 0) std::this_thread::yield();
            }
            queue.push(batch);
        });
    }
    for (auto& thread : pushing) thread.join();
    queue.close();
    for (auto& thread : threads) thread.join();
    CHECK(in_order);
    int once = 0;
    for (const auto& count : seen) once += count == 1 ? 1 : 0;
    CHECK(once == pushers * each);
    CHECK(Numbered::alive == 0);
}
