// The main function of every unit test. Catch2 v3 brings its own (see catch.hpp).
#define CATCH_CONFIG_MAIN
#include "support/catch.hpp"
