// wsd-ctl: gives commands to the wsd that runs, or is a client.
#include "common/standard_streams.hpp"
#include "wsd-ctl/run.hpp"

int main(int argc, char** argv) {
    wsd::open_standard_streams();
    return wsd::ctl::run_command_line({argv + 1, argv + argc}, wsd::ctl::Terminal::real("wsd-ctl"));
}
