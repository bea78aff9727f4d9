// One connection's messages on their way to the workers: in order, one at a time, and not without bound.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/output_buffer.hpp"
#include "wsserver/scheduling/task.hpp"

namespace wsserver {

struct MailboxLimits {
    std::size_t items = 1024;
    std::size_t bytes = std::size_t{1} << 20;  ///< of payload
};

/// While it isn't empty it is a task in the queue, or running. A worker takes at most 16 items, then the mailbox
/// queues again behind the others: that is the fairness among connections.
///
/// Derive from it, make it with std::make_shared: a queue or worker that knows it keeps it alive.
template <class Item>
class Mailbox : public Task, public std::enable_shared_from_this<Mailbox<Item>> {
   public:
    explicit Mailbox(TaskName name, MailboxLimits limits = {}, Priority priority = Priority::message)
        : Task(priority, name), limits_(limits) {}

    static constexpr std::size_t items_at_a_time = 16;

    /// Any thread, but items are in order only if they come from one (the connection's reactor). `payload` is
    /// copied. The mailbox adds itself to `ready` if no worker knows of it: whoever puts must push the batch, at the
    /// end of his turn. False if it holds more than its limits now (the item is in it): put no more before on_drain(),
    /// which comes once for each row of falses.
    [[nodiscard]] bool put(Item item, Bytes payload, TaskBatch& ready) {
        const std::lock_guard lock(mutex_);
        waiting_.add(std::move(item), payload);
        ++items_;
        bytes_ += payload.size();
        if (items_ > limits_.items || bytes_ > limits_.bytes) full_ = true;
        if (!self_) {
            self_ = this->shared_from_this();
            ready.add(TaskPtr{this});
        }
        return !full_;
    }

   protected:
    /// On a worker, never two at the same time. What it throws is reported to the worker, and the next item follows.
    /// `payload` is valid until it returns.
    virtual void on_item(Item& item, Bytes payload) = 0;
    /// put() may go on. On a worker, between two items. Called again if it throws std::bad_alloc.
    virtual void on_drain() = 0;

   private:
    struct Entry {
        Item item;
        std::size_t offset, size;  ///< of its payload among the batch's
    };

    /// Items, and their payloads one behind the other: a message costs no allocation of its own, which would be one
    /// thread's to make and another's to free.
    struct Batch {
        std::vector<Entry> entries;
        OutputBuffer payloads;

        void add(Item item, Bytes payload) {
            if (entries.capacity() == 0) entries.reserve(items_at_a_time);
            payloads.append(payload);
            entries.push_back({std::move(item), payloads.size() - payload.size(), payload.size()});
        }
        Bytes payload_of(const Entry& entry) const noexcept {
            return payloads.bytes().subspan(entry.offset, entry.size);
        }
        void clear() noexcept {
            entries.clear();
            payloads.clear();
        }
        bool is_small() const noexcept {
            return entries.capacity() <= items_at_a_time && payloads.capacity() <= payload_kept;
        }
    };

    /// Mailboxes that rest are many; each keeps room for so many bytes.
    static constexpr std::size_t payload_kept = 1024;

    TaskPtr run(TaskPtr self, Worker& worker) final {
        if (next_ == taken_.entries.size()) refill();
        const std::size_t first = next_;
        const std::size_t end = std::min(taken_.entries.size(), first + items_at_a_time);
        std::size_t bytes = 0;
        while (next_ < end) {
            Entry& entry = taken_.entries[next_++];
            bytes += entry.size;
            attempt(worker, [&] { on_item(entry.item, taken_.payload_of(entry)); });
        }
        switch (settle(end - first, bytes)) {
            case Next::tell_drained:
                attempt(worker, [&] { tell_drained(); });
                break;
            case Next::go_on:
                break;
            case Next::rest:  // nothing of it may be touched any more
                (void)self.release();
                break;
        }
        return self;
    }

    void dispose() noexcept final {
        std::shared_ptr<Mailbox> keep;  // outlives the lock: this may be the mailbox's end
        const std::lock_guard lock(mutex_);
        keep = std::move(self_);
    }

    void refill() {
        const std::lock_guard lock(mutex_);
        std::swap(taken_, waiting_);
    }

    enum class Next : std::uint8_t { go_on, tell_drained, rest };
    /// So much has been dealt with. From the moment that it rests, the next put() may make it another worker's.
    Next settle(std::size_t items, std::size_t bytes) {
        const bool all_done = next_ == taken_.entries.size();
        if (all_done) {
            next_ = 0;
            taken_.clear();
        }
        std::shared_ptr<Mailbox> keep;  // outlives the lock: this may be the mailbox's end
        Batch spare, large;
        const std::lock_guard lock(mutex_);
        items_ -= items;
        bytes_ -= bytes;
        // Half of the limit: not after each single item a message to the reactor.
        if (full_ && items_ <= limits_.items / 2 && bytes_ <= limits_.bytes / 2) {
            full_ = false;
            return Next::tell_drained;
        }
        if (!all_done || !waiting_.entries.empty()) return Next::go_on;
        if (taken_.is_small()) std::swap(waiting_, taken_);  // for the next message
        if (!waiting_.is_small()) std::swap(large, waiting_);
        std::swap(spare, taken_);
        keep = std::move(self_);
        return Next::rest;
    }

    /// Without memory for it once more, behind the others: whoever waits for it would wait for ever.
    void tell_drained() {
        try {
            on_drain();
        } catch (const std::bad_alloc&) {
            const std::lock_guard lock(mutex_);
            full_ = true;
        }
    }

    template <class F>
    void attempt(Worker& worker, F&& f) {
        worker.begins(name());
        try {
            f();
        } catch (...) {
            worker.failed(name(), std::current_exception());
        }
    }

    const MailboxLimits limits_;
    std::mutex mutex_;
    Batch waiting_;
    std::size_t items_ = 0;  ///< put and not yet settled
    std::size_t bytes_ = 0;  ///< of these
    bool full_ = false;
    std::shared_ptr<Mailbox> self_;  ///< while a batch, queue or worker knows it

    // The worker's that runs it.
    Batch taken_;
    std::size_t next_ = 0;
};

}  // namespace wsserver
