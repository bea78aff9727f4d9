// Allocates the streams of a UringLoop in pages. Each connection has a stream, and an allocation of its own would cost
// additional bytes.
#pragma once

#include <cstddef>
#include <memory>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/transport/detail/uring/stream.hpp"

namespace wsserver::detail {

class UringLoop;

/// Creates and destroys streams. A stream does not move.
class UringStreams {
   public:
    UringStreams() noexcept;
    /// Destroys the remaining streams.
    ~UringStreams();
    UringStreams(const UringStreams&) = delete;
    UringStreams& operator=(const UringStreams&) = delete;

    std::size_t count() const noexcept { return count_; }
    /// The number of pages. Takes linear time.
    std::size_t pages() const noexcept;
    /// Creates a stream without a reference. Valid until destroy().
    UringStream& make(UringLoop& loop, Descriptor socket);
    void destroy(UringStream& stream) noexcept;
    /// Calls UringStream::requests_lost() for all streams.
    void requests_lost();
    /// A stream whose is_deferred() is true. Takes linear time. Null if there is none.
    UringStream* find_deferred() const noexcept;

   private:
    class Page;
    /// Linked through the pages themselves, so that destroy() never allocates.
    struct Pages {
        Page* first = nullptr;

        std::size_t count() const noexcept;
        void requests_lost() const;
        UringStream* find_deferred() const noexcept;
        void add(Page& page) noexcept;
        void remove(Page& page) noexcept;
        void delete_all() noexcept;
    };

    Pages partial_;  // with at least one stream and one free place
    Pages full_;
    std::unique_ptr<Page> spare_;  // one empty page is kept, so that a single stream does not allocate one each time
    std::size_t count_ = 0;
};

}  // namespace wsserver::detail
