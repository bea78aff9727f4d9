/* A handler that records its commands in a file, which outlives the process: `call record N` appends N and a newline to
 * the file that its configuration names, in one write. `call record abort` ends the process. */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wsserver/handler.h"

static const struct wsserver_host* server;

static void* create(const struct wsserver_host* host, const char* config) {
    static int file;
    server = host;
    file = open(config, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0) return &file;
    static const char why[] = "the configuration does not name a writable file";
    host->set_error(host, why, sizeof(why) - 1);
    return NULL;
}

static void destroy(void* handler) { close(*(int*)handler); }

static int on_command(void* handler, const struct wsserver_view* words, size_t count, const unsigned char* payload,
                      size_t payload_size) {
    (void)payload;
    (void)payload_size;
    char line[64];
    if (count != 1 || words[0].size >= sizeof(line) - 1) return 1;
    if (strcmp(words[0].data, "abort") == 0) abort();
    const int size = snprintf(line, sizeof(line), "%s\n", words[0].data);
    if (write(*(int*)handler, line, (size_t)size) != size) return 1;
    server->answer(server, words[0].data, words[0].size);
    return 0;
}

static const struct wsserver_handler table = {
    .abi_version = WSSERVER_HANDLER_ABI,
    .size = sizeof(table),
    .name = "recorder",
    .runs = WSSERVER_INLINE,
    .create = create,
    .destroy = destroy,
    .on_command = on_command,
};

const struct wsserver_handler* wsserver_handler_v1(void) { return &table; }
