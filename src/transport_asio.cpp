// Streams over Asio.
#include "wsserver/transport/impl/asio/bodies.ipp"
