// Where the streams of a UringLoop lie: side by side in pages. There is one for each connection, and each allocation
// costs some bytes more than it gives.
#pragma once

#include <cstddef>
#include <memory>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/transport/detail/uring/stream.hpp"

namespace wsserver::detail {

class UringLoop;

class UringStreams {
   public:
    UringStreams() noexcept;
    /// Destroys those that are left.
    ~UringStreams();
    UringStreams(const UringStreams&) = delete;
    UringStreams& operator=(const UringStreams&) = delete;

    std::size_t count() const noexcept { return count_; }
    /// Looks at each.
    std::size_t pages() const noexcept;
    /// It stays where it is until destroy().
    UringStream& make(UringLoop& loop, Descriptor socket);
    void destroy(UringStream& stream) noexcept;

   private:
    class Page;
    /// Linked through the pages themselves, so that destroy() never allocates.
    struct Pages {
        Page* first = nullptr;

        std::size_t count() const noexcept;
        void add(Page& page) noexcept;
        void remove(Page& page) noexcept;
        void delete_all() noexcept;
    };

    Pages with_room_;  // and with a stream at least
    Pages full_;
    std::unique_ptr<Page> spare_;  // empty; so that who comes and goes doesn't allocate a page each time
    std::size_t count_ = 0;
};

}  // namespace wsserver::detail
