// All bodies of this floor: reactors, handlers and workers.
#pragma once

#include "wsserver/server/impl/pooled_handler.ipp"
#include "wsserver/server/impl/server.ipp"
#include "wsserver/server/impl/server_hub.ipp"
#include "wsserver/server/impl/server_impl.ipp"
