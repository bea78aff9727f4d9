// The opening handshake (RFC 6455 §4), without I/O.
#include "wsserver/handshake/impl/bodies.ipp"
