// The bodies of this floor and of those below it.
#pragma once

#include "wsserver/base/src.hpp"

#include "wsserver/connection/src.hpp"
#include "wsserver/server/impl/bodies.ipp"
#include "wsserver/transport/asio_src.hpp"
#include "wsserver/transport/uring_src.hpp"
