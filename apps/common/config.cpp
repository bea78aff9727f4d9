#include "common/config.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <span>

#include "common/config_file.hpp"
#include "common/setting_values.hpp"
#include "common/settings.hpp"
#include "common/units.hpp"
#include "common/wrap.hpp"
#include "wsserver/base/shell_words.hpp"
#include "wsserver/control/command.hpp"

namespace wsd {

namespace {

using wsserver::Result;
using wsserver::Unexpected;

std::vector<std::string> split_at_commas(const std::string& text) {
    std::vector<std::string> parts;
    for (std::size_t begin = 0; begin <= text.size();) {
        const auto end = std::min(text.find(',', begin), text.size());
        const auto part = text.substr(begin, end - begin);
        const auto first = part.find_first_not_of(' ');
        if (first != std::string::npos) parts.push_back(part.substr(first, part.find_last_not_of(' ') - first + 1));
        begin = end + 1;
    }
    return parts;
}

/// Sets the value and records its source; for pairs, one source for each name.
void apply(const Setting& setting, const std::vector<std::string>& values, const std::string& source, Config& config,
           ConfigErrors& errors) {
    if (const auto done = setting.set(config, values); !done) {
        errors.push_back(source + ": " + wsserver::escape_control(done.error()));
        return;
    }
    if (setting.kind != Kind::pairs) {
        config.sources.insert_or_assign(std::string{setting.key}, source);
        return;
    }
    for (const auto& value : values) {
        config.sources.insert_or_assign(std::string{setting.key} + "." + value.substr(0, value.find('=')), source);
    }
}

void read_environment(const Environment& environment, Config& config, ConfigErrors& errors) {
    for (const Setting& setting : settings()) {
        const auto found = environment.find(setting.variable());
        if (found == environment.end()) continue;
        const auto values = setting.repeats() ? split_at_commas(found->second) : std::vector{found->second};
        apply(setting, values, found->first, config, errors);
    }
}

/// Other programs read variables with this prefix, too, so an unknown one is not an error.
void warn_of_unknown_variables(const Environment& environment, Config& config) {
    std::vector<std::string> names{"WSD_CONFIG", "WSD_TIMEOUT"};
    for (const Setting& setting : settings()) names.push_back(setting.variable());
    const std::vector<std::string_view> known{names.begin(), names.end()};
    for (const auto& [name, value] : environment) {
        if (!name.starts_with("WSD_") || std::find(known.begin(), known.end(), name) != known.end()) continue;
        const auto meant = wsserver::closest_match(name, known);
        config.warnings.push_back(fmt::format("the environment variable {} is not known to wsd{}", name,
                                              meant.empty() ? "" : fmt::format("; did you mean {}?", meant)));
    }
}

void read_flags(const Given& flags, Config& config, ConfigErrors& errors) {
    for (const Setting& setting : settings()) {
        std::vector<std::string> values;
        for (const auto& [key, value] : flags) {
            if (key == setting.key) values.push_back(value);
        }
        if (values.empty()) continue;
        if (!setting.repeats()) values = {values.back()};  // the last one wins, so that a script can append
        apply(setting, values, std::string{setting.flag}, config, errors);
    }
}

/// A file that was asked for must exist; the default file may be missing.
void read_file(const ConfigRequest& request, Config& config, ConfigErrors& errors) {
    const auto variable = request.environment.find("WSD_CONFIG");
    std::string asked = request.file;
    if (asked.empty() && variable != request.environment.end()) asked = variable->second;
    struct stat status {};
    const bool there = ::stat(request.places.config_file.c_str(), &status) == 0;
    config.file = !asked.empty() ? asked : there ? request.places.config_file : std::string{};
    if (config.file.empty()) return;
    read_config_file(config.file, config, errors);
    if (::stat(config.file.c_str(), &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & S_IWOTH) != 0) {
        config.warnings.push_back(fmt::format("the configuration {} is world-writable (chmod o-w)", config.file));
    }
}

void check_together(const Config& config, ConfigErrors& errors) {
    if (config.server.connection.send_queue.high_mark > config.server.connection.send_queue.hard_limit) {
        errors.push_back(fmt::format(
            "limits.send_high_mark ({}, {}) is over limits.send_hard_limit ({}, {})",
            print_size(config.server.connection.send_queue.high_mark), config.source("limits.send_high_mark"),
            print_size(config.server.connection.send_queue.hard_limit), config.source("limits.send_hard_limit")));
    }
    if (config.listen.empty() && config.listen_proxy_protocol.empty()) {
        errors.push_back(fmt::format("listen ({}) is empty: no one could connect", config.source("listen")));
    }
    if (!config.listen_proxy_protocol.empty() && config.server.trusted_proxies.empty()) {
        errors.push_back(
            fmt::format("listen_proxy_protocol ({}) needs trusted_proxies: the addresses of the load "
                        "balancers; no other peer may connect there",
                        config.source("listen_proxy_protocol")));
    }
}

void prepare_demo(Config& config) {
    if (!config.demo || config.handlers.contains("chat")) return;
    config.handlers.emplace("chat", "broadcast");
    config.sources.insert_or_assign("handlers.chat", "--demo");
}

std::string_view table_of(std::string_view key) {
    const auto dot = key.find('.');
    return dot == std::string_view::npos ? std::string_view{} : key.substr(0, dot);
}

/// The tables of the file, in the order of the settings. The first name is empty: for keys before any table.
std::vector<std::string_view> tables() {
    std::vector<std::string_view> names{""};
    for (const Setting& setting : settings()) {
        const auto name = setting.kind == Kind::pairs ? setting.key : table_of(setting.key);
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
    return names;
}

std::string key_in_table(std::string_view key) { return std::string{key.substr(key.rfind('.') + 1)}; }

std::string print_table(const Config& config, std::string_view name) {
    std::string text;
    for (const Setting& setting : settings()) {
        if (setting.kind == Kind::pairs || table_of(setting.key) != name) continue;
        text += fmt::format("{} = {}  # {}\n", key_in_table(setting.key), setting.print(config),
                            wsserver::escape_control(config.source(setting.key)));
    }
    return text;
}

std::string print_pairs_of(const Config& config, const Setting& setting) {
    std::string text;
    for (const auto& [name, value] : setting.pairs(config)) {
        const auto source = config.source(fmt::format("{}.{}", setting.key, name));
        text += fmt::format("{} = {}  # {}\n", quoted(name), quoted(value), wsserver::escape_control(source));
    }
    return text;
}

std::string example_pairs(std::string_view key) {
    return key == "handlers" ? "#chat = \"broadcast\"\n#stock = \"stock.so\"\n" : "#stock = \"file=/etc/wsd/stocks\"\n";
}

std::string example_entry(const Setting& setting, const Config& defaults) {
    auto text = wrap(std::string{setting.help} + (setting.at_start_only ? " (restart)" : ""), "# ", "# ", 100);
    if (setting.kind == Kind::pairs) return text + example_pairs(setting.key);
    return text + fmt::format("#{} = {}\n", key_in_table(setting.key), setting.print(defaults));
}

}  // namespace

std::string_view Config::source(std::string_view key) const {
    const auto found = sources.find(key);
    return found == sources.end() ? std::string_view{"default"} : std::string_view{found->second};
}

Config default_config(const Places& places) {
    Config config;
    config.spool.dir = places.spool;
    config.spool.group_may = wsserver::commands_for_group();
    config.pid_file = places.pid_file;
    config.handler_dir = places.handler_dir;
    return config;
}

Result<Config, ConfigErrors> load_config(const ConfigRequest& request) {
    Config config = default_config(request.places);
    ConfigErrors errors;
    read_file(request, config, errors);
    read_environment(request.environment, config, errors);
    read_flags(request.flags, config, errors);
    if (errors.empty()) check_together(config, errors);
    if (!errors.empty()) return Unexpected{std::move(errors)};
    warn_of_unknown_variables(request.environment, config);
    prepare_demo(config);
    return config;
}

std::string print_config(const Config& config) {
    std::string text =
        config.file.empty() ? "# no configuration file was read\n" : "# read: " + quoted(config.file) + "\n";
    for (const auto table : tables()) {
        if (!table.empty()) text += fmt::format("\n[{}]\n", table);
        const Setting* pairs = find_setting(table);
        text += pairs != nullptr && pairs->pairs ? print_pairs_of(config, *pairs) : print_table(config, table);
    }
    return text;
}

std::string example_config(const Config& defaults) {
    std::string text =
        "# The configuration of wsd, as TOML. Every value shown is the default.\n"
        "#\n"
        "# A flag (--max-message 1MiB) overrides an environment variable (WSD_MAX_MESSAGE=1MiB), which overrides this\n"
        "# file. wsd --check-config says whether the file is valid, wsd --print-config prints the effective values "
        "and\n"
        "# their sources. SIGHUP or `wsd-ctl reload` reads the file again while connections stay open. Changes to\n"
        "# settings marked (restart) take effect at the next start.\n"
        "#\n"
        "# Sizes: 512B, 64KiB, 16MiB, 2GiB. Times: 500ms, 25s, 10m, 2h.\n";
    for (const auto table : tables()) {
        if (!table.empty()) text += fmt::format("\n\n[{}]\n", table);
        for (const Setting& setting : settings()) {
            const auto own = setting.kind == Kind::pairs ? setting.key : table_of(setting.key);
            if (own == table) text += "\n" + example_entry(setting, defaults);
        }
    }
    return text;
}

std::vector<std::string> differences_needing_restart(const Config& running, const Config& wanted) {
    std::vector<std::string> keys;
    for (const Setting& setting : settings()) {
        if (setting.at_start_only && setting.print(running) != setting.print(wanted)) keys.emplace_back(setting.key);
    }
    return keys;
}

}  // namespace wsd
