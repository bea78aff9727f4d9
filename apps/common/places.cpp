#include "common/places.hpp"

#include <pwd.h>
#include <unistd.h>

namespace wsd {

namespace {

std::string value_of(const Environment& environment, const std::string& name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::string{} : found->second;
}

std::string home(const Environment& environment) {
    if (auto home = value_of(environment, "HOME"); !home.empty()) return home;
    const passwd* user = ::getpwuid(::geteuid());
    return user != nullptr && user->pw_dir != nullptr ? user->pw_dir : "/";
}

/// XDG base directory specification: "All paths set in these environment variables must be absolute." Others are
/// ignored.
std::string xdg(const Environment& environment, const std::string& name, const std::string& below_home) {
    auto value = value_of(environment, name);
    if (!value.empty() && value.front() == '/') return value;
    return below_home.empty() ? std::string{} : home(environment) + "/" + below_home;
}

}  // namespace

Environment environment() {
    Environment result;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string text{*entry};
        const auto equals = text.find('=');
        if (equals != std::string::npos) result.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
    return result;
}

Places system_places() {
    return {WSD_SYSCONFDIR "/wsd/wsd.toml", WSD_SPOOLDIR "/wsd", WSD_RUNDIR "/wsd/wsd.pid", WSD_HANDLERDIR};
}

Places user_places(const Environment& environment) {
    const auto state = xdg(environment, "XDG_STATE_HOME", ".local/state") + "/wsd";
    const auto runtime = xdg(environment, "XDG_RUNTIME_DIR", "");
    return {xdg(environment, "XDG_CONFIG_HOME", ".config") + "/wsd/wsd.toml", state + "/spool",
            (runtime.empty() ? state : runtime + "/wsd") + "/wsd.pid", system_places().handler_dir};
}

Places default_places(const Environment& environment) {
    return ::geteuid() == 0 ? system_places() : user_places(environment);
}

}  // namespace wsd
