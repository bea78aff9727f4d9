// The bodies of the transport over Asio. Streams over Asio.
#pragma once

#include "wsserver/transport/impl/asio/acceptor.ipp"
#include "wsserver/transport/impl/asio/connecting.ipp"
#include "wsserver/transport/impl/asio/loop.ipp"
#include "wsserver/transport/impl/asio/stream.ipp"
#include "wsserver/transport/impl/asio/transport.ipp"
