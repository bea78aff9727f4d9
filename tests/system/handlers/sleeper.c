/* The worst handler: each text message blocks a worker forever. `call sleep FILE` returns when there is such a file.
 * How it starts and ends is configured: `hang` hangs in create(), `hang later` only when it is not tried first, `hang
 * at the end` in destroy() when it is not tried first; `crash` crashes, `crash later` when it is not tried first. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "wsserver/handler.h"

static int is_trial(void) {
    char line[4096] = {0};
    FILE* file = fopen("/proc/self/cmdline", "r");
    size_t size = file ? fread(line, 1, sizeof line - 1, file) : 0;
    if (file) fclose(file);
    for (size_t i = 0; i < size; i += strlen(line + i) + 1) {
        if (strcmp(line + i, "--try-handler") == 0) return 1;
    }
    return 0;
}

static int hangs_at_the_end;

static void* create(const struct wsserver_host* host, const char* config) {
    static char self;
    const int hangs = strcmp(config, "hang") == 0 || (strcmp(config, "hang later") == 0 && !is_trial());
    if (hangs) host->log(host, WSSERVER_LOG_INFO, "sleeper hangs", strlen("sleeper hangs"));
    while (hangs) pause();
    if (strcmp(config, "crash") == 0 || (strcmp(config, "crash later") == 0 && !is_trial())) abort();
    hangs_at_the_end = strcmp(config, "hang at the end") == 0 && !is_trial();
    return &self;
}

static void destroy(void* handler) {
    (void)handler;
    while (hangs_at_the_end) pause();
}

static int on_text(void* handler, struct wsserver_connection* connection, const char* text, size_t size) {
    (void)handler;
    (void)connection;
    (void)text;
    (void)size;
    for (;;) pause();
    return 0;
}

static int on_command(void* handler, const struct wsserver_view* words, size_t count, const unsigned char* payload,
                      size_t payload_size) {
    static const struct timespec moment = {0, 5000000};
    (void)handler;
    (void)payload;
    (void)payload_size;
    if (count != 1) return 1;
    while (access(words[0].data, F_OK) != 0) nanosleep(&moment, NULL);
    return 0;
}

static const struct wsserver_handler table = {
    .abi_version = WSSERVER_HANDLER_ABI,
    .size = sizeof(table),
    .name = "sleeper",
    .runs = WSSERVER_POOLED,
    .create = create,
    .destroy = destroy,
    .on_text = on_text,
    .on_command = on_command,
};

const struct wsserver_handler* wsserver_handler_v1(void) { return &table; }
