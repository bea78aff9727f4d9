// Files that root could create at the start, and wsd's user perhaps cannot later.
#pragma once

#include <sys/types.h>

#include <string>
#include <system_error>

namespace wsd {

/// Whether the disk, or the user's share of it, has no space. Nothing is wrong with the path, and later it may be
/// possible.
bool is_full_disk(const std::error_code& error);

/// The end of a message about a file that cannot be opened or created: the command with which root permits it to wsd's
/// user, as `; as root: install -o wsd -m 640 /dev/null /var/log/wsd.log`. Empty if permission is not what is missing,
/// or if wsd runs as root. `mode` is for a file that does not exist.
std::string how_to_permit(const std::string& path, const std::error_code& error, mode_t mode);

}  // namespace wsd
