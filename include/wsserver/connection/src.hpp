// The bodies of this floor and of those below it. A connection over a memory transport needs no others.
#pragma once

#include "wsserver/base/src.hpp"

#include "wsserver/connection/impl/bodies.ipp"
#include "wsserver/handshake/src.hpp"
#include "wsserver/scheduling/src.hpp"
#include "wsserver/transport/src.hpp"
