// The order in which streams with much to receive are served.
#pragma once

#include <cstddef>
#include <deque>
#include <utility>

namespace wsserver::detail {

/// A stream that has received much, and probably has more, waits here before it receives again. At most `at_once` of
/// them receive in a turn, in the order in which they came. So the other streams wait only for these, however many
/// there are.
template <class StreamPointer, unsigned at_once>
class ReceiveQueue {
   public:
    /// In bytes. A stream that receives less in a turn does not wait.
    static constexpr std::size_t much = std::size_t{32} << 10;
    /// In bytes. What a stream from the queue receives at once.
    static constexpr std::size_t large_share = std::size_t{128} << 10;
    /// In bytes. What another stream receives at once while buffers are short.
    static constexpr std::size_t share = std::size_t{16} << 10;

    void push(StreamPointer stream) { waiting_.push_back(std::move(stream)); }
    std::size_t size() const noexcept { return waiting_.size(); }
    bool empty() const noexcept { return waiting_.empty(); }

    /// Calls receive(StreamPointer) for the streams whose turn it is.
    template <class F>
    void next_turn(F&& receive) {
        for (unsigned served = 0; served < at_once && !waiting_.empty(); ++served) {
            StreamPointer next = std::move(waiting_.front());
            waiting_.pop_front();
            receive(std::move(next));
        }
    }

   private:
    std::deque<StreamPointer> waiting_;
};

}  // namespace wsserver::detail
