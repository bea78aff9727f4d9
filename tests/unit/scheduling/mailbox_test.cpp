#include "wsserver/scheduling/mailbox.hpp"

#include <atomic>
#include <latch>
#include <memory>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/test_worker.hpp"
#include "wsserver/scheduling/worker_pool.hpp"

using namespace wsserver;
using wsserver::test::bytes_in_use;
using wsserver::test::run;
using wsserver::test::TestWorker;
using namespace std::chrono_literals;

namespace {

/// Records its items.
class RecordingMailbox : public Mailbox<std::unique_ptr<int>> {
   public:
    explicit RecordingMailbox(MailboxLimits limits = {}) : Mailbox(TaskName{"recorder"}, limits) {}
    ~RecordingMailbox() override {
        if (gone) *gone = true;
    }

    std::vector<int> items;
    std::vector<std::string> payloads;
    int drained = 0;  ///< calls of on_drain()
    bool* gone = nullptr;

   protected:
    void on_item(std::unique_ptr<int>& item, Bytes payload) override {
        items.push_back(*item);
        payloads.emplace_back(text_of(payload));
    }
    void on_drain() override { ++drained; }
};

std::unique_ptr<int> item(int number) { return std::make_unique<int>(number); }

std::vector<int> numbers(int first, int last) {
    std::vector<int> all;
    for (int i = first; i <= last; ++i) all.push_back(i);
    return all;
}

struct Fixture {
    PriorityTaskQueue queue;
    TestWorker worker;

    template <class Box>
    bool put(Box& box, int number, std::size_t bytes = 1) {
        TaskBatch ready;
        const bool has_space = box.put(item(number), bytes_of(std::string(bytes, 'x')), ready);
        queue.push(ready);
        return has_space;
    }
    /// Runs the next task as a worker does. False if there is none.
    bool work() {
        TaskPtr task = queue.try_pop();
        if (!task) return false;
        if (TaskPtr again = run(std::move(task), worker)) queue.push(std::move(again));
        return true;
    }
    void work_all() {
        while (work()) {
        }
    }
};

}  // namespace

TEST_CASE("a mailbox is a task while it is not empty", "[mailbox]") {
    Fixture f;
    const auto box = std::make_shared<RecordingMailbox>();
    TaskBatch ready;
    CHECK(box->put(item(1), {}, ready));
    CHECK(box->put(item(2), {}, ready));
    CHECK(ready.size() == 1);
    f.queue.push(ready);
    CHECK(box->put(item(3), {}, ready));
    CHECK(ready.empty());
    f.work_all();
    CHECK(box->items == numbers(1, 3));
    CHECK(box->put(item(4), {}, ready));
    CHECK(ready.size() == 1);
    f.queue.push(ready);
    f.work_all();
    CHECK(box->items == numbers(1, 4));
}

TEST_CASE("payloads are copied and passed with their items", "[mailbox]") {
    Fixture f;
    const auto box = std::make_shared<RecordingMailbox>();
    std::vector<std::string> sent;
    for (int i = 0; i < 100; ++i) {
        TaskBatch ready;
        std::string payload(static_cast<std::size_t>(i * i % 97) * (i % 10 == 0 ? 1000 : 1),
                            static_cast<char>('a' + i % 26));
        CHECK(box->put(item(i), bytes_of(payload), ready));
        f.queue.push(ready);
        sent.push_back(payload);
        payload.assign(payload.size(), '?');  // the caller may overwrite it after put()
        if (i % 23 == 0) f.work();
        if (i % 41 == 0) f.work_all();
    }
    f.work_all();
    CHECK(box->items == numbers(0, 99));
    CHECK(box->payloads == sent);
}

TEST_CASE("a run takes 16 items, then other mailboxes follow", "[mailbox]") {
    Fixture f;
    const auto loud = std::make_shared<RecordingMailbox>();
    const auto quiet = std::make_shared<RecordingMailbox>();
    for (int i = 1; i <= 40; ++i) f.put(*loud, i);
    f.put(*quiet, 1);
    REQUIRE(f.work());
    CHECK(loud->items == numbers(1, 16));
    REQUIRE(f.work());
    CHECK(quiet->items == numbers(1, 1));
    f.put(*quiet, 2);
    REQUIRE(f.work());
    CHECK(loud->items == numbers(1, 32));
    REQUIRE(f.work());
    CHECK(quiet->items == numbers(1, 2));
    REQUIRE(f.work());
    CHECK(loud->items == numbers(1, 40));
    CHECK_FALSE(f.work());
}

TEST_CASE("a mailbox over its limit of items is full until half of them are handled", "[mailbox]") {
    Fixture f;
    const auto box = std::make_shared<RecordingMailbox>(MailboxLimits{.items = 40, .bytes = 1000});
    for (int i = 1; i <= 40; ++i) CHECK(f.put(*box, i));
    CHECK_FALSE(f.put(*box, 41));
    CHECK_FALSE(f.put(*box, 42));
    REQUIRE(f.work());
    CHECK(box->drained == 0);  // 26 are left
    REQUIRE(f.work());
    CHECK(box->drained == 1);  // 10
    f.work_all();
    CHECK(box->items == numbers(1, 42));
    CHECK(box->drained == 1);
    CHECK(f.put(*box, 43));
}

TEST_CASE("on_drain is called again after it ran out of memory", "[mailbox]") {
    class Poor final : public RecordingMailbox {
       public:
        using RecordingMailbox::RecordingMailbox;

       private:
        void on_drain() override {
            RecordingMailbox::on_drain();
            if (drained == 1) throw std::bad_alloc{};
        }
    };
    Fixture fixture;
    const auto box = std::make_shared<Poor>(MailboxLimits{.items = 2});
    for (int i = 0; i < 3; ++i) static_cast<void>(fixture.put(*box, i));
    fixture.work_all();
    CHECK(box->drained == 2);
    CHECK(box.use_count() == 1);  // it is idle
    CHECK(fixture.put(*box, 4));
    fixture.work_all();
    CHECK(box->drained == 2);
}

TEST_CASE("a mailbox also has a limit of bytes", "[mailbox]") {
    Fixture f;
    const auto box = std::make_shared<RecordingMailbox>(MailboxLimits{.items = 1000, .bytes = 1000});
    CHECK(f.put(*box, 1, 1000));
    CHECK_FALSE(f.put(*box, 2, 1));
    f.work_all();
    CHECK(box->drained == 1);
    CHECK_FALSE(f.put(*box, 3, 5000));
    f.work_all();
    CHECK(box->drained == 2);
    CHECK(f.put(*box, 4, 1000));
    f.work_all();
    CHECK(box->drained == 2);
}

TEST_CASE("an exception does not affect the items after it", "[mailbox]") {
    class Throwing final : public Mailbox<std::unique_ptr<int>> {
       public:
        Throwing() : Mailbox(TaskName{"throwing"}, {.items = 19}) {}
        std::vector<int> items;

       private:
        void on_item(std::unique_ptr<int>& item, Bytes) override {
            if (*item % 2 == 0) throw std::runtime_error{"even"};
            items.push_back(*item);
        }
        void on_drain() override { throw std::runtime_error{"drain"}; }
    };
    Fixture f;
    const auto box = std::make_shared<Throwing>();
    for (int i = 1; i <= 20; ++i) f.put(*box, i);
    f.work_all();
    CHECK(box->items == std::vector<int>{1, 3, 5, 7, 9, 11, 13, 15, 17, 19});
    CHECK(f.worker.failed_tasks == std::vector<std::string>(11, "throwing"));
}

TEST_CASE("a mailbox stays alive while it is queued, and not longer", "[mailbox]") {
    Fixture f;
    bool gone = false;
    auto box = std::make_shared<RecordingMailbox>();
    box->gone = &gone;
    f.put(*box, 1);
    box.reset();
    CHECK_FALSE(gone);
    f.work_all();
    CHECK(gone);
}

TEST_CASE("a mailbox that is dropped with its queue is destroyed", "[mailbox]") {
    bool gone = false;
    auto box = std::make_shared<RecordingMailbox>();
    box->gone = &gone;
    {
        Fixture f;
        f.put(*box, 1);
    }
    CHECK(box.use_count() == 1);
    // A closed queue drops it as well, each time.
    Fixture f;
    f.queue.close();
    f.put(*box, 2);
    f.put(*box, 3);
    CHECK(box.use_count() == 1);
    box.reset();
    CHECK(gone);
}

TEST_CASE("an idle mailbox has freed the memory of a burst", "[mailbox]") {
    class Discarding final : public Mailbox<int> {
       public:
        Discarding() : Mailbox(TaskName{"discarding"}) {}

       private:
        void on_item(int&, Bytes) override {}
        void on_drain() override {}
    };
    Fixture f;
    const auto box = std::make_shared<Discarding>();
    const std::string payload(100, 'x');
    const auto put = [&](int count) {
        TaskBatch ready;
        for (int i = 0; i < count; ++i) (void)box->put(i, bytes_of(payload), ready);
        f.queue.push(ready);
    };
    const auto rest = [&] {
        f.work_all();
        return bytes_in_use.load();
    };
    put(1);
    const std::size_t at_rest = rest() + 1024;  // a little more or less
    for (int bursts = 1; bursts <= 3; ++bursts) {
        for (int i = 0; i < bursts; ++i) {  // each is added while the previous one is handled
            put(300);
            f.work();
        }
        CHECK(rest() <= at_rest);
        put(1);
        CHECK(rest() <= at_rest);
    }
}

TEST_CASE("items that are added during a run belong to the next", "[mailbox]") {
    class Feeding final : public Mailbox<std::unique_ptr<int>> {
       public:
        explicit Feeding(PriorityTaskQueue& queue) : Mailbox(TaskName{"feeding"}), queue_(queue) {}
        int items = 0;

       private:
        void on_item(std::unique_ptr<int>& item, Bytes) override {
            ++items;
            TaskBatch ready;
            if (*item > 0) (void)put(std::make_unique<int>(*item - 1), {}, ready);
            CHECK(ready.empty());
            queue_.push(ready);
        }
        void on_drain() override {}

        PriorityTaskQueue& queue_;
    };
    Fixture f;
    const auto box = std::make_shared<Feeding>(f.queue);
    f.put(*box, 5);
    int turns = 0;
    while (f.work()) ++turns;
    CHECK(turns == 6);
    CHECK(box->items == 6);
}

TEST_CASE("a mailbox behaves like a list", "[mailbox]") {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        std::mt19937 random{seed};
        Fixture f;
        std::vector<std::shared_ptr<RecordingMailbox>> boxes;
        std::vector<int> put(5);
        std::vector<bool> held(5);
        for (int i = 0; i < 5; ++i) boxes.push_back(std::make_shared<RecordingMailbox>(MailboxLimits{30, 100}));
        for (int step = 0; step < 4000; ++step) {
            const auto which = random() % 5;
            RecordingMailbox& box = *boxes[which];
            if (random() % 20 != 0) {
                if (!held[which]) held[which] = !f.put(box, ++put[which], random() % 8);
            } else {
                f.work();
                for (std::size_t i = 0; i < 5; ++i) {
                    // on_drain() is only called after a put() that returned false.
                    const int drained = std::exchange(boxes[i]->drained, 0);
                    REQUIRE(drained <= (held[i] ? 1 : 0));
                    if (drained > 0) held[i] = false;
                }
            }
            REQUIRE(put[which] - static_cast<int>(box.items.size()) <= 101);
        }
        f.work_all();
        for (std::size_t i = 0; i < 5; ++i) CHECK(boxes[i]->items == numbers(1, put[i]));
    }
}

TEST_CASE("items are handled in order and one at a time on any worker", "[mailbox][threads]") {
    // Two reactors with mailboxes of their own. A reactor waits for on_drain() before it adds to a full mailbox.
    class Strict final : public Mailbox<int> {
       public:
        explicit Strict(std::latch& done, int last)
            : Mailbox(TaskName{"strict"}, {64, 1000}), done_(done), last_(last) {}
        std::atomic<bool> held{false};
        std::atomic<bool> broken{false};

       private:
        void on_item(int& item, Bytes) override {
            if (inside_.exchange(true)) broken = true;
            if (item != seen_ + 1) broken = true;  // not atomic, so that the thread sanitizer checks it
            seen_ = item;
            inside_ = false;
            if (seen_ == last_) done_.count_down();
        }
        void on_drain() override {
            if (inside_) broken = true;
            if (!held.exchange(false)) broken = true;
        }

        std::latch& done_;
        const int last_;
        int seen_ = 0;
        std::atomic<bool> inside_{false};
    };
    constexpr int boxes_each = 8, items_each = 3000;
    std::latch done{2 * boxes_each};
    WorkerPool pool{3};
    std::vector<std::vector<std::shared_ptr<Strict>>> boxes(2);
    for (auto& of_one : boxes) {
        for (int i = 0; i < boxes_each; ++i) of_one.push_back(std::make_shared<Strict>(done, items_each));
    }
    std::vector<std::thread> reactors;
    for (auto& of_one : boxes) {
        reactors.emplace_back([&pool, &of_one] {
            std::vector<int> sent(of_one.size());
            bool more = true;
            while (more) {
                more = false;
                TaskBatch ready;
                for (std::size_t i = 0; i < of_one.size(); ++i) {
                    for (int burst = 0; burst < 5 && sent[i] < items_each && !of_one[i]->held; ++burst) {
                        // `held` is set first, because on_drain() may be called before put() returns.
                        of_one[i]->held = true;
                        if (of_one[i]->put(++sent[i], {}, ready)) of_one[i]->held = false;
                    }
                    more = more || sent[i] < items_each;
                }
                pool.queue().push(ready);
                std::this_thread::yield();
            }
        });
    }
    for (auto& reactor : reactors) reactor.join();
    done.wait();
    CHECK(pool.stop(60s));
    CHECK(pool.failures() == 0);
    for (const auto& of_one : boxes) {
        for (const auto& box : of_one) CHECK_FALSE(box->broken);
    }
}

TEST_CASE("a worker counts the memory of the items that it has handled", "[mailbox]") {
    Fixture f;
    const auto box = std::make_shared<RecordingMailbox>();
    std::size_t put = 0;
    for (int i = 0; i < 40; ++i) {
        const std::string payload(100, 'x');
        put += RecordingMailbox::memory_of(bytes_of(payload));
        f.put(*box, i, payload.size());
    }
    CHECK(box->waiting_bytes() == put);
    CHECK(f.worker.freed_bytes() == 0);
    while (f.work()) {
    }
    CHECK(box->items.size() == 40);
    CHECK(box->waiting_bytes() == 0);
    CHECK(f.worker.freed_bytes() == put);
}
