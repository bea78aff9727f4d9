// Finds the spool of the daemon, as the daemon itself does.
#pragma once

#include <string>
#include <vector>

#include "wsserver/base/result.hpp"

namespace wsd::ctl {

struct FoundSpool {
    std::string path;
    std::vector<std::string> warnings{};
};

/// `given` if it is not empty; otherwise the spool from the environment (`WSD_SPOOL`), the configuration file or the
/// default. An error if these say that there is no spool.
wsserver::Result<FoundSpool, std::string> find_spool(const std::string& given);

/// A spool other than `path` that has a daemon: the system's spool or the user's own. Empty if there is none.
std::string other_served_spool(const std::string& path);

}  // namespace wsd::ctl
