// The client.
#include "wsserver/client/impl/bodies.ipp"
