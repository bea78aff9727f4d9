#include "wsd-ctl/find_spool.hpp"

#include <fmt/format.h>

#include "common/config.hpp"
#include "common/places.hpp"
#include "wsserver/control/spool.hpp"

namespace wsd::ctl {

using wsserver::Result;
using wsserver::Unexpected;

Result<FoundSpool, std::string> find_spool(const std::string& given) {
    if (!given.empty()) return FoundSpool{given};
    const auto environment = wsd::environment();
    const auto places = default_places(environment);
    const auto config = load_config({places, environment});
    if (config && config->spool.dir.empty()) {
        return Unexpected{
            fmt::format("wsd has no spool (set by {}): name one with --spool DIR", config->source("spool.dir"))};
    }
    if (config) return FoundSpool{config->spool.dir};
    // A wsd that was started before the file became invalid must still be reachable.
    const auto variable = environment.find("WSD_SPOOL");
    FoundSpool found{variable != environment.end() ? variable->second : places.spool};
    found.warnings = config.error();
    return found;
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
