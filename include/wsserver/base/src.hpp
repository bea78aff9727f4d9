// The bodies of this floor. A program that does not link the library includes one src.hpp in exactly one of its units:
// that of the highest floor it uses, or wsserver/src.hpp.
#pragma once

#ifdef WSSERVER_LINKED
#error "src.hpp contains what the wsserver library contains: link the library or include src.hpp, not both"
#endif

#include "wsserver/base/impl/bodies.ipp"
