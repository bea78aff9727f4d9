// Handlers by name, and those of shared objects.
#include "wsserver/handler/impl/bodies.ipp"
