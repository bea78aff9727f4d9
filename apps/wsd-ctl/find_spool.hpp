// Finds the spool of the daemon, as the daemon itself does.
#pragma once

#include <string>
#include <vector>

#include "common/places.hpp"
#include "wsserver/base/result.hpp"

namespace wsd::ctl {

struct FoundSpool {
    std::string path;
    bool by_default = false;  ///< neither the user nor a configuration has named it
    std::vector<std::string> warnings{};
};

/// Where to look.
struct SpoolSearch {
    Environment environment = wsd::environment();
    Places own = default_places(environment);
    Places system = system_places();
};

/// `given` if it is not empty; otherwise the spool from the environment (`WSD_SPOOL`), the configuration file or the
/// default. If it is the default, and no wsd of this user runs on it, but one runs on the system's spool: that one. An
/// error if these say that there is no spool.
wsserver::Result<FoundSpool, std::string> find_spool(const std::string& given, const SpoolSearch& search = {});

/// A spool other than `path` that has a daemon: the system's spool or the user's own. Empty if there is none.
std::string other_served_spool(const std::string& path);

}  // namespace wsd::ctl
