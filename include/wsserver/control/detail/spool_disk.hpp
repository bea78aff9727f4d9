// The system calls that a spool makes on its files. A test fails each of them in turn, or ends the process there.
#pragma once

#include <dirent.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/control/spool.hpp"

namespace wsserver {

/// errno as a value.
std::error_code last_error() noexcept;

/// Lets the group read a file, if possible. Otherwise its programs report that they cannot read it.
void share_with(gid_t group, int file);

/// An open folder that is read entry by entry.
struct CloseFolder {
    void operator()(DIR* folder) const noexcept { ::closedir(folder); }
};
using FolderStream = std::unique_ptr<DIR, CloseFolder>;

/// True for `.` and `..`.
bool is_dot(const dirent& entry) noexcept;

/// Trouble that ends by itself or that an operator must end: a full disk, an I/O error. The command waits.
bool is_temporary(std::error_code error);

/// There is no such file.
bool is_gone(std::error_code error);

/// Folders are open descriptors, so that they cannot be replaced between a check and its use. No function follows a
/// link in the last part of a path.
class SpoolDisk {
   public:
    explicit SpoolDisk(SpoolFault before_call) : before_call_(std::move(before_call)) {}

    /// lstat()
    std::error_code examine(const Descriptor& folder, const std::string& name, struct stat& status) const;
    /// Opens a folder for reading from its beginning.
    Result<FolderStream, std::error_code> list(const Descriptor& folder) const;

    /// Whether somebody has a file open for writing.
    enum class Writers : std::uint8_t { none, some, unknown };
    /// Finds out by a lease, which the kernel grants only without writers. `unknown` if the file belongs to another
    /// user, or if the file system has no leases.
    Writers writers_of(const Descriptor& folder, const std::string& name) const;

    /// Opens a file for reading. Never blocks.
    Result<Descriptor, std::error_code> open(const Descriptor& folder, const std::string& name) const;
    /// Reads at most `size` bytes from the beginning; fewer if the file is shorter.
    Result<std::string, std::error_code> read(const Descriptor& file, std::size_t size) const;

    /// Creates a file that only its owner can read.
    Result<Descriptor, std::error_code> create(const Descriptor& folder, const std::string& name) const;
    /// Opens an existing file for writing.
    Result<Descriptor, std::error_code> reopen(const Descriptor& folder, const std::string& name) const;
    /// Allocates the first `size` bytes, so that writing them does not fail for lack of space.
    std::error_code reserve(const Descriptor& file, std::uint64_t size) const;
    /// Replaces the content of a file. It can be called again after an error.
    std::error_code write(const Descriptor& file, const std::vector<std::string_view>& pieces) const;

    /// Renames. Replaces a file of the new name.
    std::error_code move(const Descriptor& from, const std::string& name, const Descriptor& to,
                         const std::string& new_name) const;
    /// Renames, and never replaces an existing file (EEXIST).
    std::error_code move_without_replacing(const Descriptor& from, const std::string& name, const Descriptor& to,
                                           const std::string& new_name) const;
    /// Removes a file. Succeeds if there is none.
    std::error_code remove(const Descriptor& folder, const std::string& name) const;

   private:
    /// The error with which a test lets this call fail.
    std::error_code fault(std::string_view call) const { return before_call_ ? before_call_(call) : std::error_code{}; }
    std::error_code write_zeros(const Descriptor& file, std::uint64_t size) const;

    SpoolFault before_call_;
};

}  // namespace wsserver
