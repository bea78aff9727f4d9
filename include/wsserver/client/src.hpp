// The bodies of this floor and of those below it.
#pragma once

#include "wsserver/base/src.hpp"

#include "wsserver/client/impl/bodies.ipp"
#include "wsserver/connection/src.hpp"
#include "wsserver/transport/asio_src.hpp"
