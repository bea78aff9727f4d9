// wsd-ctl: gives orders to the wsd that runs, or is a client.
#include "run.hpp"

int main(int argc, char** argv) {
    return wsd::ctl::run_command_line({argv + 1, argv + argc}, wsd::ctl::Terminal::real("wsd-ctl"));
}
