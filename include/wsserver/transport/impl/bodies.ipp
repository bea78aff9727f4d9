// The bodies of this floor that all transports share: addresses, listeners and send batches.
#pragma once

#include "wsserver/transport/impl/endpoint.ipp"
#include "wsserver/transport/impl/listener.ipp"
#include "wsserver/transport/impl/peer_address.ipp"
#include "wsserver/transport/impl/send_batch.ipp"
#include "wsserver/transport/impl/socket_address.ipp"
