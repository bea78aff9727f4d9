// What the daemon was told: by its file, its environment and its flags, and which of them said it.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/places.hpp"
#include "wsserver/base/log_level.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/server.hpp"

namespace wsd {

using wsserver::LogLevel;
enum class LogFormat : std::uint8_t { text, json };

struct LogOptions {
    LogLevel level = LogLevel::info;
    LogFormat format = LogFormat::text;
    std::string file{};  ///< empty: stderr

    friend bool operator==(const LogOptions&, const LogOptions&) = default;
};

struct SpoolSettings {
    std::string dir{};  ///< empty: no spool, and so no wsd-ctl
    std::chrono::milliseconds keep{std::chrono::minutes{10}};
    std::uint64_t max_file = std::uint64_t{64} << 20;
};

/// Every value has a default that works.
struct Config {
    std::vector<std::string> listen{"127.0.0.1:8080"};
    wsserver::ServerOptions server{};
    std::string default_handler = "echo";
    std::map<std::string, std::string> handlers{};        ///< subprotocol -> `echo`, `broadcast`, `null` or a path
    std::map<std::string, std::string> handler_config{};  ///< subprotocol (empty: the default) -> text for its handler
    std::string handler_dir{};
    std::string pid_file{};  ///< empty: none
    bool control_stdin = false;
    bool demo = false;
    std::chrono::milliseconds grace{std::chrono::seconds{10}};
    SpoolSettings spool{};
    LogOptions log{};

    std::string file{};  ///< the configuration file that was read, if any
    std::map<std::string, std::string, std::less<>>
        sources{};                        ///< key -> who set it: `FILE:LINE`, `WSD_LISTEN`, `--listen`
    std::vector<std::string> warnings{};  ///< what is no error but surely no intention

    /// Who set the value of `key`: `default` if nobody did.
    std::string_view source(std::string_view key) const;
};

/// The values of flags, in the order of the command line: key of the setting and the text.
using Given = std::vector<std::pair<std::string, std::string>>;

struct ConfigRequest {
    Places places{};
    Environment environment{};
    std::string file{};  ///< from `--config`: must exist. Empty: WSD_CONFIG's must, that of `places` may.
    Given flags{};
};

/// All that is wrong, one line each: where (`FILE:LINE:COLUMN`, the variable or the flag), what, and what would be
/// right.
using ConfigErrors = std::vector<std::string>;

/// Flags over environment over file over default. Every error is collected, not only the first.
wsserver::Result<Config, ConfigErrors> load_config(const ConfigRequest& request);

/// The defaults: no file, no variable, no flag.
Config default_config(const Places& places);

/// Valid TOML that load_config() reads back as `config`; behind each value a comment says who set it.
std::string print_config(const Config& config);

/// All settings with what they mean, commented out, so that a new configuration can start from it.
std::string example_config(const Config& defaults);

/// What differs between the two and cannot change while the daemon runs: keys.
std::vector<std::string> differences_needing_restart(const Config& running, const Config& wanted);

}  // namespace wsd
