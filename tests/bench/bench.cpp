// The benchmark: compares the library's server with other servers and with a raw TCP echo of the same bytes.
#include <sys/resource.h>

#include <cstdio>
#include <exception>

#include "echo_mode.hpp"
#include "fairness_mode.hpp"
#include "fan_out_mode.hpp"
#include "handshake_mode.hpp"
#include "http_mode.hpp"
#include "memory_mode.hpp"
#include "options.hpp"
#include "server_process.hpp"

namespace {

using namespace wsserver::bench;

void allow_all_descriptors() {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

void run(const Options& options) {
    if (options.mode == "fan-out") return run_fan_out(options);
    if (options.mode == "memory") return run_memory(options);
    if (options.mode == "http") return run_http(options);
    if (options.mode == "handshake") return run_handshake(options);
    if (options.mode == "fairness") return run_fairness(options);
    run_echo(options);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const Options options = parse_options({argv + 1, argv + argc});
        allow_all_descriptors();
        if (const auto core = options.load_core()) pin_to(*core);
        run(options);
        return 0;
    } catch (const WrongUsage& wrong) {
        std::fprintf(stderr, "bench: %s\n", wrong.what());
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench: %s\n", error.what());
        return 1;
    }
}
