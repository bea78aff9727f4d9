// All bodies of this floor. Addresses and listeners, for every model.
#pragma once

#include "wsserver/transport/impl/endpoint.ipp"
#include "wsserver/transport/impl/listener.ipp"
#include "wsserver/transport/impl/peer_address.ipp"
#include "wsserver/transport/impl/send_batch.ipp"
#include "wsserver/transport/impl/socket_address.ipp"
