// The bodies of testing.hpp and of the floors that it needs.
#pragma once

#include "wsserver/base/src.hpp"

#include "wsserver/server/impl/testing.ipp"
#include "wsserver/server/src.hpp"
