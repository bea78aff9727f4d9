#include "wsd-ctl/bench/traffic.hpp"

#include "wsd-ctl/bench/echo_traffic.hpp"
#include "wsd-ctl/bench/fan_out_traffic.hpp"

namespace wsd::ctl::bench {

std::unique_ptr<Traffic> make_traffic(const Options& options, Tally& tally) {
    switch (options.mode) {
        case Mode::echo:
            return std::make_unique<EchoTraffic>(options, tally);
        case Mode::fan_out:
            return std::make_unique<FanOutTraffic>(options, tally);
        case Mode::idle:
        case Mode::handshake:
            break;
    }
    return std::make_unique<Traffic>();
}

}  // namespace wsd::ctl::bench
