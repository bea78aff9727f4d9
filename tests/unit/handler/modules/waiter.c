/* Waits in create(), destroy() or on_command() until somebody opens a FIFO for writing. Its configuration says where it
 * waits, and the path of the FIFO: `destroy /tmp/fifo`. */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <wsserver/handler.h>

static void wait_in(const char* place, const char* config) {
    const size_t size = strlen(place);
    if (strncmp(config, place, size) != 0 || config[size] != ' ') return;
    const int fifo = open(config + size + 1, O_RDONLY);
    if (fifo >= 0) close(fifo);
}

static void* create(const struct wsserver_host* host, const char* config) {
    (void)host;
    wait_in("create", config);
    return strdup(config);
}

static void destroy(void* handler) {
    wait_in("destroy", handler);
    free(handler);
}

static int on_command(void* handler, const struct wsserver_view* words, size_t count, const unsigned char* payload,
                      size_t size) {
    (void)words, (void)count, (void)payload, (void)size;
    wait_in("on_command", handler);
    return 0;
}

static const struct wsserver_handler table = {
    .abi_version = WSSERVER_HANDLER_ABI,
    .size = sizeof(struct wsserver_handler),
    .name = "waiter",
    .create = create,
    .destroy = destroy,
    .on_command = on_command,
};

WSSERVER_EXPORT const struct wsserver_handler* wsserver_handler_v1(void) { return &table; }
