/* Numbers its texts and those of each connection: "VERSION TEXT N of TOTAL". Hands both over to newer code, unless its
 * configuration names a function that must fail. `timer` asks for a text of this code after a second. */
#define _POSIX_C_SOURCE 200809L /* strdup */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsserver/handler.h>

#ifndef VERSION
#define VERSION 1
#endif

struct ledger {
    const struct wsserver_host* host;
    const char* failing; /* the name of a function */
    atomic_uint total;   /* several threads count */
};

static void* create(const struct wsserver_host* host, const char* config) {
    struct ledger* self = calloc(1, sizeof *self);
    self->host = host;
    self->failing = strdup(config);
    return self;
}
static void destroy(void* handler) {
    struct ledger* self = handler;
    char text[32];
    const int size = snprintf(text, sizeof text, "%d ends", VERSION);
    self->host->log(self->host, WSSERVER_LOG_INFO, text, (size_t)size);
    free((void*)self->failing);
    free(self);
}

static int say(const struct ledger* self, struct wsserver_connection* connection, const char* text) {
    self->host->send_text(connection, text, strlen(text));
    return 0;
}

struct late {
    const struct ledger* self;
};
static int late(void* context, struct wsserver_connection* connection) {
    struct late* late = context;
    if (connection) say(late->self, connection, VERSION == 1 ? "late 1" : "late 2");
    if (!connection) late->self->host->log(late->self->host, WSSERVER_LOG_INFO, "no call", 7);
    free(late);
    return 0;
}

static int on_text(void* handler, struct wsserver_connection* connection, const char* text, size_t size) {
    struct ledger* self = handler;
    char reply[128];
    uint32_t* counter = self->host->user_data(connection);
    if (size == 5 && memcmp(text, "timer", 5) == 0) {
        struct late* asked = malloc(sizeof *asked);
        asked->self = self;
        return self->host->post(self->host, self->host->id(connection), 1000, late, asked);
    }
    if (!counter) {
        counter = calloc(1, sizeof *counter);
        self->host->set_user_data(connection, counter);
    }
    snprintf(reply, sizeof reply, "%d %.*s %u of %u", VERSION, (int)size, text, ++*counter,
             atomic_fetch_add(&self->total, 1) + 1);
    return say(self, connection, reply);
}
static int on_close(void* handler, struct wsserver_connection* connection, uint16_t code, const char* reason,
                    size_t size) {
    struct ledger* self = handler;
    (void)code, (void)reason, (void)size;
    free(self->host->user_data(connection));
    return 0;
}

#ifndef FORGETS
static int fails(const struct ledger* self, const char* function) {
    if (strcmp(self->failing, function) != 0) return 0;
    self->host->set_error(self->host, "on purpose", 10);
    return 1;
}

static int save_state(void* handler, struct wsserver_state* state) {
    struct ledger* self = handler;
    unsigned total;
    if (fails(self, "save_state")) return 1;
    if (strcmp(self->failing, "size") == 0) {
        static char much[1 << 20];
        int i;
        for (i = 0; i < 64; ++i) {
            if (self->host->write_state(state, 1, much, sizeof much) != WSSERVER_QUEUED) return 2;
        }
        return self->host->write_state(state, 1, much, 1) == WSSERVER_REFUSED ? 3 : 4;
    }
    total = atomic_load(&self->total);
    return self->host->write_state(state, VERSION, &total, sizeof total);
}
static int restore_state(void* handler, uint32_t version, const unsigned char* bytes, size_t size) {
    struct ledger* self = handler;
    unsigned total = 0;
    if (fails(self, "restore_state")) return 1;
    if (version != 0 && size == sizeof total) memcpy(&total, bytes, size);
    atomic_store(&self->total, total);
    return 0;
}
static int save_connection(void* handler, struct wsserver_connection* connection, struct wsserver_state* state) {
    struct ledger* self = handler;
    uint32_t* counter = self->host->user_data(connection);
    if (fails(self, "save_connection")) return 1;
    if (counter) self->host->write_state(state, VERSION, counter, sizeof *counter);
    free(counter);
    return 0;
}
static int restore_connection(void* handler, struct wsserver_connection* connection, uint32_t version,
                              const unsigned char* bytes, size_t size) {
    struct ledger* self = handler;
    uint32_t* counter;
    if (fails(self, "restore_connection")) return 1;
    if (version == 0) return 0;
    counter = calloc(1, sizeof *counter);
    memcpy(counter, bytes, size);
    self->host->set_user_data(connection, counter);
    return 0;
}
#endif

static const struct wsserver_handler table = {
    .abi_version = WSSERVER_HANDLER_ABI,
    .size = sizeof(struct wsserver_handler),
    .name = "ledger",
#ifdef POOLED
    .runs = WSSERVER_POOLED,
#endif
    .create = create,
    .destroy = destroy,
    .on_text = on_text,
    .on_close = on_close,
#ifndef FORGETS
    .save_state = save_state,
    .restore_state = restore_state,
    .save_connection = save_connection,
    .restore_connection = restore_connection,
#endif
};

WSSERVER_EXPORT const struct wsserver_handler* wsserver_handler_v1(void) { return &table; }
