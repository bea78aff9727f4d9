// The messages of one connection that wait for a worker: handled in order, one at a time, and limited in number.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/output_buffer.hpp"
#include "wsserver/scheduling/task.hpp"

namespace wsserver {

/// What a mailbox may hold before put() returns false.
struct MailboxLimits {
    std::size_t items = 1024;                  ///< that wait or are being handled
    std::size_t bytes = std::size_t{1} << 20;  ///< of payload
};

/// A queue of items that is a task itself. While it is not empty, it is in a task queue or runs on a worker. A worker
/// takes at most 16 items; then the mailbox is queued again after the other tasks, so that connections are served
/// fairly.
///
/// Derive from it and create it by std::make_shared: while it is queued or running, it keeps itself alive.
template <class Item>
class Mailbox : public Task, public std::enable_shared_from_this<Mailbox<Item>> {
   public:
    /// `name` is that of the handler; `status` shows it while an item is handled. `owner` tells handlers of one name
    /// apart.
    explicit Mailbox(TaskName name, MailboxLimits limits = {}, Priority priority = Priority::message,
                     const void* owner = nullptr)
        : Task(priority, name, owner), limits_(limits) {}

    /// The most items that a worker takes before it turns to other tasks.
    static constexpr std::size_t items_at_a_time = 16;

    /// The bytes that a mailbox needs for an item.
    static std::size_t memory_of(Bytes payload) noexcept { return payload.size() + sizeof(Entry); }
    /// The bytes of all items that wait or are being handled. May be called from any thread.
    std::size_t waiting_bytes() const noexcept {
        const std::lock_guard lock(mutex_);
        return bytes_ + items_ * sizeof(Entry);
    }

    /// Adds an item. May be called from any thread; the items of one thread (the connection's reactor) stay in order.
    ///
    /// payload  copied
    /// ready    gets the mailbox, if it is not queued yet; the caller pushes this batch at the end of its turn
    /// returns  false if the mailbox is over its limits now. The item was added. Do not call put() again before
    ///          on_drain(), which is called once after one or more results of false.
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
    /// Adds the last item, without a payload. Needs no memory. Do not call put() again.
    void put_last(Item item, TaskBatch& ready) {
        const std::lock_guard lock(mutex_);
        last_.emplace(std::move(item));
        ++items_;
        if (self_) return;
        self_ = this->shared_from_this();
        ready.add(TaskPtr{this});
    }

   protected:
    /// Handles an item, on a worker; one call at a time. Its exceptions are reported to the worker, and the next item
    /// follows. `payload` is valid until it returns.
    virtual void on_item(Item& item, Bytes payload) = 0;
    /// put() may be called again. Called on a worker, between two items. If it throws std::bad_alloc, it is called
    /// again after the next run.
    virtual void on_drain() = 0;
    /// Called on a worker at the end of each run. Returns false if it ran out of memory; then the mailbox runs again,
    /// even without items.
    virtual bool on_run_end() noexcept { return true; }

   private:
    struct Entry {
        Item item;
        std::size_t offset, size;  ///< of its payload in Batch::payloads
    };

    /// Items and their payloads, one after the other. A message needs no allocation of its own, which one thread would
    /// make and another would free.
    struct Batch {
        std::vector<Entry> entries;
        OutputBuffer payloads;

        void add(Item item, Bytes payload) {
            // First: a failure must leave no payload without an entry.
            if (entries.size() == entries.capacity()) entries.reserve(std::max(items_at_a_time, 2 * entries.size()));
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
        std::size_t memory() const noexcept { return payloads.size() + entries.size() * sizeof(Entry); }
        bool is_small() const noexcept {
            return entries.capacity() <= items_at_a_time && payloads.capacity() <= payload_kept;
        }
    };

    /// An empty mailbox keeps memory for at most this many bytes, because there is one for each connection.
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
        if (end == taken_.entries.size()) worker.freed(taken_.memory());
        const std::size_t items = end > first ? end - first : handle_last(worker);
        const bool ended = on_run_end();
        switch (settle(items, bytes, ended)) {
            case Next::report_drain:
                attempt(worker, [&] { report_drain(); });
                break;
            case Next::run_again:
                break;
            case Next::idle:  // the mailbox may be destroyed or on another worker already
                (void)self.release();
                break;
        }
        return self;
    }

    void dispose() noexcept final {
        std::shared_ptr<Mailbox> keep;  // destroyed after the lock, because it may be the last reference
        const std::lock_guard lock(mutex_);
        keep = std::move(self_);
    }

    /// Returns the number of items that it handled.
    std::size_t handle_last(Worker& worker) {
        std::optional<Item> last;
        {
            const std::lock_guard lock(mutex_);
            std::swap(last, last_);
        }
        if (!last) return 0;
        attempt(worker, [&] { on_item(*last, {}); });
        return 1;
    }

    void refill() {
        const std::lock_guard lock(mutex_);
        std::swap(taken_, waiting_);
    }

    enum class Next : std::uint8_t { run_again, report_drain, idle };
    /// Subtracts what was handled and decides what follows. After Next::idle the next put() may give the mailbox to
    /// another worker.
    Next settle(std::size_t items, std::size_t bytes, bool ended) {
        const bool all_done = next_ == taken_.entries.size();
        if (all_done) {
            next_ = 0;
            taken_.clear();
        }
        std::shared_ptr<Mailbox> keep;  // destroyed after the lock, because it may be the last reference
        Batch spare, large;
        const std::lock_guard lock(mutex_);
        items_ -= items;
        bytes_ -= bytes;
        // Half of the limit, so that not every item causes a message to the reactor.
        if (full_ && items_ <= limits_.items / 2 && bytes_ <= limits_.bytes / 2) {
            full_ = false;
            return Next::report_drain;
        }
        if (!ended || !all_done || !waiting_.entries.empty() || last_) return Next::run_again;
        if (taken_.is_small()) std::swap(waiting_, taken_);  // for the next message
        if (!waiting_.is_small()) std::swap(large, waiting_);
        std::swap(spare, taken_);
        keep = std::move(self_);
        return Next::idle;
    }

    /// If memory runs out, tries again on the next run. Otherwise the connection would stay paused.
    void report_drain() {
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
    mutable std::mutex mutex_;
    Batch waiting_;
    std::size_t items_ = 0;  ///< added and not yet settled
    std::size_t bytes_ = 0;  ///< their payloads
    bool full_ = false;
    std::optional<Item> last_;       ///< of put_last()
    std::shared_ptr<Mailbox> self_;  ///< not null while it is in a batch or queue, or runs

    // Only for the worker that runs it.
    Batch taken_;
    std::size_t next_ = 0;
};

}  // namespace wsserver
