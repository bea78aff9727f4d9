// The unit of a program that has all bodies.
#include <wsserver/src.hpp>
