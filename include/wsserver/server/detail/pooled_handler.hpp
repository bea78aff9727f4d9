// A connection's handler that runs on workers: its reactions wait in a mailbox, what it sends comes back by the hub.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "wsserver/connection/any_handler.hpp"
#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/scheduling/mailbox.hpp"
#include "wsserver/scheduling/priority_task_queue.hpp"
#include "wsserver/server/detail/server_hub.hpp"

namespace wsserver {

/// Mailboxes of one reactor that became ready in its current turn; pushed together at its end.
class ReadyMailboxes {
   public:
    /// `push_later` has push() called when the turn ends, not before it returns.
    ReadyMailboxes(PriorityTaskQueue& queue, std::function<void()> push_later)
        : queue_(queue), push_later_(std::move(push_later)) {}

    TaskBatch& batch() noexcept { return batch_; }
    /// After something was put into batch().
    void schedule() {
        if (batch_.empty() || scheduled_) return;
        push_later_();
        scheduled_ = true;  // not before: if there was no memory for that, the next one tries again
    }
    void push() {
        scheduled_ = false;
        queue_.push(batch_);
    }

   private:
    PriorityTaskQueue& queue_;
    std::function<void()> push_later_;
    TaskBatch batch_;
    bool scheduled_ = false;
};

/// For `connection` only. `ready` belongs to its reactor and lives as long.
std::shared_ptr<AnyHandler> make_pooled(std::shared_ptr<AnyHandler> handler, OwnedConnection& connection,
                                        std::string_view subprotocol, std::string_view target,
                                        std::shared_ptr<ServerHub> hub, ReadyMailboxes& ready);

}  // namespace wsserver
