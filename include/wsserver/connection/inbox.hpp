// Requests of other threads to the connections of one thread. Any thread adds one under a short lock; the thread of the
// connections takes all at once.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "wsserver/base/output_buffer.hpp"
#include "wsserver/connection/hub.hpp"
#include "wsserver/connection/send_kind.hpp"
#include "wsserver/protocol/encode.hpp"
#include "wsserver/protocol/message_frames.hpp"

namespace wsserver {

/// A message that is encoded once and shared by many send queues.
class SharedMessage {
   public:
    /// The bytes of all messages that are counted. Any thread changes it.
    using Sum = std::atomic<std::size_t>;

    SharedMessage() = default;
    SharedMessage(const SharedMessage&) = delete;
    SharedMessage& operator=(const SharedMessage&) = delete;
    ~SharedMessage() {
        if (sum_) sum_->fetch_sub(memory(), std::memory_order_relaxed);
    }

    /// Adds the message to `sum` for the rest of its life, unless that was done before. Called when it must wait, so
    /// that messages that leave at once need no locked instruction. Any thread.
    void count_in(const std::shared_ptr<Sum>& sum) const noexcept {
        if (counted_.load(std::memory_order_relaxed) || counted_.exchange(true, std::memory_order_relaxed)) return;
        sum_ = sum;
        sum_->fetch_add(memory(), std::memory_order_relaxed);
    }

    /// Encodes `message` for any number of clients, or takes its memory. `fragment_size` is as for encode_message().
    /// Returns null if the memory was taken before. Throws std::bad_alloc.
    static std::shared_ptr<const SharedMessage> of(const AnyMessage& message, std::size_t fragment_size) {
        auto shared = std::make_shared<SharedMessage>();
        if (MessageFrames::may_take(message, fragment_size)) {
            shared->apart.reserve(message.payload().size(), fragment_size);
            shared->apart.make_unmasked(message.opcode(), message.take(), fragment_size);
            return shared->is_apart() ? shared : nullptr;
        }
        message.visit([&](const auto& m) { encode_message(m, fragment_size, shared->frames); });
        return shared;
    }

    /// The same for a payload that was taken before. Throws std::bad_alloc; then `payload` is unchanged.
    static std::shared_ptr<SharedMessage> of(Opcode opcode, OwnedPayload& payload, std::size_t fragment_size) {
        auto shared = std::make_shared<SharedMessage>();
        if (MessageFrames::has_long_fragments(fragment_size)) {
            shared->apart.reserve(payload.bytes.size(), fragment_size);
            shared->apart.make_unmasked(opcode, std::move(payload), fragment_size);
        } else if (opcode == Opcode::text) {
            encode_message(Text::from_payload(payload.bytes), fragment_size, shared->frames);
        } else {
            encode_message(Binary{payload.bytes}, fragment_size, shared->frames);
        }
        return shared;
    }

    /// Whether the message is in `apart`. Otherwise it is in `frames`.
    bool is_apart() const noexcept { return apart.size() > 0; }
    /// Its frames, in bytes.
    std::size_t size() const noexcept { return is_apart() ? apart.size() : frames.size(); }
    /// In bytes.
    std::size_t memory() const noexcept { return is_apart() ? apart.memory() : frames.size(); }

    OutputBuffer frames;  ///< the message, encoded
    MessageFrames apart;  ///< the same for one that stays in its own memory

   private:
    mutable std::atomic<bool> counted_{false};
    mutable std::shared_ptr<Sum> sum_{};  ///< set by the thread that has set `counted_`
};

/// The additional parts of a request to all connections.
struct Broadcast {
    std::shared_ptr<const SharedMessage> shared{};  ///< of a broadcast only
    std::shared_ptr<const Audience> audience{};     ///< of a broadcast only
    Completion done{};                              ///< receives the number of receivers
    bool acknowledged = false;                      ///< `done` is called when no receiver lags
    std::vector<ConnectionId> to{};                 ///< if it is not empty, only for these
    OwnedPayload taken{};                           ///< of a message that was moved, instead of the item's payload
};

/// A call that was posted to a connection.
struct PostedCall {
    ConnectionCall call;                ///< not empty
    std::chrono::milliseconds delay{};  ///< after which it is due; at most 0: at once
};

/// One request. The members that `kind` does not use stay empty. Each reply of a worker is an item, so it is small.
struct InboxItem {
    /// What is asked.
    enum class Kind : std::uint8_t {
        send_text,     ///< the payload is a text message
        send_binary,   ///< the payload is a binary message
        begin_text,    ///< open a text message; the payload is its first piece
        begin_binary,  ///< the same for a binary message
        append,        ///< the payload is the next piece of the open message
        end_message,   ///< end the open message
        fail_message,  ///< the open message will not end: close with 1011; the payload is the cause
        ping,          ///< send a Ping
        close,         ///< begin the closing handshake; the payload is the reason
        fail,          ///< the handler threw: close with 1011
        resume,        ///< the mailbox has space again
        acknowledge,   ///< the receivers of its broadcast have caught up
        join,          ///< become a member of a room; the payload is its name
        leave,         ///< leave a room; the payload is its name
        set_user,      ///< belong to a user; the payload is its id, or empty
        pause,         ///< receive nothing more
        unpause,       ///< receive again
        receipt,       ///< tell the handler when what was sent before has left; the payload is a number
        call,          ///< call a function of the program
        broadcast,     ///< to all connections: a message that is encoded already
        ping_all,      ///< to all connections: send a Ping
        close_all,     ///< to all connections: begin the closing handshake
    };
    Kind kind{};                           ///< what is asked
    SendKind send_as = SendKind::message;  ///< for a message: `reply` if the connection's own handler sent it
    CloseCode code = CloseCode::normal;    ///< of `close` and `close_all`
    ConnectionId to{};                     ///< the connection; default-constructed if the request is to all
    std::size_t offset = 0;                ///< of the payload (message, ping, reason) in the batch's bytes
    std::size_t size = 0;                  ///< of the payload
    std::unique_ptr<Broadcast> to_all{};   ///< null if the request is to one connection
    std::unique_ptr<PostedCall> call{};    ///< of `call` only

    /// send_text or send_binary.
    static Kind kind_of(const AnyMessage& message) noexcept {
        return message.is_text() ? Kind::send_text : Kind::send_binary;
    }
    /// True if it is a message to one connection, or begins one.
    bool is_message() const noexcept {
        return kind == Kind::send_text || kind == Kind::send_binary || kind == Kind::begin_text ||
               kind == Kind::begin_binary;
    }
    /// True for the kinds that an Inbox never drops. There are at most a few of them for each pause or failure, and
    /// without them the connection would stay as it is.
    bool may_pass_limit() const noexcept {
        return kind == Kind::fail || kind == Kind::fail_message || kind == Kind::resume || kind == Kind::acknowledge;
    }
    /// The most bytes that may wait with this item, if the others may be `limit`. Without an `unpause` the connection
    /// would stay as it is, too, but a program can ask for it any number of times.
    std::size_t limit_with(std::size_t limit) const noexcept {
        if (may_pass_limit()) return std::numeric_limits<std::size_t>::max();
        return kind == Kind::unpause ? 2 * limit : limit;
    }
    /// The item itself and the message that it shares, without its payload, in bytes. A message that was moved counts
    /// as a copy of it would.
    std::size_t size_in_memory() const noexcept {
        if (!to_all) return sizeof *this + (call ? sizeof *call : 0);
        return sizeof *this + sizeof *to_all + to_all->to.size() * sizeof(ConnectionId) + to_all->taken.bytes.size() +
               (to_all->shared ? to_all->shared->size() : 0);
    }
    /// What the memory of a message that was moved has besides, in bytes.
    std::size_t spare_memory() const noexcept {
        if (!to_all) return 0;
        const OwnedPayload& taken = to_all->taken;
        const SharedMessage* shared = to_all->shared.get();
        return taken.memory.capacity() - taken.bytes.size() + (shared ? shared->memory() - shared->size() : 0);
    }
};

static_assert(sizeof(InboxItem) <= 48);

/// The requests that wait for one thread.
class Inbox {
   public:
    /// Items in the order of put(), and the bytes that they refer to.
    struct Batch {
        std::vector<InboxItem> items;  ///< in the order of put()
        OutputBuffer payload;          ///< of all items, one after the other
        std::size_t bytes = 0;         ///< of the items, their payloads and the messages that they share
        std::size_t spare = 0;         ///< bytes that the memory of these messages has besides

        /// In bytes. Up to this size the memory for items and for payloads is reused. A larger one, left by a burst, is
        /// freed.
        static constexpr std::size_t kept = std::size_t{1} << 20;

        /// Valid until clear().
        Bytes payload_of(const InboxItem& item) const noexcept {
            return std::as_const(payload).bytes().subspan(item.offset, item.size);
        }
        /// Removes all items.
        void clear() noexcept {
            items.clear();
            if (items.capacity() > kept / sizeof(InboxItem)) items = std::vector<InboxItem>{};
            bytes = spare = 0;
            payload.clear();
            if (payload.capacity() > kept) payload.release();
        }
    };

    /// The usual limit, in bytes.
    static constexpr std::size_t default_limit = std::size_t{256} << 20;

    /// `limit` is the most bytes that wait for a thread that does not take them. Each item counts, even without a
    /// payload.
    explicit Inbox(std::size_t limit = default_limit) noexcept : limit_(limit) {}

    /// Adds an item and copies `payload`. Any thread. Returns false if the limit would be exceeded. Calls wake() unless
    /// an earlier item has woken the thread. If wake() throws, throws the same. `item` is moved from only if it is
    /// added.
    template <class Wake>
    [[nodiscard]] bool put(InboxItem&& item, Bytes payload, Wake&& wake) {
        const std::size_t memory = item.size_in_memory() + payload.size();
        const std::lock_guard lock(mutex_);
        const std::size_t bytes = waiting_.bytes + memory;
        if (bytes > item.limit_with(limit_)) return false;
        if (!woken_) wake();
        woken_ = true;
        item.offset = waiting_.payload.size();
        item.size = payload.size();
        waiting_.payload.append(payload);
        const std::size_t spare = item.spare_memory();
        waiting_.items.push_back(std::move(item));
        waiting_.bytes = bytes;
        waiting_.spare += spare;
        return true;
    }

    /// The limit where connections may hold `memory_limit` bytes; 0: unlimited. A thread that does not take its items
    /// must not use up the memory of the others.
    static constexpr std::size_t limit_within(std::size_t memory_limit) noexcept {
        return memory_limit == 0 || memory_limit / 4 > default_limit ? default_limit : memory_limit / 4;
    }
    /// Changes the limit. Any thread.
    void set_limit(std::size_t limit) noexcept {
        const std::lock_guard lock(mutex_);
        limit_ = limit;
    }
    /// The memory of the items that wait, in bytes. A shared message counts in each inbox that it waits in: too much
    /// rather than too little, and without a locked instruction for messages that leave at once. Any thread.
    std::size_t waiting_bytes() const noexcept {
        const std::lock_guard lock(mutex_);
        return waiting_.bytes + waiting_.spare;
    }

    /// Clears `batch` and swaps it for the waiting items. Called by the thread of the connections.
    void take(Batch& batch) {
        batch.clear();
        const std::lock_guard lock(mutex_);
        std::swap(batch, waiting_);
        woken_ = false;
    }

   private:
    mutable std::mutex mutex_;
    std::size_t limit_;
    Batch waiting_;
    bool woken_ = false;
};

}  // namespace wsserver
