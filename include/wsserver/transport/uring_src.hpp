// The bodies of the transport over io_uring. They need liburing; without it this file adds nothing.
#pragma once

#include "wsserver/base/src.hpp"

#include "wsserver/transport/impl/uring/bodies.ipp"
#include "wsserver/transport/src.hpp"
