#pragma once

#include "wsserver/control/file_lock.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "wsserver/control/detail/spool_disk.hpp"

namespace wsserver {

namespace {

/// A lock that belongs to the open file description: another open() and close() in this process does not release it,
/// and other processes may query it without taking it, which flock() does not offer.
struct flock whole_file() {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return lock;
}

/// Opens and locks the file. An empty Descriptor: try again with a new file.
Result<Descriptor, std::error_code> try_to_lock(int folder, const std::string& name) {
    Descriptor file{::openat(folder, name.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600)};
    if (!file) return Unexpected{last_error()};
    struct stat status;
    if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        return Unexpected{std::make_error_code(std::errc::invalid_argument)};
    }
    auto lock = whole_file();
    if (::fcntl(file.get(), F_OFD_SETLK, &lock) == 0) {
        // The previous owner may have removed it between the two steps.
        return is_in_place(folder, name, file.get()) ? std::move(file) : Descriptor{};
    }
    if (errno != EAGAIN && errno != EACCES) return Unexpected{last_error()};
    lock = whole_file();
    if (::fcntl(file.get(), F_OFD_GETLK, &lock) != 0) return Unexpected{last_error()};
    if (lock.l_type == F_WRLCK) return Unexpected{std::make_error_code(std::errc::resource_unavailable_try_again)};
    if (lock.l_type == F_UNLCK) return Descriptor{};  // its owner has ended just now
    if (is_in_place(folder, name, file.get()) && ::unlinkat(folder, name.c_str(), 0) != 0 && errno != ENOENT) {
        return Unexpected{last_error()};
    }
    return Descriptor{};
}

}  // namespace

Result<Descriptor, std::error_code> lock_file(int folder, const std::string& name) {
    for (;;) {
        auto file = try_to_lock(folder, name);
        if (!file || *file) return file;
    }
}

Result<bool, std::error_code> is_locked(int file) {
    auto lock = whole_file();
    if (::fcntl(file, F_OFD_GETLK, &lock) != 0) return Unexpected{last_error()};
    return lock.l_type == F_WRLCK;
}

bool is_in_place(int folder, const std::string& name, int file) {
    struct stat named, opened;
    return ::fstat(file, &opened) == 0 && ::fstatat(folder, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

}  // namespace wsserver
