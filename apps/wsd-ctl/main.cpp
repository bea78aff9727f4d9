// wsd-ctl: sends commands to a running wsd, or acts as a client.
#include "common/standard_streams.hpp"
#include "wsd-ctl/run.hpp"

int main(int argc, char** argv) {
    wsd::open_standard_streams();
    return wsd::ctl::run_command_line({argv + 1, argv + argc}, wsd::ctl::Terminal::real("wsd-ctl"));
}
