// All bodies of this floor. One connection: queue, hub, handler.
#pragma once

#include "wsserver/connection/impl/connection_info.ipp"
#include "wsserver/connection/impl/send_queue.ipp"
