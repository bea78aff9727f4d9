// Checks before a start whether the log file and the spool can be where the configuration puts them.
#pragma once

#include "common/config.hpp"

namespace wsd {

/// One line for each place that cannot be used: a folder that does not exist, or in which nothing can be created. What
/// only this user may not do is not an error, since wsd may run as another one. Nothing that it creates stays.
ConfigErrors unusable_places(const Config& config);

}  // namespace wsd
