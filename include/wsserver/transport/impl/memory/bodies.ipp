// The bodies of the transport in memory. Streams in memory, for tests.
#pragma once

#include "wsserver/transport/impl/memory/network.ipp"
#include "wsserver/transport/impl/memory/stream.ipp"
#include "wsserver/transport/impl/memory/transport.ipp"
