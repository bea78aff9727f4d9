// A task: a unit of work that the priority task queue holds and the worker pool runs.
#pragma once

#include "wsserver/base/cpp20.hpp"

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

#include "wsserver/scheduling/priority.hpp"

namespace wsserver {

/// The name of a task in `status`. Each different name is stored once and never freed, so use it for the names of
/// handlers and commands, of which there are few. Copying and comparing cost as much as for a pointer.
class TaskName {
   public:
    /// The empty name.
    TaskName() noexcept;
    /// Stores `name` if it is new. May be called from any thread. Throws std::bad_alloc.
    explicit TaskName(std::string_view name);

    /// The name; valid forever.
    const std::string& text() const noexcept { return *text_; }
    friend bool operator==(TaskName, TaskName) noexcept = default;

   private:
    friend class Worker;
    explicit TaskName(const std::string* text) noexcept : text_(text) {}

    const std::string* text_;
};

/// The interface of a worker to the task that it runs and to the threads that watch it.
class Worker {
   public:
    using Clock = std::chrono::steady_clock;  ///< monotonic; the same as wsserver::Clock

    Worker() = default;
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    /// Called when a task, or a part of a task that has several, begins. Its deadline counts from then. Takes a few
    /// nanoseconds.
    void begins(TaskName name) noexcept {
        since_.store(coarse_now().time_since_epoch().count(), std::memory_order_relaxed);
        task_.store(name.text_, std::memory_order_release);
    }
    /// Called when a task has ended.
    void rests() noexcept { task_.store(nullptr, std::memory_order_release); }

    /// The worker has freed `bytes` of messages that waited for it. Called by the worker's thread.
    void freed(std::size_t bytes) noexcept { freed_.store(freed_bytes() + bytes, std::memory_order_relaxed); }
    /// The sum of all freed(). May be called from any thread.
    std::size_t freed_bytes() const noexcept { return freed_.load(std::memory_order_relaxed); }

    /// The time by the kernel's coarse clock, which is up to 10 ms early and takes a few nanoseconds.
    static Clock::time_point coarse_now() noexcept;

    /// Reports an exception, also one after which the task continues.
    virtual void failed(TaskName task, std::exception_ptr exception) noexcept = 0;

    /// What a worker does now.
    struct Doing {
        TaskName task;            ///< the name given to begins()
        Clock::time_point since;  ///< early by up to the resolution of the kernel's coarse clock, 1 to 10 ms
    };
    /// May be called from any thread. Nothing if the worker is idle. Between two tasks it may return the name of the
    /// first with the time of the second, but never a time that is too early.
    std::optional<Doing> doing() const noexcept {
        const std::string* task = task_.load(std::memory_order_acquire);
        if (task == nullptr) return std::nullopt;
        return Doing{TaskName{task}, Clock::time_point{Clock::duration{since_.load(std::memory_order_relaxed)}}};
    }

   protected:
    ~Worker() = default;

   private:
    std::atomic<Clock::rep> since_{0};
    std::atomic<const std::string*> task_{nullptr};
    std::atomic<std::size_t> freed_{0};
};

class Task;

/// The deleter of a TaskPtr: calls Task::dispose(), which a task overrides if others own it, too.
struct TaskDisposer {
    /// `task` is not null.
    void operator()(Task* task) const noexcept;
};

/// Owns a task that will run once. Its destructor drops the task.
using TaskPtr = std::unique_ptr<Task, TaskDisposer>;

/// The base class of a unit of work. It is its own list node, so that queueing does not allocate. In at most one queue
/// or batch at a time.
class Task {
   public:
    /// All stay the same as long as the task exists. `owner` is only compared, and may be null.
    Task(Priority priority, TaskName name, const void* owner = nullptr) noexcept
        : name_(name), owner_(owner), priority_(priority) {}
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;

    /// Runs the task on `worker`. `self` owns this task. A task that returns `self` is queued again, after the others
    /// of its priority; otherwise the result is null. The worker reports exceptions.
    virtual TaskPtr run(TaskPtr self, Worker& worker) = 0;

    Priority priority() const noexcept { return priority_; }  ///< decides which list of the queue the task is in
    TaskName name() const noexcept { return name_; }          ///< shown by `status` while the task runs
    const void* owner() const noexcept { return owner_; }     ///< the handler; another one may have the same name

   protected:
    virtual ~Task() = default;
    /// Called when its TaskPtr is destroyed: no queue, batch or worker refers to it any more.
    virtual void dispose() noexcept { delete this; }

   private:
    friend struct TaskDisposer;
    friend class TaskList;

    Task* next_ = nullptr;
    TaskName name_;
    const void* owner_;
    Priority priority_;
};

inline void TaskDisposer::operator()(Task* task) const noexcept { task->dispose(); }

/// Makes a task that calls f() or f(Worker&) once. Allocates once.
template <class F>
TaskPtr make_task(Priority priority, TaskName name, F&& f, const void* owner = nullptr) {
    class Call final : public Task {
       public:
        Call(Priority its_priority, TaskName its_name, F&& its_f, const void* its_owner)
            : Task(its_priority, its_name, its_owner), f_(std::forward<F>(its_f)) {}
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
    return TaskPtr{new Call(priority, name, std::forward<F>(f), owner)};
}

/// A list of tasks, first in, first out. Does not allocate.
class TaskList {
   public:
    TaskList() = default;
    TaskList(const TaskList&) = delete;
    TaskList& operator=(const TaskList&) = delete;
    ~TaskList() { clear(); }

    bool empty() const noexcept { return first_ == nullptr; }  ///< whether pop() would return null
    std::size_t size() const noexcept { return size_; }        ///< tasks in the list; takes constant time

    /// Adds a task to the end. Precondition: `task` is not null.
    void push(TaskPtr task) noexcept {
        Task* const fresh = task.release();
        fresh->next_ = nullptr;
        (first_ == nullptr ? first_ : last_->next_) = fresh;
        last_ = fresh;
        ++size_;
    }

    /// Null if the list is empty.
    TaskPtr pop() noexcept {
        if (first_ == nullptr) return nullptr;
        --size_;
        return TaskPtr{std::exchange(first_, first_->next_)};
    }

    /// Moves all tasks of `other` to the end of this list.
    void append(TaskList& other) noexcept {
        if (other.empty()) return;
        (first_ == nullptr ? first_ : last_->next_) = std::exchange(other.first_, nullptr);
        last_ = other.last_;
        size_ += std::exchange(other.size_, 0);
    }

    /// Drops the tasks.
    void clear() noexcept {
        while (pop()) {
        }
    }

   private:
    Task* first_ = nullptr;
    Task* last_ = nullptr;  ///< undefined while the list is empty
    std::size_t size_ = 0;
};

/// A list for each priority.
using TaskLists = std::array<TaskList, priority_count>;

/// Tasks that are collected to be queued together, under one lock.
class TaskBatch {
   public:
    /// Adds a task of any priority. Precondition: `task` is not null.
    void add(TaskPtr task) noexcept {
        TaskList& list = lists_[static_cast<std::size_t>(task->priority())];
        list.push(std::move(task));
        ++size_;
    }
    bool empty() const noexcept { return size_ == 0; }   ///< whether it has no task of any priority
    std::size_t size() const noexcept { return size_; }  ///< tasks of all priorities
    /// Drops the tasks.
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
