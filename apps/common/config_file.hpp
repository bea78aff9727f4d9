// The configuration's TOML file.
#pragma once

#include <string>

#include "common/config.hpp"

namespace wsd {

/// Reads the file into `config`. Adds one line to `errors` for each error.
void read_config_file(const std::string& path, Config& config, ConfigErrors& errors);

/// The same for a text. `path` is used in errors and sources only.
void read_config_text(std::string_view text, const std::string& path, Config& config, ConfigErrors& errors);

}  // namespace wsd
