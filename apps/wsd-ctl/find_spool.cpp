#include "wsd-ctl/find_spool.hpp"

#include <fmt/format.h>

#include "common/config.hpp"
#include "common/places.hpp"
#include "wsserver/control/spool.hpp"

namespace wsd::ctl {

using wsserver::Result;
using wsserver::Unexpected;

namespace {

/// The spool of a wsd with these places and this environment.
Result<FoundSpool, std::string> configured_spool(const Places& places, const Environment& environment) {
    const auto config = load_config({places, environment});
    if (config && config->spool.dir.empty()) {
        return Unexpected{
            fmt::format("wsd has no spool (set by {}): name one with --spool DIR", config->source("spool.dir"))};
    }
    if (config) return FoundSpool{config->spool.dir, config->source("spool.dir") == "default"};
    // A wsd that was started before the file became invalid must still be reachable.
    const auto variable = environment.find("WSD_SPOOL");
    const bool by_default = variable == environment.end();
    return FoundSpool{by_default ? places.spool : variable->second, by_default, config.error()};
}

/// Also true if this user may not find out, which is worth an error.
bool may_be_served(const std::string& path) {
    const auto holder = wsserver::spool_holder(path);
    return !holder || holder->held;
}

}  // namespace

Result<FoundSpool, std::string> find_spool(const std::string& given, const SpoolSearch& search) {
    if (!given.empty()) return FoundSpool{given};
    auto own = configured_spool(search.own, search.environment);
    if (!own || !own->by_default || may_be_served(own->path)) return own;
    auto system = configured_spool(search.system, {});  // a service does not have this user's environment
    if (system && may_be_served(system->path)) own->path = system->path;
    return own;
}

std::string other_served_spool(const std::string& path) {
    for (const auto& other : {system_places().spool, user_places(environment()).spool}) {
        if (other == path) continue;
        const auto holder = wsserver::spool_holder(other);
        if (holder && holder->held) return other;
    }
    return {};
}

}  // namespace wsd::ctl
