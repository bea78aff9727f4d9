// g++ makes the counter unique in the process, so the code stays in memory.
#include "wsserver/handler.hpp"

template <class T>
struct Counted {
    __attribute__((visibility("default"))) static inline int count = 0;
};

struct Unique {
    void on_message(wsserver::AnyConnection&, const wsserver::Text&) { ++Counted<int>::count; }
};

WSSERVER_HANDLER(Unique);
