#include "wsserver/block.hpp"

#include <vector>

namespace wsserver {

namespace {

struct Octets {
    std::uint8_t* data;
    std::size_t capacity;
};

/// Set when the thread's kept blocks are gone: what other objects of the thread still hold is freed.
thread_local bool thread_ends = false;

/// What one thread has kept, the newest last.
class Kept {
   public:
    Kept() { all_.reserve(Block::most_kept / Block::large); }  // so that keeping never allocates
    Kept(const Kept&) = delete;
    Kept& operator=(const Kept&) = delete;
    ~Kept() {
        thread_ends = true;
        for (const Octets& one : all_) delete[] one.data;
    }

    /// The newest that fits, as it may still be in a cache, and isn't much too large. Without data: there is none.
    Octets take(std::size_t capacity) noexcept {
        for (std::size_t i = all_.size(); i-- > 0;) {
            const Octets found = all_[i];
            if (found.capacity < capacity || found.capacity > 2 * capacity) continue;
            all_.erase(all_.begin() + static_cast<std::ptrdiff_t>(i));
            octets_ -= found.capacity;
            return found;
        }
        return {nullptr, 0};
    }

    void keep(Octets octets) noexcept {
        if (octets.capacity > Block::most_kept) {
            delete[] octets.data;
            return;
        }
        octets_ += octets.capacity;
        auto first = all_.begin();
        for (; octets_ > Block::most_kept; ++first) {
            octets_ -= first->capacity;
            delete[] first->data;
        }
        all_.erase(all_.begin(), first);
        all_.push_back(octets);
    }

   private:
    std::vector<Octets> all_;
    std::size_t octets_ = 0;
};

thread_local Kept kept;

}  // namespace

Block::Block(std::size_t at_least) : capacity_(at_least) {
    if (at_least >= large) {
        capacity_ = (at_least + large - 1) / large * large;
        const Octets found = thread_ends ? Octets{nullptr, 0} : kept.take(capacity_);
        if (found.data != nullptr) {
            data_ = found.data;
            capacity_ = found.capacity;
            return;
        }
    }
    data_ = new std::uint8_t[capacity_];
}

void Block::give_back() noexcept {
    if (capacity_ < large || thread_ends) {
        delete[] data_;
    } else {
        kept.keep({data_, capacity_});
    }
}

}  // namespace wsserver
