/* The worst handler: each text message blocks a worker forever. */
#define _POSIX_C_SOURCE 200809L
#include <unistd.h>

#include "wsserver/handler.h"

static void* create(const struct wsserver_host* host, const char* config) {
    static char self;
    (void)host;
    (void)config;
    return &self;
}

static int on_text(void* handler, struct wsserver_connection* connection, const char* text, size_t size) {
    (void)handler;
    (void)connection;
    (void)text;
    (void)size;
    for (;;) pause();
    return 0;
}

static const struct wsserver_handler table = {
    .abi_version = WSSERVER_HANDLER_ABI,
    .size = sizeof(table),
    .name = "sleeper",
    .runs = WSSERVER_POOLED,
    .create = create,
    .on_text = on_text,
};

const struct wsserver_handler* wsserver_handler_v1(void) { return &table; }
