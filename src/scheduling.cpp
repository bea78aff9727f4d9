// Tasks, workers and timers.
#include "wsserver/scheduling/impl/bodies.ipp"
