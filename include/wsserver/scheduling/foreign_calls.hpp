// Calls of code that may never return, such as that of a shared object: each runs on a thread of its own.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace wsserver {

/// Runs calls of foreign code and knows which of them have not returned. The caller waits for a result as long as it
/// likes (Awaited). A call that hangs keeps its thread and what it has captured until the process ends. All members may
/// be called from any thread.
class ForeignCalls {
   public:
    /// Each kind has its own limit, so calls that hang prevent only calls of their own kind.
    enum class Kind : std::uint8_t {
        load,     ///< loads and starts a handler
        command,  ///< a command for a handler
        end,      ///< ends and unloads a handler
    };
    /// How many calls of one kind run at the same time, including those that hang.
    static constexpr std::size_t most = 8;

    ForeignCalls();
    /// The calls of this process. Never destroyed, since a thread may outlive main().
    static ForeignCalls& of_process();

    /// The result of start().
    enum class Start : std::uint8_t {
        started,
        busy,       ///< `most` calls of this kind have not returned
        no_thread,  ///< no thread can be started
    };
    /// Runs `call` on a thread of its own. It must not throw. `name` is for states(): `create() of ./rooms.so`. Throws
    /// std::bad_alloc.
    Start start(Kind kind, std::string name, std::function<void()> call);
    /// Same, but a call over the limit waits until another one of its kind has returned. Never returns `busy`.
    Start start_or_queue(Kind kind, std::string name, std::function<void()> call);

    /// A call that has not returned.
    struct State {
        Kind kind{};                        ///< as given to start()
        std::string name{};                 ///< as given to start()
        std::chrono::milliseconds since{};  ///< how long it has been running; 0 for a call that waits
    };
    /// The calls that have not returned, and those that wait, in the order in which they were made.
    std::vector<State> states() const;
    /// Waits until no call of this kind runs or waits, at most for `most_time`. Returns whether that is so.
    bool wait_for_all(Kind kind, std::chrono::milliseconds most_time) const;

   private:
    struct Shared;

    Start put(Kind kind, std::string name, std::function<void()> call, bool may_wait);

    std::shared_ptr<Shared> shared_;
};

}  // namespace wsserver
