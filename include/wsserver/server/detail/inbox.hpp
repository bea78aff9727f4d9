// What other threads want of one reactor's connections: many put in under a short lock, the reactor takes all at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "wsserver/base/output_buffer.hpp"
#include "wsserver/connection/hub.hpp"
#include "wsserver/connection/send_kind.hpp"

namespace wsserver {

/// A message, encoded once, that many send queues share.
struct SharedMessage {
    OutputBuffer frames;
    std::size_t payload_size = 0;
};

/// What an order to all connections has besides.
struct Broadcast {
    std::shared_ptr<const SharedMessage> shared{};  ///< a broadcast's
    std::shared_ptr<const Audience> audience{};     ///< a broadcast's
    Hub::Count done{};

    void report(std::size_t receivers) const noexcept { complete(done, receivers); }
};

/// One item. What it needs depends on `kind`; the rest stays empty. Each reply of a worker is one, so it is small.
struct InboxItem {
    enum class Kind : std::uint8_t {
        send_text,
        send_binary,
        ping,
        close,
        fail,    ///< the handler threw: close with 1011
        resume,  ///< the mailbox has room again
        // To all:
        broadcast,
        ping_all,
        close_all,
    };
    Kind kind{};
    SendKind send_as = SendKind::message;  ///< of a message: `reply` if it is from the connection's own handler
    CloseCode code = CloseCode::normal;
    ConnectionId to{};
    std::size_t offset = 0;  ///< of the payload (message, ping, reason) among the batch's bytes
    std::size_t size = 0;
    std::unique_ptr<Broadcast> to_all{};
};

static_assert(sizeof(InboxItem) <= 48);

class Inbox {
   public:
    /// Orders in the sequence in which they were put in, and the bytes they refer to.
    struct Batch {
        std::vector<InboxItem> items;
        OutputBuffer payload;
        std::size_t bytes = 0;  ///< that orders with a payload, of their own or a shared one, keep in memory

        /// A batch's memory up to this is used again; what a burst needed beyond is given back.
        static constexpr std::size_t kept = std::size_t{1} << 20;

        Bytes payload_of(const InboxItem& item) const noexcept {
            return std::as_const(payload).bytes().subspan(item.offset, item.size);
        }
        void clear() noexcept {
            items.clear();
            bytes = 0;
            payload.clear();
            if (payload.capacity() > kept) payload.release();
        }
    };

    /// More than `limit` bytes aren't kept for a reactor that doesn't come to take them.
    explicit Inbox(std::size_t limit = std::size_t{256} << 20) noexcept : limit_(limit) {}

    /// Copies `payload`. Any thread. False: over the limit, not taken. Calls wake() unless the reactor is on its way
    /// for an earlier item; what that throws comes out, and then there is no order either.
    template <class Wake>
    [[nodiscard]] bool put(InboxItem item, Bytes payload, Wake&& wake) {
        const bool shares = item.to_all && item.to_all->shared;
        const std::size_t carried = payload.size() + (shares ? item.to_all->shared->frames.size() : 0);
        const std::lock_guard lock(mutex_);
        const std::size_t bytes = carried > 0 ? waiting_.bytes + carried + sizeof item : waiting_.bytes;
        if (carried > 0 && bytes > limit_) return false;
        if (!woken_) wake();
        woken_ = true;
        item.offset = waiting_.payload.size();
        item.size = payload.size();
        waiting_.payload.append(payload);
        waiting_.items.push_back(std::move(item));
        waiting_.bytes = bytes;
        return true;
    }

    /// Swaps what came for the emptied `batch`. The reactor's thread.
    void take(Batch& batch) {
        batch.clear();
        const std::lock_guard lock(mutex_);
        std::swap(batch, waiting_);
        woken_ = false;
    }

   private:
    const std::size_t limit_;
    std::mutex mutex_;
    Batch waiting_;
    bool woken_ = false;
};

}  // namespace wsserver
