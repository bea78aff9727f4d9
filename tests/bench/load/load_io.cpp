// Chooses between io_uring and epoll.
#include "load_io.hpp"

#include <system_error>

#include "load_epoll.hpp"
#ifdef WSSERVER_BENCH_URING
#include "load_uring.hpp"
#endif

namespace wsserver::bench {

std::unique_ptr<LoadIo> make_load_io() {
#ifdef WSSERVER_BENCH_URING
    try {
        return std::make_unique<LoadUring>();
    } catch (const std::system_error&) {
        // io_uring is forbidden, as in most containers
    }
#endif
    return std::make_unique<LoadEpoll>();
}

}  // namespace wsserver::bench
