// Streams in memory, for tests.
#include "wsserver/transport/impl/memory/bodies.ipp"
