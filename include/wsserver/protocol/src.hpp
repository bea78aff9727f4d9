// The bodies of this floor and of base. They need only the standard library.
#pragma once

#include "wsserver/base/src.hpp"

#include "wsserver/protocol/impl/bodies.ipp"
