// The bodies of the transport over Asio. They need Asio's headers.
#pragma once

#include "wsserver/base/src.hpp"

#include "wsserver/transport/impl/asio/bodies.ipp"
#include "wsserver/transport/src.hpp"
