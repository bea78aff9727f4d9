// A piece of work for the workers: what the priority task queue holds and the worker pool runs.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace wsserver {

/// The highest goes first.
enum class Priority : std::uint8_t {
    control,     ///< what keeps the server itself alive
    command,     ///< an operator's order
    message,     ///< a handler's reaction
    background,  ///< whatever can wait
};
inline constexpr std::size_t priority_count = 4;

/// What a task is called in `status`. Each name is kept once, for as long as the process lives: for the names of
/// handlers and commands, of which there are few.
class TaskName {
   public:
    /// The empty name.
    TaskName() noexcept;
    explicit TaskName(std::string_view name);

    const std::string& text() const noexcept { return *text_; }
    friend bool operator==(TaskName, TaskName) noexcept = default;

   private:
    friend class Worker;
    explicit TaskName(const std::string* text) noexcept : text_(text) {}

    const std::string* text_;
};

/// A worker as the task that it runs sees it, and as others watch it.
class Worker {
   public:
    using Clock = std::chrono::steady_clock;

    Worker() = default;
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    /// A task that does several things one after the other says here when the next begins: the deadline counts
    /// from then. Costs a few nanoseconds.
    void begins(TaskName name) noexcept {
        since_.store(coarse_now(), std::memory_order_relaxed);
        task_.store(name.text_, std::memory_order_release);
    }
    void rests() noexcept { task_.store(nullptr, std::memory_order_release); }

    /// A task that goes on after an exception hands it over here.
    virtual void failed(TaskName task, std::exception_ptr exception) noexcept = 0;

    struct Doing {
        TaskName task;
        Clock::time_point since;  ///< early by up to the resolution of the kernel's coarse clock, 1 to 10 ms
    };
    /// Any thread. Nothing if it rests. Caught between two tasks it may give the former's name with the latter's
    /// time, never a time that is too long ago.
    std::optional<Doing> doing() const noexcept {
        const std::string* task = task_.load(std::memory_order_acquire);
        if (task == nullptr) return std::nullopt;
        return Doing{TaskName{task}, Clock::time_point{Clock::duration{since_.load(std::memory_order_relaxed)}}};
    }

   protected:
    ~Worker() = default;

   private:
    static Clock::rep coarse_now() noexcept;

    std::atomic<Clock::rep> since_{0};
    std::atomic<const std::string*> task_{nullptr};
};

class Task;

struct TaskDisposer {
    void operator()(Task* task) const noexcept;
};

/// Whoever holds it has to see to it that the task runs; letting go of it drops the task.
using TaskPtr = std::unique_ptr<Task, TaskDisposer>;

/// Part of what is to be done, so that queueing allocates nothing. In one queue or batch at a time.
class Task {
   public:
    Task(Priority priority, TaskName name) noexcept : name_(name), priority_(priority) {}
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;

    /// Does it. `self` is this task; returned, it is queued again, behind the others of its priority.
    virtual TaskPtr run(TaskPtr self, Worker& worker) = 0;

    Priority priority() const noexcept { return priority_; }
    TaskName name() const noexcept { return name_; }

   protected:
    virtual ~Task() = default;
    /// No queue, batch or worker knows it any longer.
    virtual void dispose() noexcept { delete this; }

   private:
    friend struct TaskDisposer;
    friend class TaskList;

    Task* next_ = nullptr;
    TaskName name_;
    Priority priority_;
};

inline void TaskDisposer::operator()(Task* task) const noexcept { task->dispose(); }

/// A task that calls f() or f(Worker&) once. Costs one allocation.
template <class F>
TaskPtr make_task(Priority priority, TaskName name, F&& f) {
    class Call final : public Task {
       public:
        Call(Priority its_priority, TaskName its_name, F&& its_f)
            : Task(its_priority, its_name), f_(std::forward<F>(its_f)) {}
        TaskPtr run(TaskPtr, Worker& worker) override {
            if constexpr (std::is_invocable_v<std::decay_t<F>&, Worker&>) {
                f_(worker);
            } else {
                f_();
            }
            return nullptr;
        }

       private:
        std::decay_t<F> f_;
    };
    return TaskPtr{new Call(priority, name, std::forward<F>(f))};
}

/// First in, first out.
class TaskList {
   public:
    TaskList() = default;
    TaskList(const TaskList&) = delete;
    TaskList& operator=(const TaskList&) = delete;
    ~TaskList() { clear(); }

    bool empty() const noexcept { return first_ == nullptr; }
    std::size_t size() const noexcept { return size_; }

    void push(TaskPtr task) noexcept {
        Task* const fresh = task.release();
        fresh->next_ = nullptr;
        (first_ == nullptr ? first_ : last_->next_) = fresh;
        last_ = fresh;
        ++size_;
    }

    /// Null if it is empty.
    TaskPtr pop() noexcept {
        if (first_ == nullptr) return nullptr;
        --size_;
        return TaskPtr{std::exchange(first_, first_->next_)};
    }

    /// Moves all of `other` to the end of this.
    void append(TaskList& other) noexcept {
        if (other.empty()) return;
        (first_ == nullptr ? first_ : last_->next_) = std::exchange(other.first_, nullptr);
        last_ = other.last_;
        size_ += std::exchange(other.size_, 0);
    }

    void clear() noexcept {
        while (pop()) {
        }
    }

   private:
    Task* first_ = nullptr;
    Task* last_ = nullptr;  ///< meaningless while it is empty
    std::size_t size_ = 0;
};

/// A container for each priority.
using TaskLists = std::array<TaskList, priority_count>;

/// Tasks gathered to be queued together, under one lock.
class TaskBatch {
   public:
    void add(TaskPtr task) noexcept {
        TaskList& list = lists_[static_cast<std::size_t>(task->priority())];
        list.push(std::move(task));
        ++size_;
    }
    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }
    /// Drops them.
    void clear() noexcept {
        for (TaskList& list : lists_) list.clear();
        size_ = 0;
    }

   private:
    friend class PriorityTaskQueue;

    TaskLists lists_;
    std::size_t size_ = 0;
};

}  // namespace wsserver
