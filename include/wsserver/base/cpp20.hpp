// Refuses an older language in plain words. Headers include it before the first that such a language may not have.
#pragma once

#ifdef _MSVC_LANG
#define WSSERVER_LANGUAGE _MSVC_LANG
#else
#define WSSERVER_LANGUAGE __cplusplus
#endif
#if WSSERVER_LANGUAGE < 202002L
#error "wsserver needs C++20: g++ 12, clang++ 14 or newer with -std=c++20"
#endif
#undef WSSERVER_LANGUAGE
