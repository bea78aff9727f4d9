// A worker without a thread, for tests that run tasks by hand.
#pragma once

#include <exception>
#include <string>
#include <vector>

#include "wsserver/scheduling/task.hpp"

namespace wsserver::test {

/// Records the failures that tasks report.
class TestWorker final : public Worker {
   public:
    void failed(TaskName task, std::exception_ptr exception) noexcept override {
        failed_tasks.push_back(task.text());
        exceptions.push_back(std::move(exception));
    }

    std::vector<std::string> failed_tasks;
    std::vector<std::exception_ptr> exceptions;
};

/// Runs a task as a worker does. The result must be queued again, unless it is null.
inline TaskPtr run(TaskPtr task, Worker& worker) {
    Task& current = *task;
    return current.run(std::move(task), worker);
}

}  // namespace wsserver::test
