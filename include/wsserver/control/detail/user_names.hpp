// The names of users, for the log.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

namespace wsserver {

/// Remembers the names, since the system may have to ask a server for them. For one thread.
class UserNames {
   public:
    /// `www-data (33)`; `33` if the user has no name.
    const std::string& describe(uid_t user);

   private:
    std::map<uid_t, std::string> known_{};
};

}  // namespace wsserver
