// Default paths of the daemon's files.
#pragma once

#include <map>
#include <string>

namespace wsd {

/// The environment variables, by name.
using Environment = std::map<std::string, std::string>;

/// This process's.
Environment environment();

struct Places {
    std::string config_file;  ///< read if it exists
    std::string spool;
    std::string pid_file;
    std::string handler_dir;  ///< for shared objects that are named without a path

    friend bool operator==(const Places&, const Places&) = default;
};

/// For the system's daemon, from the prefix that it was built for (`/etc/wsd/wsd.toml`, `/var/spool/wsd`,
/// `/run/wsd/wsd.pid`, `PREFIX/lib/wsd/handlers`).
Places system_places();

/// For an ordinary user: in `XDG_CONFIG_HOME`, `XDG_STATE_HOME` and `XDG_RUNTIME_DIR`, or where the XDG base directory
/// specification puts them in `HOME`. Without a runtime directory the pid file is next to the spool.
Places user_places(const Environment& environment);

/// system_places() for root, otherwise user_places().
Places default_places(const Environment& environment);

}  // namespace wsd
