#pragma once

#include "wsserver/control/detail/spool_disk.hpp"

#include <fcntl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>

namespace wsserver {

namespace {

/// Calls a system call again while a signal interrupts it.
template <class Call>
auto uninterrupted(Call call) {
    auto result = call();
    while (result < 0 && errno == EINTR) result = call();
    return result;
}

std::error_code result_of(int result) { return result == 0 ? std::error_code{} : last_error(); }

/// Writes everything at `offset`, which it moves on.
std::error_code write_at(int file, std::string_view piece, off_t& offset) {
    while (!piece.empty()) {
        const auto written = uninterrupted([&] { return ::pwrite(file, piece.data(), piece.size(), offset); });
        if (written < 0) return last_error();
        offset += written;
        piece.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

/// False if other machines may write, of which a lease knows nothing. NFS even refuses leases as if there were writers.
bool has_own_leases(const Descriptor& file) {
    constexpr std::array<unsigned, 4> network{0x6969, 0xFF534D42, 0xFE534D42, 0x00C36400};  // NFS, CIFS, SMB2, Ceph
    struct statfs system;
    if (::fstatfs(file.get(), &system) != 0) return false;
    return std::find(network.begin(), network.end(), static_cast<unsigned>(system.f_type)) == network.end();
}

}  // namespace

std::error_code last_error() noexcept { return {errno, std::system_category()}; }

void share_with(gid_t group, int file) {
    if (::fchown(file, static_cast<uid_t>(-1), group) == 0) ::fchmod(file, 0640);
}

bool is_dot(const dirent& entry) noexcept {
    return std::strcmp(entry.d_name, ".") == 0 || std::strcmp(entry.d_name, "..") == 0;
}

bool is_temporary(std::error_code error) {
    return error == std::errc::no_space_on_device || error == std::errc::read_only_file_system ||
           error == std::errc::io_error || error == std::errc::too_many_files_open ||
           error == std::errc::too_many_files_open_in_system || error == std::errc::not_enough_memory ||
           error == std::error_code{EDQUOT, std::system_category()};
}

bool is_gone(std::error_code error) { return error == std::errc::no_such_file_or_directory; }

std::error_code SpoolDisk::examine(const Descriptor& folder, const std::string& name, struct stat& status) const {
    if (const auto error = fault("examine")) return error;
    return result_of(::fstatat(folder.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW));
}

Result<FolderStream, std::error_code> SpoolDisk::list(const Descriptor& folder) const {
    if (const auto error = fault("list")) return Unexpected{error};
    // A new open(), since a duplicated descriptor would share the position.
    Descriptor again{::openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!again) return Unexpected{last_error()};
    FolderStream stream{::fdopendir(again.get())};
    if (!stream) return Unexpected{last_error()};
    static_cast<void>(again.release());
    return stream;
}

SpoolDisk::Writers SpoolDisk::writers_of(const Descriptor& folder, const std::string& name) const {
    if (fault("lease")) return Writers::unknown;
    const Descriptor file{::openat(folder.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    if (!file || !has_own_leases(file)) return Writers::unknown;
    // A writer that opens the file before the lease is given back causes a signal: SIGIO, which would end the process,
    // unless another one is chosen. SIGURG is ignored by default.
    ::fcntl(file.get(), F_SETSIG, SIGURG);
    if (::fcntl(file.get(), F_SETLEASE, F_RDLCK) == 0) {
        ::fcntl(file.get(), F_SETLEASE, F_UNLCK);
        return Writers::none;
    }
    return errno == EAGAIN ? Writers::some : Writers::unknown;
}

Result<Descriptor, std::error_code> SpoolDisk::open(const Descriptor& folder, const std::string& name) const {
    if (const auto error = fault("open")) return Unexpected{error};
    Descriptor file{::openat(folder.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)};
    if (!file) return Unexpected{last_error()};
    return file;
}

Result<std::string, std::error_code> SpoolDisk::read(const Descriptor& file, std::size_t size) const {
    if (const auto error = fault("read")) return Unexpected{error};
    std::string content;
    try {
        content.resize(size);
    } catch (const std::bad_alloc&) {
        return Unexpected{std::make_error_code(std::errc::not_enough_memory)};
    }
    std::size_t have = 0;
    // Not mapped into memory: its writer could still truncate it, and then reading the mapping would crash.
    while (have < size) {
        const auto got = uninterrupted(
            [&] { return ::pread(file.get(), content.data() + have, size - have, static_cast<off_t>(have)); });
        if (got < 0) return Unexpected{last_error()};
        if (got == 0) break;
        have += static_cast<std::size_t>(got);
    }
    content.resize(have);
    return content;
}

Result<Descriptor, std::error_code> SpoolDisk::create(const Descriptor& folder, const std::string& name) const {
    if (const auto error = fault("create")) return Unexpected{error};
    Descriptor file{::openat(folder.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)};
    if (!file) return Unexpected{last_error()};
    return file;
}

Result<Descriptor, std::error_code> SpoolDisk::reopen(const Descriptor& folder, const std::string& name) const {
    if (const auto error = fault("reopen")) return Unexpected{error};
    Descriptor file{::openat(folder.get(), name.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    if (!file) return Unexpected{last_error()};
    return file;
}

std::error_code SpoolDisk::reserve(const Descriptor& file, std::uint64_t size) const {
    if (const auto error = fault("reserve")) return error;
    const int result = uninterrupted([&] { return ::fallocate(file.get(), 0, 0, static_cast<off_t>(size)); });
    if (result == 0) return {};
    // The file system cannot allocate (some network file systems), so write.
    return errno == EOPNOTSUPP || errno == ENOSYS ? write_zeros(file, size) : last_error();
}

std::error_code SpoolDisk::write_zeros(const Descriptor& file, std::uint64_t size) const {
    static constexpr std::array<char, 4096> zeros{};
    off_t offset = 0;
    for (auto left = size; left > 0; left -= std::min<std::uint64_t>(left, zeros.size())) {
        const std::string_view piece{zeros.data(), std::min<std::size_t>(left, zeros.size())};
        if (const auto error = write_at(file.get(), piece, offset)) return error;
    }
    return {};
}

std::error_code SpoolDisk::write(const Descriptor& file, const std::vector<std::string_view>& pieces) const {
    if (const auto error = fault("write")) return error;
    off_t offset = 0;
    for (const std::string_view piece : pieces) {
        if (const auto error = write_at(file.get(), piece, offset)) return error;
    }
    if (const auto error = fault("truncate")) return error;
    return result_of(::ftruncate(file.get(), offset));
}

std::error_code SpoolDisk::move(const Descriptor& from, const std::string& name, const Descriptor& to,
                                const std::string& new_name) const {
    if (const auto error = fault("move")) return error;
    return result_of(::renameat(from.get(), name.c_str(), to.get(), new_name.c_str()));
}

std::error_code SpoolDisk::move_without_replacing(const Descriptor& from, const std::string& name, const Descriptor& to,
                                                  const std::string& new_name) const {
    if (const auto error = fault("move")) return error;
    if (::renameat2(from.get(), name.c_str(), to.get(), new_name.c_str(), RENAME_NOREPLACE) == 0) return {};
    if (errno != EINVAL && errno != ENOSYS) return last_error();
    // The file system does not support the flag. Only this process writes to `to`, so checking first is as good.
    struct stat there;
    if (::fstatat(to.get(), new_name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0) {
        return std::make_error_code(std::errc::file_exists);
    }
    return result_of(::renameat(from.get(), name.c_str(), to.get(), new_name.c_str()));
}

std::error_code SpoolDisk::remove(const Descriptor& folder, const std::string& name) const {
    if (const auto error = fault("remove")) return error;
    const auto error = result_of(::unlinkat(folder.get(), name.c_str(), 0));
    return is_gone(error) ? std::error_code{} : error;
}

}  // namespace wsserver
