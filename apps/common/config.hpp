// The daemon's configuration from its file, environment and flags, and which of them set each value.
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
    std::string dir{};  ///< empty: no spool, so wsd-ctl does not work
    std::chrono::milliseconds keep{std::chrono::minutes{10}};
    std::chrono::milliseconds keep_failed{std::chrono::hours{1}};
    std::vector<std::string> group_may{};  ///< names of commands; commands_for_group() unless it is set
    std::size_t max_answers = 10'000;
    std::uint64_t max_answers_size = std::uint64_t{256} << 20;
    std::uint64_t max_file = std::uint64_t{64} << 20;
};

/// All settings. Every value has a default that works.
struct Config {
    std::vector<std::string> listen{"127.0.0.1:8080"};
    std::vector<std::string> listen_proxy_protocol{};
    wsserver::ServerOptions server{.connection = {.message_timeout = std::chrono::minutes{1}}};
    std::string default_handler = "echo";
    std::map<std::string, std::string> handlers{};        ///< subprotocol -> `echo`, `broadcast`, `null` or a path
    std::map<std::string, std::string> handler_config{};  ///< subprotocol (empty: the default) -> text for its handler
    std::string handler_dir{};
    bool watch_handlers = false;
    std::string user{};      ///< that root becomes; empty: the process keeps its user
    std::string pid_file{};  ///< empty: none
    bool control_stdin = false;
    bool demo = false;
    std::chrono::milliseconds grace{std::chrono::seconds{10}};
    SpoolSettings spool{};
    LogOptions log{};

    std::string file{};  ///< the configuration file that was read, if any
    std::map<std::string, std::string, std::less<>>
        sources{};                        ///< key -> its source: `FILE:LINE`, `WSD_LISTEN`, `--listen`
    std::vector<std::string> warnings{};  ///< not errors, but hardly intended

    /// The source of the value of `key`; `default` if it was not set.
    std::string_view source(std::string_view key) const;
};

/// The values of flags, in the order of the command line: key of the setting and the text.
using Given = std::vector<std::pair<std::string, std::string>>;

struct ConfigRequest {
    Places places{};
    Environment environment{};
    std::string file{};  ///< from `--config`, must exist. Empty: that of WSD_CONFIG, must exist, or that of `places`
    Given flags{};
};

/// One line for each error: where it is (`FILE:LINE:COLUMN`, the variable or the flag), what is wrong, and what would
/// be right.
using ConfigErrors = std::vector<std::string>;

/// Flags override the environment, which overrides the file, which overrides defaults. Reports all errors, not only the
/// first.
wsserver::Result<Config, ConfigErrors> load_config(const ConfigRequest& request);

/// The defaults: no file, no variable, no flag.
Config default_config(const Places& places);

/// Valid TOML that load_config() reads back as `config`. A comment after each value names its source.
std::string print_config(const Config& config);

/// All settings with their help, commented out, as a start for a new configuration.
std::string example_config(const Config& defaults);

/// The keys of settings that differ and cannot change while the daemon runs.
std::vector<std::string> differences_needing_restart(const Config& running, const Config& wanted);

}  // namespace wsd
