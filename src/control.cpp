// Commands, spool and observer.
#include "wsserver/control/impl/bodies.ipp"
