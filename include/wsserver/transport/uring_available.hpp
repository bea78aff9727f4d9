// Does this build have the transport over io_uring? WSSERVER_URING is 1 or 0. A program that does not define it has the
// transport where liburing's header is found. All units of a program need the same value: targets of the compiled
// library define it.
#pragma once

#include "wsserver/base/cpp20.hpp"

#ifndef WSSERVER_URING
#if __has_include(<liburing.h>)
#define WSSERVER_URING 1
#else
#define WSSERVER_URING 0
#endif
#endif
