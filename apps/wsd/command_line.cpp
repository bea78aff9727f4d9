#include "wsd/command_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "common/flags.hpp"
#include "common/settings.hpp"
#include "common/wrap.hpp"
#include "wsserver/base/shell_words.hpp"

namespace wsd {

namespace {

using wsserver::Result;
using wsserver::Unexpected;
using Wants = CommandLine::Wants;

struct Action {
    std::string_view flag;
    std::string_view names;
    std::string_view help;
    Wants wants;
};

constexpr std::array actions{
    Action{"--check-config", "--check-config", "checks the configuration, and exits", Wants::check_config},
    Action{"--print-config", "--print-config", "prints the effective configuration and its sources as TOML, and exits",
           Wants::print_config},
    Action{"--version", "--version,-V", "prints the version, and exits", Wants::version},
    Action{"--help", "--help,-h", "prints this help, and exits", Wants::help},
};

constexpr std::string_view try_handler_help =
    "loads a shared object, starts and ends its handler, and exits; its configuration is the standard input";
constexpr std::string_view config_help = "the configuration file, TOML";

/// The flags that an error may guess. Not --demo, which serves a page: a server must not do that by mistake.
std::vector<std::string_view> flags_to_guess() {
    std::vector<std::string_view> flags{"--config", "--try-handler"};
    for (const Action& action : actions) flags.push_back(action.flag);
    for (const Setting& setting : settings()) {
        if (setting.flag != "--demo") flags.push_back(setting.flag);
    }
    return flags;
}

/// Flags of other servers.
struct ForeignFlags {
    std::string_view hint;
    std::array<std::string_view, 6> flags;  ///< the rest is empty
};

constexpr std::array foreign_flags{
    ForeignFlags{"use --listen :PORT", {"--port", "-p"}},
    ForeignFlags{"use --listen ADDRESS:PORT", {"--host", "--bind", "--address", "--addr", "--interface", "-b"}},
    ForeignFlags{"use --listen unix:PATH", {"--socket", "--unix", "--unix-socket"}},
    ForeignFlags{"wsd stays in the foreground, and systemd runs it as a service (docs/operating.md)",
                 {"--daemon", "--daemonize", "--background", "-d", "-D"}},
    ForeignFlags{"wsd always stays in the foreground", {"--foreground", "--no-daemon", "--nodaemon", "-f"}},
    ForeignFlags{"use --log-level debug", {"--verbose", "--debug", "-v"}},
    ForeignFlags{"wsd has no TLS yet: use nginx or apache in front of it (docs/operating.md)",
                 {"--tls", "--ssl", "--cert", "--key"}},
};

/// Empty if the flag is not known from other servers.
std::string hint_for(std::string_view flag, std::string_view value) {
    if (flag.empty()) return {};
    for (const auto& [hint, flags] : foreign_flags) {
        if (std::find(flags.begin(), flags.end(), flag) == flags.end()) continue;
        const bool is_number = !value.empty() && value.find_first_not_of("0123456789") == std::string_view::npos;
        const bool is_port = is_number && hint == foreign_flags[0].hint;
        return is_port ? fmt::format("use --listen :{}", value) : std::string{hint};
    }
    return {};
}

/// `Flags` splits and pairs. What the values mean is decided by the table of settings.
class Parser {
   public:
    explicit Parser(CommandLine& result) : result_(result) {
        flags_.add_value("--config,-c", result_.config_file);
        flags_.add_value("--try-handler", result_.try_handler);
        for (const Action& action : actions) {
            flags_.add_switch(std::string{action.names}, [this, &action] { result_.wants = action.wants; });
        }
        for (const Setting& setting : settings()) add(setting);
    }

    Result<void, std::string> parse(const std::vector<std::string>& words) {
        auto command = flags_.parse(words);
        if (!command) return Unexpected{command.error()};
        result_.command = *std::move(command);
        if (!result_.try_handler.empty()) result_.wants = Wants::try_handler;
        if (result_.command.empty()) return {};
        if (result_.command.front().starts_with('-')) return Unexpected{unknown(result_.command)};
        if (result_.wants != Wants::serve) {
            return Unexpected{fmt::format("{} is one word too many", result_.command.front())};
        }
        result_.wants = Wants::command;
        return {};
    }

   private:
    void add(const Setting& setting) {
        const std::string flag{setting.flag};
        const auto take = [this, &setting](const std::vector<std::string>& values) {
            for (const auto& value : values) result_.flags.emplace_back(setting.key, value);
        };
        if (setting.kind == Kind::boolean) {
            flags_.add_boolean(flag, [take](bool value) { take({value ? "true" : "false"}); });
        } else {
            flags_.add_values(flag, std::string{setting.placeholder}, take);
        }
    }

    static std::string unknown(const std::vector<std::string>& words) {
        const std::string& flag = words.front();
        const auto equals = flag.find('=');
        const auto value = equals != std::string::npos ? flag.substr(equals + 1) : words.size() > 1 ? words[1] : "";
        const auto name = flag.substr(0, equals);
        if (const auto hint = hint_for(name, value); !hint.empty()) {
            return fmt::format("{} is not a flag of wsd: {}", flag, hint);
        }
        const auto flags = flags_to_guess();
        const auto meant = wsserver::closest_match(name, flags);
        return flag + " is not a flag of wsd" + (meant.empty() ? "" : fmt::format("; did you mean {}?", meant));
    }

    CommandLine& result_;
    Flags flags_{Flags::OtherWords::begin_command};
};

/// Checks the values of flags at once: a wrong value is wrong usage, not a wrong configuration.
Result<void, std::string> check_values(const Given& flags) {
    Config scratch;
    for (const auto& [key, value] : flags) {
        const Setting& setting = *find_setting(key);
        const std::vector<std::string> values{value};
        if (const auto done = setting.set(scratch, values); !done) {
            return Unexpected{fmt::format("{}: {}", setting.flag, done.error())};
        }
    }
    return {};
}

/// `left`, and `text` from a fixed column on.
std::string help_entry(const std::string& left, std::string_view text) {
    constexpr std::size_t column = 30;
    const std::string margin(column, ' ');
    std::string begin = "  " + left;
    if (begin.size() + 2 > column) return begin + "\n" + wrap(text, margin, margin, 100);
    begin.resize(column, ' ');
    return wrap(text, begin, margin, 100);
}

/// A default as a user would type it, without TOML's quotes; empty if there is none.
std::string default_of(const Setting& setting, const Config& defaults) {
    if (setting.kind == Kind::boolean) return {};
    std::string value = setting.print(defaults);
    std::erase_if(value, [](char c) { return c == '"' || c == '[' || c == ']' || c == '{' || c == '}'; });
    return value;
}

std::string describe(const Setting& setting, const Config& defaults) {
    const auto value = default_of(setting, defaults);
    return std::string{setting.help} + (setting.repeats() ? "; may be repeated" : "") +
           (value.empty() ? "" : " [" + value + "]");
}

}  // namespace

Result<CommandLine, std::string> parse_command_line(const std::vector<std::string>& words) {
    CommandLine result;
    if (auto parsed = Parser{result}.parse(words); !parsed) return Unexpected{parsed.error()};
    if (auto good = check_values(result.flags); !good) return Unexpected{good.error()};
    return result;
}

std::string help_text(const Places& places) {
    const Config defaults = default_config(places);
    std::string text =
        "wsd: a WebSocket server. It stays in the foreground, prints where it listens, and takes commands from\n"
        "wsd-ctl, from files in its spool and (with --control-stdin) from stdin.\n"
        "\n"
        "  wsd --demo                                        a chat page on http://127.0.0.1:8080/\n"
        "  wsd --listen :9000                                echoes what clients send, on port 9000 of all addresses\n"
        "  wsd --listen 127.0.0.1:9000 --listen unix:/run/wsd/wsd.sock --handler chat=broadcast\n"
        "  wsd --handler stock=./stock.so --allowed-origin https://example.org\n"
        "  wsd --config wsd.toml --check-config              is it valid?\n"
        "  wsd --print-config                                the effective values and their sources\n"
        "  WSD_MAX_MESSAGE=1MiB wsd                          each flag has a variable; flags override them\n"
        "\n"
        "  wsd status                                        a command to the running wsd, as wsd-ctl status\n"
        "  wsd broadcast 'hello'                             ... to all its connections\n"
        "  wsd help                                          all commands\n"
        "\n"
        "Flags override variables, which override the file, which overrides defaults [in brackets].\n";
    std::string_view group;
    for (const Setting& setting : settings()) {
        if (setting.group != group) {
            group = setting.group;
            text += fmt::format("\n{}\n", group);
        }
        const auto left =
            std::string{setting.flag} + (setting.placeholder.empty() ? "" : " ") + std::string{setting.placeholder};
        text += help_entry(left, describe(setting, defaults));
    }
    text += "\nThis program\n";
    text += help_entry("--config FILE", fmt::format("{}; default: {}, if it exists", config_help, places.config_file));
    for (const Action& action : actions) text += help_entry(std::string{action.flag}, action.help);
    text += help_entry("--try-handler PATH", try_handler_help);
    text +=
        "\n"
        "Signals: HUP reloads configuration and handlers (connections stay open), TERM or INT stops within --grace,\n"
        "a second one at once, USR1 reopens the log file.\n"
        "Exit codes: 0 stopped on request, 1 failed (see stderr), 2 wrong usage, 71 too few descriptors or threads\n"
        "or too little memory to start, 78 invalid configuration, 143 ended by force.\n";
    return text;
}

}  // namespace wsd
