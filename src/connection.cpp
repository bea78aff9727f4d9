// One connection: queue, hub, handler.
#include "wsserver/connection/impl/bodies.ipp"
