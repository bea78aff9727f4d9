// The folders of a spool as open descriptors, so that they cannot be replaced between a check and its use; and the
// lock.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/result.hpp"

namespace wsserver {

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

}  // namespace wsserver
