#pragma once

#include "wsserver/control/detail/spool_watch.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace wsserver {

namespace {

// Not IN_CREATE: a file that is written directly into new/, against the rules, is not read before it is closed.
constexpr std::uint32_t files_arrive = IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR;

// The folders are open in this process, so watches on them would never report their deletion. A watch on their parent
// does.
constexpr std::uint32_t folders_vanish =
    IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MOVE_SELF | IN_DELETE_SELF | IN_ONLYDIR;

}  // namespace

bool SpoolWatch::start(const std::string& spool, const std::string& new_folder) {
    inotify_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (!inotify_) return false;
    new_folder_watch_ = ::inotify_add_watch(inotify_.get(), new_folder.c_str(), files_arrive);
    if (new_folder_watch_ >= 0 && ::inotify_add_watch(inotify_.get(), spool.c_str(), folders_vanish) >= 0) return true;
    const int error = errno;
    inotify_.reset();
    errno = error;
    return false;
}

void SpoolWatch::read(const News& news) {
    alignas(inotify_event) std::array<char, 16 * 1024> buffer;
    // Reads until nothing is left, but not forever: later events are for the next call.
    for (int rounds = 0; rounds < 16; ++rounds) {
        const auto got = ::read(inotify_.get(), buffer.data(), buffer.size());
        if (got <= 0) return;
        for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
            inotify_event event;
            std::memcpy(&event, buffer.data() + at, sizeof event);
            const char* name = buffer.data() + at + sizeof event;
            at += sizeof event + event.len;
            if ((event.mask & IN_Q_OVERFLOW) != 0) {
                news.lost();
            } else if (event.wd != new_folder_watch_ || (event.mask & (IN_IGNORED | IN_UNMOUNT)) != 0) {
                news.replaced();
            } else if (event.len > 0) {
                news.arrived(std::string_view{name, ::strnlen(name, event.len)});
            }
        }
    }
}

}  // namespace wsserver
