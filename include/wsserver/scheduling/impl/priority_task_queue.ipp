// Queues tasks and wakes as few workers as possible.
#pragma once

#include "wsserver/scheduling/priority_task_queue.hpp"

#include <algorithm>
#include <utility>

namespace wsserver {

bool PriorityTaskQueue::push(TaskPtr task) {
    Lock lock(mutex_);
    if (closed_) {
        lock.unlock();  // the destructor of the task may run any code
        return false;
    }
    insert(std::move(task));
    unlock_and_wake(lock);
    return true;
}

bool PriorityTaskQueue::push(TaskBatch& batch) {
    Lock lock(mutex_);
    if (closed_) {
        lock.unlock();
        batch.clear();
        return false;
    }
    for (std::size_t i = 0; i < priority_count; ++i) lists_[i].append(batch.lists_[i]);
    size_ += std::exchange(batch.size_, 0);
    unlock_and_wake(lock);
    return true;
}

TaskPtr PriorityTaskQueue::pop(TaskPtr again) {
    Lock lock(mutex_);
    if (again) insert(std::move(again));
    while (size_ == 0) {
        if (closed_) return nullptr;
        ++waiting_;
        changed_.wait(lock);
        --waiting_;
        waking_ = false;
    }
    TaskPtr task = take();
    unlock_and_wake(lock);
    return task;
}

TaskPtr PriorityTaskQueue::try_pop() {
    const Lock lock(mutex_);
    return size_ == 0 ? nullptr : take();
}

void PriorityTaskQueue::close() {
    const Lock lock(mutex_);
    closed_ = true;
    changed_.notify_all();
}

std::size_t PriorityTaskQueue::size() const {
    const Lock lock(mutex_);
    return size_;
}

std::size_t PriorityTaskQueue::size(Priority priority) const {
    const Lock lock(mutex_);
    return lists_[static_cast<std::size_t>(priority)].size();
}

void PriorityTaskQueue::insert(TaskPtr task) noexcept {
    TaskList& list = lists_[static_cast<std::size_t>(task->priority())];
    list.push(std::move(task));
    ++size_;
}

/// Precondition: the queue is not empty.
TaskPtr PriorityTaskQueue::take() noexcept {
    const auto holds_any = [](const TaskList& list) { return !list.empty(); };
    TaskList* list = nullptr;
    if (++pops_ % lowest_every == 0) {
        list = &*std::find_if(lists_.rbegin(), lists_.rend(), holds_any);
    } else {
        list = &*std::find_if(lists_.begin(), lists_.end(), holds_any);
    }
    --size_;
    return list->pop();
}

/// While there are tasks and idle workers, one worker is waking up.
void PriorityTaskQueue::unlock_and_wake(Lock& lock) noexcept {
    const bool wake = size_ > 0 && waiting_ > 0 && !waking_;
    if (wake) waking_ = true;
    lock.unlock();
    if (wake) changed_.notify_one();
}

}  // namespace wsserver
