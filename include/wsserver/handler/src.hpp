// The bodies of this floor and of those below it. They need the dynamic loader (-ldl).
#pragma once

#include "wsserver/base/src.hpp"

#include "wsserver/connection/src.hpp"
#include "wsserver/handler/impl/bodies.ipp"
