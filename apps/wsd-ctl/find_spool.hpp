// Finds the spool of the daemon that a command is meant for, as the daemon itself does.
#pragma once

#include <string>
#include <vector>

#include "wsserver/base/result.hpp"

namespace wsd::ctl {

struct FoundSpool {
    std::string path;
    std::vector<std::string> warnings{};
};

/// `given` if it isn't empty; else what the environment (`WSD_SPOOL`), the configuration file and the default say. An
/// error if all of them say that there is to be none.
wsserver::Result<FoundSpool, std::string> find_spool(const std::string& given);

/// A spool that has a daemon though it isn't `path`: the system's, for a user who looked into his own, and the other
/// way round. Empty if there is none.
std::string other_served_spool(const std::string& path);

}  // namespace wsd::ctl
