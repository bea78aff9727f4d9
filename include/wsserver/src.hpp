// All bodies of the library, for exactly one unit of a program that does not link it.
#pragma once

#include "wsserver/base/src.hpp"

#include "wsserver/client/src.hpp"
#include "wsserver/control/src.hpp"
#include "wsserver/server/testing_src.hpp"
