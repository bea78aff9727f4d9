// Reactors, handlers and workers.
#include "wsserver/server/impl/bodies.ipp"
