// A value from another thread, which the receiver awaits for a limited time.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

namespace wsserver {

/// A value that another thread delivers later, or never. Copies share it.
template <class T>
class Awaited {
   public:
    /// A function that delivers the value. Any thread may call it, once, even after this object is gone.
    auto deliver() const {
        return [shared = shared_](T value) {
            const std::lock_guard lock{shared->mutex};
            shared->value = std::move(value);
            shared->delivered.notify_all();
        };
    }

    /// Waits for the value, at most for `most` and until `stop` is requested. Takes it out; nothing if it has not been
    /// delivered, or has been taken out already.
    std::optional<T> wait(std::stop_token stop, std::chrono::milliseconds most) const {
        std::unique_lock lock{shared_->mutex};
        shared_->delivered.wait_for(lock, std::move(stop), most, [this] { return shared_->value.has_value(); });
        return std::exchange(shared_->value, std::nullopt);
    }

   private:
    struct Shared {
        std::mutex mutex;
        std::condition_variable_any delivered;
        std::optional<T> value;
    };
    std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace wsserver
