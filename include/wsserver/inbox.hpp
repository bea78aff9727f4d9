// What other threads want of one reactor's connections: many put in under a short lock, the reactor takes all at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "wsserver/hub.hpp"
#include "wsserver/output.hpp"

namespace wsserver {

/// A message, encoded once, that many send queues share.
struct SharedMessage {
    Output frames;
    std::size_t payload_size = 0;
};

/// What an order to all connections has besides.
struct OrderForAll {
    std::shared_ptr<const SharedMessage> shared{};  ///< a broadcast's
    std::shared_ptr<const Audience> audience{};     ///< a broadcast's
    Hub::Count done{};

    void tell(std::size_t receivers) const noexcept { tell_count(done, receivers); }
};

/// One order. What it needs depends on `kind`; the rest stays empty. Each reply of a worker is one, so it is small.
struct InboxOrder {
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
    bool reply = false;  ///< from the connection's own handler, so not subject to the slow consumer's policy
    CloseCode code = CloseCode::normal;
    ConnectionId to{};
    std::size_t offset = 0;  ///< of the payload (message, ping, reason) among the batch's octets
    std::size_t size = 0;
    std::unique_ptr<OrderForAll> for_all{};
};

static_assert(sizeof(InboxOrder) <= 48);

class Inbox {
   public:
    /// Orders in the sequence in which they were put in, and the octets they refer to.
    struct Batch {
        std::vector<InboxOrder> orders;
        Output payload;
        std::size_t octets = 0;  ///< that orders with a payload, of their own or a shared one, keep in memory

        /// A batch's memory up to this is used again; what a burst needed beyond is given back.
        static constexpr std::size_t kept = std::size_t{1} << 20;

        Bytes payload_of(const InboxOrder& order) const noexcept {
            return std::as_const(payload).bytes().subspan(order.offset, order.size);
        }
        void clear() noexcept {
            orders.clear();
            octets = 0;
            payload.clear();
            if (payload.capacity() > kept) payload.release();
        }
    };

    /// More than `limit` octets aren't kept for a reactor that doesn't come to take them.
    explicit Inbox(std::size_t limit = std::size_t{256} << 20) noexcept : limit_(limit) {}

    enum class Put : std::uint8_t {
        joined,  ///< the reactor has been woken for an earlier one
        first,   ///< now the caller wakes the reactor
        full,    ///< over the limit, not taken
    };

    /// Copies `payload`. Any thread.
    Put put(InboxOrder order, Bytes payload = {}) {
        const bool shares = order.for_all && order.for_all->shared;
        const std::size_t carried = payload.size() + (shares ? order.for_all->shared->frames.size() : 0);
        const std::lock_guard lock(mutex_);
        if (carried > 0) {
            const std::size_t octets = waiting_.octets + carried + sizeof order;
            if (octets > limit_) return Put::full;
            waiting_.octets = octets;
        }
        order.offset = waiting_.payload.size();
        order.size = payload.size();
        waiting_.payload.append(payload);
        waiting_.orders.push_back(std::move(order));
        return std::exchange(woken_, true) ? Put::joined : Put::first;
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
