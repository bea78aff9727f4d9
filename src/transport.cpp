// Addresses and listeners, for every model.
#include "wsserver/transport/impl/bodies.ipp"
