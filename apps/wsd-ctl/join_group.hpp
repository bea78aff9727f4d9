// What to do for a user who may not use a spool.
#pragma once

#include <string>

namespace wsd::ctl {

/// The steps by which root lets the user of this process give commands through the spool, as in docs/operating.md.
std::string how_to_join(const std::string& spool);

}  // namespace wsd::ctl
