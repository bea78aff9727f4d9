// The bodies of this floor and of those below it. They need fmt.
#pragma once

#include "wsserver/base/src.hpp"

#include "wsserver/control/impl/bodies.ipp"
#include "wsserver/handler/src.hpp"
#include "wsserver/server/src.hpp"
