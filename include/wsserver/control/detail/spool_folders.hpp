// The folders of a spool as open descriptors, so that they cannot be replaced between a check and its use; and the
// lock.
#pragma once

#include <dirent.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/result.hpp"

namespace wsserver {

/// errno as a value.
std::error_code last_error() noexcept;

struct SpoolFolders {
    std::string path;
    Descriptor root;
    Descriptor lock;
    Descriptor tmp;
    Descriptor fresh;  ///< new/
    Descriptor cur;
    Descriptor done;
    Descriptor failed;
    std::optional<gid_t>
        group{};  ///< may give commands, too: the group of the folder or of new/, if that has the setgid bit

    /// True if all of them are still what their paths lead to.
    bool in_place() const;
};

/// Creates missing folders and takes the lock. An error is one line for people.
Result<SpoolFolders, std::string> open_spool_folders(const std::string& path);

/// An open folder that is read entry by entry.
struct CloseFolder {
    void operator()(DIR* folder) const noexcept { ::closedir(folder); }
};
using FolderStream = std::unique_ptr<DIR, CloseFolder>;

/// Opens `folder` for reading from its beginning. Null with errno set on failure.
FolderStream read_folder(const Descriptor& folder);

/// True for `.` and `..`.
bool is_dot(const dirent& entry) noexcept;

/// Renames, and never replaces an existing file (EEXIST).
std::error_code move_file(const Descriptor& from, const std::string& name, const Descriptor& to,
                          const std::string& new_name);

/// Creates or replaces a file in cur/ with the content `pieces`, readable by the spool's group once it is moved to a
/// folder that the group may enter. On failure no file is left.
std::error_code write_file(const SpoolFolders& folders, const std::string& name,
                           const std::vector<std::string_view>& pieces);

}  // namespace wsserver
