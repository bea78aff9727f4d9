#pragma once

#include "wsserver/control/detail/spool_folders.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <system_error>

#include "wsserver/control/detail/spool_disk.hpp"
#include "wsserver/control/file_lock.hpp"
#include "wsserver/control/spool.hpp"

namespace wsserver {

namespace {

struct SpoolPart {
    const char* name;
    Descriptor SpoolFolders::*descriptor;
    mode_t shared_mode;  ///< if a group may give commands: it writes to tmp/ and new/ and reads answers
};
constexpr std::array<SpoolPart, 5> spool_parts{{
    {"tmp", &SpoolFolders::tmp, 02770},
    {"new", &SpoolFolders::fresh, 02770},
    {"cur", &SpoolFolders::cur, 02700},
    {"done", &SpoolFolders::done, 02750},
    {"failed", &SpoolFolders::failed, 02750},
}};

Unexpected<std::string> trouble(const std::string& path, std::string_view what, std::error_code error,
                                std::string_view advice) {
    return Unexpected{fmt::format("spool {}: {}: {}; {}", path, what, error.message(), advice)};
}

constexpr std::string_view choose_another = "choose another folder with --spool DIR";

/// Like mkdir -p, with mode 0700, which the XDG base directory specification requires.
std::error_code make_folders(const std::string& path) {
    for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
        if (::mkdir(path.substr(0, slash).c_str(), 0700) != 0 && errno != EEXIST) {
            const auto error = last_error();
            struct stat there;
            // On a read-only file system mkdir() of an existing folder does not fail with EEXIST.
            if (::stat(path.substr(0, slash).c_str(), &there) != 0) return error;
        }
        if (slash == std::string::npos) return {};
    }
}

/// Anyone else who could write here could give commands or remove ours.
Result<struct stat, std::string> check_folder(const std::string& path, int folder) {
    struct stat status;
    if (::fstat(folder, &status) != 0) return trouble(path, "cannot be examined", last_error(), choose_another);
    if (status.st_uid != ::geteuid() && status.st_uid != 0) {
        return Unexpected{fmt::format("spool {}: belongs to user {}, but this process runs as user {}: chown it, or {}",
                                      path, status.st_uid, ::geteuid(), choose_another)};
    }
    if ((status.st_mode & S_IWOTH) != 0) {
        return Unexpected{fmt::format(
            "spool {}: it is world-writable: chmod o-w it, and let a group give commands instead (chgrp GROUP, "
            "chmod 2750)",
            path)};
    }
    return status;
}

/// Sets only what is missing. A process that is not in the group cannot set the setgid bit (chmod() leaves it out
/// without an error), and RestrictSUIDSGID of systemd forbids it to every process. A folder that is created in one with
/// the bit inherits it.
bool set_group_and_mode(int folder, std::optional<gid_t> group, mode_t mode) {
    struct stat status;
    if (::fstat(folder, &status) != 0) return false;
    if (group && status.st_gid != *group && ::fchown(folder, static_cast<uid_t>(-1), *group) != 0) return false;
    if ((status.st_mode & 07777) == mode) return true;
    if (::fchmod(folder, mode) != 0 || ::fstat(folder, &status) != 0) return false;
    errno = EPERM;
    return (status.st_mode & 07777) == mode;
}

bool is_owner(int folder) {
    struct stat status;
    return ::fstat(folder, &status) == 0 && status.st_uid == ::geteuid();
}

Result<Descriptor, std::string> open_part(const SpoolFolders& folders, const SpoolPart& part, dev_t device) {
    const auto path = folders.path + '/' + part.name;
    const mode_t mode = folders.group ? part.shared_mode : 0700;
    const bool created = ::mkdirat(folders.root.get(), part.name, mode & 0777) == 0;
    if (!created && errno != EEXIST) return trouble(path, "cannot be created", last_error(), choose_another);
    Descriptor folder{::openat(folders.root.get(), part.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (!folder) return trouble(path, "cannot be opened", last_error(), "it must be a folder that wsd may read");
    // mkdir() applied the umask. A folder that existed before is changed only if the spool has a group.
    const bool ours_to_set = created || (folders.group && is_owner(folder.get()));
    if (ours_to_set && !set_group_and_mode(folder.get(), folders.group, mode)) {
        const auto error = last_error();
        const auto advice = !folders.group
                                ? std::string{choose_another}
                                : fmt::format("create it before wsd starts: install -d -o {} -g {} -m {:o} {}",
                                              ::geteuid(), *folders.group, mode, path);
        return trouble(path, "its group and mode cannot be set", error, advice);
    }
    const auto status = check_folder(path, folder.get());
    if (!status) return Unexpected{status.error()};
    if (status->st_dev != device) {
        return Unexpected{fmt::format("spool {}: is on another file system, so files cannot be renamed into it", path)};
    }
    return folder;
}

pid_t pid_in(int file) {
    std::array<char, 32> text{};
    const auto length = ::pread(file, text.data(), text.size(), 0);
    pid_t pid = 0;
    if (length > 0) std::from_chars(text.data(), text.data() + length, pid);
    return pid;
}

Result<Descriptor, std::string> take_lock(const SpoolFolders& folders) {
    const auto path = folders.path + "/lock";
    auto file = lock_file(folders.root.get(), "lock");
    if (!file && file.error() != std::errc::resource_unavailable_try_again) {
        return trouble(path, "cannot be locked", file.error(), choose_another);
    }
    if (!file) {
        const Descriptor other{::openat(folders.root.get(), "lock", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
        const auto pid = pid_in(other.get());
        return Unexpected{fmt::format("spool {} is in use by {}: stop that process, or {}", folders.path,
                                      pid > 0 ? fmt::format("process {}", pid) : "another process", choose_another)};
    }
    const auto text = fmt::format("{}\n", ::getpid());
    // Only for people: the kernel knows the holder of the lock. So a full disk does not matter here.
    if (::ftruncate(file->get(), 0) != 0 || ::pwrite(file->get(), text.data(), text.size(), 0) < 0) errno = 0;
    return *std::move(file);
}

bool same(const Descriptor& open, int folder, const char* name) {
    struct stat ours, theirs;
    return ::fstat(open.get(), &ours) == 0 && ::fstatat(folder, name, &theirs, 0) == 0 &&
           ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

}  // namespace

bool SpoolFolders::in_place() const {
    if (!same(root, AT_FDCWD, path.c_str()) || !same(lock, root.get(), "lock")) return false;
    for (const SpoolPart& part : spool_parts) {
        if (!same(this->*part.descriptor, root.get(), part.name)) return false;
    }
    return true;
}

Result<SpoolFolders, std::string> open_spool_folders(const std::string& path) {
    SpoolFolders folders;
    folders.path = path;
    if (const auto error = make_folders(path)) return trouble(path, "cannot be created", error, choose_another);
    folders.root.reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folders.root) return trouble(path, "cannot be opened", last_error(), choose_another);
    const auto status = check_folder(path, folders.root.get());
    if (!status) return Unexpected{status.error()};
    if ((status->st_mode & S_ISGID) != 0) folders.group = status->st_gid;

    auto lock = take_lock(folders);
    if (!lock) return Unexpected{lock.error()};
    folders.lock = std::move(*lock);
    for (const SpoolPart& part : spool_parts) {
        auto folder = open_part(folders, part, status->st_dev);
        if (!folder) return Unexpected{folder.error()};
        folders.*part.descriptor = std::move(*folder);
    }
    // Or only new/ belongs to a group, which then gives commands and cannot read answers.
    struct stat fresh;
    if (!folders.group && ::fstat(folders.fresh.get(), &fresh) == 0 && (fresh.st_mode & S_ISGID) != 0) {
        folders.group = fresh.st_gid;
    }
    if (folders.group) share_with(*folders.group, folders.lock.get());
    return folders;
}

Result<SpoolHolder, std::string> spool_holder(const std::string& path) {
    const Descriptor file{::open((path + "/lock").c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    if (!file) {
        const auto error = last_error();
        // No lock or no folder: no process has ever served this spool.
        if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory) return SpoolHolder{};
        return trouble(path, "its lock cannot be read", error, "join the group of the spool, or ask its owner");
    }
    const auto locked = is_locked(file.get());
    if (!locked) {
        return trouble(path, "its lock cannot be queried", locked.error(), "the file system may not support locks");
    }
    return *locked ? SpoolHolder{true, pid_in(file.get())} : SpoolHolder{};
}

}  // namespace wsserver
