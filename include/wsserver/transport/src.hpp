// The bodies of addresses, listeners and the transport in memory. The other models: asio_src.hpp, uring_src.hpp.
#pragma once

#include "wsserver/base/src.hpp"

#include "wsserver/transport/impl/bodies.ipp"
#include "wsserver/transport/impl/memory/bodies.ipp"
