// All bodies of this floor.
#pragma once

#include "wsserver/client/impl/awaitable_state.ipp"
#include "wsserver/client/impl/client.ipp"
#include "wsserver/client/impl/client_impl.ipp"
#include "wsserver/client/impl/relay.ipp"
