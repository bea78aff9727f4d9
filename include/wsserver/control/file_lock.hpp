// A lock that only a process with permission to write to its file can hold: those of the spool and of the pid file.
#pragma once

#include <string>
#include <system_error>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/result.hpp"

namespace wsserver {

/// Creates or opens a file and locks it. One process at a time can do so, until it closes the file or ends. Links are
/// not followed. A new file is for its owner only; the caller may let others read it, once it is locked.
///
/// Anyone who may read the file can hold a read lock on it. That is not a lock in this sense: the file is replaced.
///
/// folder   an open folder, or AT_FDCWD
/// errors   resource_unavailable_try_again  another process holds the lock
///          invalid_argument                it is not a regular file
///          others                          it cannot be opened or locked
Result<Descriptor, std::error_code> lock_file(int folder, const std::string& name);

/// Whether another process, or another open file of this one, holds the lock. `file` need only be open for reading.
Result<bool, std::error_code> is_locked(int file);

/// True if `name` still leads to the open file, which has not been removed or replaced.
bool is_in_place(int folder, const std::string& name, int file);

}  // namespace wsserver
