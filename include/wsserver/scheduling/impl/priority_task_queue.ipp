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
    for (TaskList& list : batch.lists_) {
        while (TaskPtr task = list.pop()) insert(std::move(task));
    }
    batch.size_ = 0;
    unlock_and_wake(lock);
    return true;
}

TaskPtr PriorityTaskQueue::pop(TaskPtr again) {
    Lock lock(mutex_);
    if (again) insert(std::move(again));
    while (size_ == 0) {
        if (closed_) return nullptr;
        wait(lock);
    }
    TaskPtr task = take(next(no_limit));
    unlock_and_wake(lock);
    return task;
}

TaskPtr PriorityTaskQueue::pop(TaskPtr again, Running& running) {
    Lock lock(mutex_);
    if (Lane* const ended = std::exchange(running.lane_, nullptr)) --ended->load.running;
    if (again) insert(std::move(again));
    Place place = next(most_running_);
    while (place.lane == nullptr) {
        if (closed_) return nullptr;
        wait(lock);
        place = next(most_running_);
    }
    running.lane_ = place.lane;
    ++place.lane->load.running;
    TaskPtr task = take(place);
    unlock_and_wake(lock);
    return task;
}

void PriorityTaskQueue::wait(Lock& lock) {
    ++waiting_;
    changed_.wait(lock);
    --waiting_;
    waking_ = false;
}

TaskPtr PriorityTaskQueue::try_pop() {
    const Lock lock(mutex_);
    return size_ == 0 ? nullptr : take(next(no_limit));
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
    return sizes_[static_cast<std::size_t>(priority)];
}

std::vector<PriorityTaskQueue::Load> PriorityTaskQueue::loads() const {
    std::vector<Load> loads;
    loads.reserve(most_lanes);
    const Lock lock(mutex_);
    for (std::size_t i = 0; i < lane_count_; ++i) {
        const Load& load = lanes_[i].load;
        if (lanes_[i].is_idle()) continue;
        const auto same = std::ranges::find(loads, load.name, &Load::name);
        if (same == loads.end()) {
            loads.push_back(load);
        } else {
            same->waiting += load.waiting;
            same->running += load.running;
        }
    }
    return loads;
}

void PriorityTaskQueue::insert(TaskPtr task) noexcept {
    const auto priority = static_cast<std::size_t>(task->priority());
    Lane& lane = lane_of(task->name(), task->owner());
    lane.lists[priority].push(std::move(task));
    ++lane.load.waiting;
    ++sizes_[priority];
    ++size_;
}

PriorityTaskQueue::Lane& PriorityTaskQueue::lane_of(TaskName name, const void* owner) noexcept {
    Lane* idle = nullptr;
    for (std::size_t i = 0; i < lane_count_; ++i) {
        if (lanes_[i].load.name == name && lanes_[i].owner == owner) return lanes_[i];
        if (lanes_[i].is_idle()) idle = &lanes_[i];
    }
    if (idle == nullptr && lane_count_ < most_lanes) idle = &lanes_[lane_count_++];
    if (idle == nullptr) return lanes_.back();
    idle->load.name = name;
    idle->owner = owner;
    return *idle;
}

/// Finds the next task whose group has fewer than `most_running` that run.
PriorityTaskQueue::Place PriorityTaskQueue::next(std::size_t most_running) noexcept {
    if (size_ == 0) return {};
    const bool lowest_first = (pops_ + 1) % lowest_every == 0;
    for (std::size_t i = 0; i < priority_count; ++i) {
        const std::size_t priority = lowest_first ? priority_count - 1 - i : i;
        if (sizes_[priority] == 0) continue;
        if (Lane* lane = next_lane(priority, most_running)) return {lane, priority};
    }
    return {};
}

PriorityTaskQueue::Lane* PriorityTaskQueue::next_lane(std::size_t priority, std::size_t most_running) noexcept {
    for (std::size_t i = 0; i < lane_count_; ++i) {
        Lane& lane = lanes_[(turns_[priority] + i) % lane_count_];
        if (!lane.lists[priority].empty() && lane.load.running < most_running) return &lane;
    }
    return nullptr;
}

/// Precondition: there is a task in that place.
TaskPtr PriorityTaskQueue::take(Place place) noexcept {
    ++pops_;
    turns_[place.priority] = static_cast<std::size_t>(place.lane - lanes_.data()) + 1;
    --place.lane->load.waiting;
    --sizes_[place.priority];
    --size_;
    return place.lane->lists[place.priority].pop();
}

/// While there are tasks to pop and idle workers, one worker is waking up.
void PriorityTaskQueue::unlock_and_wake(Lock& lock) noexcept {
    const bool wake = waiting_ > 0 && !waking_ && next(most_running_).lane != nullptr;
    if (wake) waking_ = true;
    lock.unlock();
    if (wake) changed_.notify_one();
}

}  // namespace wsserver
