// The folders of a spool as descriptors, so that nobody can exchange them between a check and its use; and the lock.
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

/// errno as a value, taken at once.
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
    std::optional<gid_t> group{};  ///< who may give commands besides us: the folder, or new/, has the setgid bit

    /// All of them are still what lies under their names.
    bool in_place() const;
};

/// Makes what is missing and takes the lock. An error is for people.
Result<SpoolFolders, std::string> open_spool_folders(const std::string& path);

/// An open folder to be read entry by entry.
struct CloseFolder {
    void operator()(DIR* folder) const noexcept { ::closedir(folder); }
};
using FolderStream = std::unique_ptr<DIR, CloseFolder>;

/// Reads `folder` from its beginning; null with errno set if that can't be done.
FolderStream read_folder(const Descriptor& folder);

/// Whether an entry is the folder itself or the one above.
bool is_dot(const dirent& entry) noexcept;

/// Renames without ever replacing what has that name already (EEXIST).
std::error_code move_file(const Descriptor& from, const std::string& name, const Descriptor& to,
                          const std::string& new_name);

/// Creates or replaces a file in cur/ with all of `pieces`, for the spool's group to be read when it is moved to where
/// the group can see it. What can't be written wholly leaves nothing behind.
std::error_code write_file(const SpoolFolders& folders, const std::string& name,
                           const std::vector<std::string_view>& pieces);

}  // namespace wsserver
