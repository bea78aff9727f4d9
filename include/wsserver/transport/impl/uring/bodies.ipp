// The bodies of the transport over io_uring. Streams over io_uring.
#pragma once

#include "wsserver/transport/uring_available.hpp"

#if WSSERVER_URING
#include "wsserver/transport/impl/uring/acceptor.ipp"
#include "wsserver/transport/impl/uring/buffers.ipp"
#include "wsserver/transport/impl/uring/loop.ipp"
#include "wsserver/transport/impl/uring/ring.ipp"
#include "wsserver/transport/impl/uring/send.ipp"
#include "wsserver/transport/impl/uring/stream.ipp"
#include "wsserver/transport/impl/uring/streams.ipp"
#include "wsserver/transport/impl/uring/transport.ipp"
#endif
