// Blocks threads until a test releases them.
#pragma once

#include <condition_variable>
#include <mutex>

namespace wsserver::test {

/// Blocks each thread that calls wait() until release().
class Blocker {
   public:
    void wait() {
        std::unique_lock lock(mutex_);
        ++blocked_;
        changed_.notify_all();
        changed_.wait(lock, [this] { return released_; });
    }
    /// Returns after wait() was called `count` times.
    void wait_until_blocked(int count) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return blocked_ >= count; });
    }
    /// Ends all calls of wait(), including later ones.
    void release() {
        const std::lock_guard lock(mutex_);
        released_ = true;
        changed_.notify_all();
    }

   private:
    std::mutex mutex_;
    std::condition_variable changed_;
    int blocked_ = 0;
    bool released_ = false;
};

}  // namespace wsserver::test
