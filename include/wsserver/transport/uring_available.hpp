// Whether this build has the transport over io_uring: WSSERVER_URING is 1 or 0. Without a definition from outside it has
// it where liburing's header is found. All units of a program must have the same; targets of the compiled library see
// to that.
#pragma once

#ifndef WSSERVER_URING
#if __has_include(<liburing.h>)
#define WSSERVER_URING 1
#else
#define WSSERVER_URING 0
#endif
#endif
