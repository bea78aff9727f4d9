/* A handler for a later version of the interface: its table has an unknown function. Of the known functions it has
 * create only. */
#include <wsserver/handler.h>

struct later_handler {
    struct wsserver_handler known;
    void (*unknown)(void);
};

static void unknown(void) {}

static void* create(const struct wsserver_host* host, const char* config) {
    if (config[0] == 'f') return 0; /* fails without set_error() */
    return (void*)host;
}

static const struct later_handler table = {
    .known = {.abi_version = WSSERVER_HANDLER_ABI, .size = sizeof(struct later_handler), .create = create},
    .unknown = unknown,
};

WSSERVER_EXPORT const struct wsserver_handler* wsserver_handler_v1(void) { return &table.known; }
