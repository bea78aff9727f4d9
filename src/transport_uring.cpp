// Streams over io_uring.
#include "wsserver/transport/impl/uring/bodies.ipp"
