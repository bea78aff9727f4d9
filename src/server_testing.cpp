// A server in memory, for tests of handlers.
#include "wsserver/server/impl/testing.ipp"
