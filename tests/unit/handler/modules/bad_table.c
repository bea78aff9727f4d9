/* A handler whose table has one fault. A macro chooses the fault. */
#include <wsserver/handler.h>

#ifndef NO_CREATE
static void* create(const struct wsserver_host* host, const char* config) {
    (void)config;
    return (void*)host;
}
#endif

static const struct wsserver_handler table = {
#ifdef WRONG_VERSION
    .abi_version = WSSERVER_HANDLER_ABI + 1,
#else
    .abi_version = WSSERVER_HANDLER_ABI,
#endif
#ifdef SHORT
    .size = sizeof(struct wsserver_handler) / 2,
#else
    .size = sizeof(struct wsserver_handler),
#endif
#ifdef BAD_RUNS
    .runs = 7,
#endif
#ifndef NO_CREATE
    .create = create,
#endif
};

#ifdef NO_ENTRY
const struct wsserver_handler* another_function(void);
WSSERVER_EXPORT const struct wsserver_handler* another_function(void) { return &table; }
#elif defined(NO_TABLE)
WSSERVER_EXPORT const struct wsserver_handler* wsserver_handler_v1(void) {
    (void)table;
    return 0;
}
#elif defined(UNDEFINED_SYMBOL)
int a_function_that_is_nowhere(void);
WSSERVER_EXPORT const struct wsserver_handler* wsserver_handler_v1(void) {
    return a_function_that_is_nowhere() ? &table : 0;
}
#else
WSSERVER_EXPORT const struct wsserver_handler* wsserver_handler_v1(void) { return &table; }
#endif
