// Checks which users could change a file whose code this process is about to run.
#pragma once

#include <string>

#include "wsserver/base/result.hpp"

namespace wsserver {

/// Checks that only root and the user of this process (the effective one, or the real one, who started it) can change
/// the open file or put another one in its place: it and all folders of its path belong to them, and no one else may
/// write to them. In a folder with the sticky bit, such as /tmp, others cannot replace it. An error says which part is
/// wrong and what to do.
Result<void, std::string> check_trusted(int file, const std::string& path);

}  // namespace wsserver
