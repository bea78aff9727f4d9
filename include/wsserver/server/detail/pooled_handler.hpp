// A connection's handler that runs on workers. Its reactions wait in a mailbox. The hub returns its messages to the
// reactor.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "wsserver/base/memory_account.hpp"
#include "wsserver/base/within_memory.hpp"
#include "wsserver/connection/any_handler.hpp"
#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/scheduling/mailbox.hpp"
#include "wsserver/scheduling/priority_task_queue.hpp"
#include "wsserver/server/detail/server_hub.hpp"

namespace wsserver {

/// Mailboxes of one reactor that became ready in the current turn. They are pushed together at the end of the turn.
class ReadyMailboxes {
   public:
    /// `memory` counts what is put into mailboxes; the workers count what they free. `push_later` arranges that push()
    /// is called at the end of the turn. It does not call push() itself. It may throw std::bad_alloc.
    ReadyMailboxes(PriorityTaskQueue& queue, MemoryAccount& memory, std::function<void()> push_later)
        : queue_(queue), memory_(memory), push_later_(std::move(push_later)) {}

    TaskBatch& batch() noexcept { return batch_; }
    MemoryAccount& memory() noexcept { return memory_; }
    /// Must be called after batch() has changed. Without memory to push later, pushes at once.
    void schedule() {
        if (batch_.empty() || scheduled_) return;
        scheduled_ = within_memory(push_later_);
        if (!scheduled_) push();
    }
    void push() {
        scheduled_ = false;
        queue_.push(batch_);
    }

   private:
    PriorityTaskQueue& queue_;
    MemoryAccount& memory_;
    std::function<void()> push_later_;
    TaskBatch batch_;
    bool scheduled_ = false;
};

/// Makes a handler for `connection` only, which calls the one of `acceptance` on workers. Takes the data of
/// `acceptance`, and copies what else reactions can ask for. `ready` belongs to the connection's reactor and lives as
/// long.
std::shared_ptr<AnyHandler> make_pooled(Acceptance& acceptance, OwnedConnection& connection, std::string_view target,
                                        std::shared_ptr<ServerHub> hub, ReadyMailboxes& ready);

}  // namespace wsserver
