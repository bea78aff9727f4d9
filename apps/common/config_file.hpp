// The configuration's TOML file.
#pragma once

#include <string>

#include "common/config.hpp"

namespace wsd {

/// Puts what the file says into `config`. Adds one line to `errors` for everything that is wrong there.
void read_config_file(const std::string& path, Config& config, ConfigErrors& errors);

/// The same for text that came from elsewhere; `path` is only named.
void read_config_text(std::string_view text, const std::string& path, Config& config, ConfigErrors& errors);

}  // namespace wsd
