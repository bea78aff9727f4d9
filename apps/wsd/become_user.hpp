// Gives up the rights of root for those of another user.
#pragma once

#include <span>
#include <string>

#include "wsserver/base/result.hpp"

namespace wsd {

/// The whole process becomes that user, with the user's groups, forever. Before that the files that exist among `files`
/// are given to the user. Does nothing if the process runs as that user already. An error says why it cannot.
wsserver::Result<void, std::string> become_user(const std::string& name, std::span<const std::string> files);

}  // namespace wsd
