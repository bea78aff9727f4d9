// The bodies of this floor and of base. Programs that use them are built with -pthread.
#pragma once

#include "wsserver/base/src.hpp"

#include "wsserver/scheduling/impl/bodies.ipp"
