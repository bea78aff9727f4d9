/* A handler in C: counts the messages of each connection and replies with the count. `wsd-ctl handler reload counter`
 * replaces its code, and all counts stay.
 *
 *     cc -shared -fPIC -fvisibility=hidden handler_counter.c -o counter.so $(pkg-config --cflags wsserver)
 *     wsd --handler counter=./counter.so
 *     wsd-ctl call counter total
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsserver/handler.h>

/* One object for all connections. Several threads may use it at once, so the total is atomic. */
struct counter {
    const struct wsserver_host* host;
    atomic_ulong total;
};

static void* counter_create(const struct wsserver_host* host, const char* config) {
    (void)config;
    struct counter* counter = malloc(sizeof *counter);
    if (!counter) {
        static const char why[] = "no memory";
        host->set_error(host, why, sizeof why - 1);
        return NULL;
    }
    counter->host = host;
    atomic_init(&counter->total, 0);
    return counter;
}

static void counter_destroy(void* handler) { free(handler); }

/* The count of a connection is its user data. Reactions to one connection never overlap, so it needs no lock. */
static int counter_open(void* handler, struct wsserver_connection* connection) {
    const struct counter* counter = handler;
    unsigned long* count = calloc(1, sizeof *count);
    if (!count) return 1; /* closes this connection with 1011 */
    counter->host->set_user_data(connection, count);
    return 0;
}

static int counter_message(struct counter* counter, struct wsserver_connection* connection) {
    unsigned long* count = counter->host->user_data(connection);
    if (!count) return 1; /* on_open had no memory for it */
    char answer[32];
    const int size = snprintf(answer, sizeof answer, "%lu", ++*count);
    atomic_fetch_add(&counter->total, 1);
    /* The result says whether the text was queued. A lost count does not matter here. */
    counter->host->send_text(connection, answer, (size_t)size);
    return 0;
}

static int counter_text(void* handler, struct wsserver_connection* connection, const char* text, size_t size) {
    (void)text, (void)size;
    return counter_message(handler, connection);
}

static int counter_binary(void* handler, struct wsserver_connection* connection, const unsigned char* bytes,
                          size_t size) {
    (void)bytes, (void)size;
    return counter_message(handler, connection);
}

/* Called exactly once for each connection, however it ended. */
static int counter_close(void* handler, struct wsserver_connection* connection, uint16_t code, const char* reason,
                         size_t reason_size) {
    (void)code, (void)reason, (void)reason_size;
    const struct counter* counter = handler;
    free(counter->host->user_data(connection));
    counter->host->set_user_data(connection, NULL);
    return 0;
}

static int counter_command(void* handler, const struct wsserver_view* words, size_t count, const unsigned char* payload,
                           size_t payload_size) {
    (void)payload, (void)payload_size;
    struct counter* counter = handler;
    const struct wsserver_host* host = counter->host;
    if (count != 1 || strcmp(words[0].data, "total") != 0) {
        static const char usage[] = "the counter knows one word: total\n";
        host->answer(host, usage, sizeof usage - 1);
        return 1;
    }
    char answer[32];
    const int size = snprintf(answer, sizeof answer, "%lu\n", atomic_load(&counter->total));
    host->answer(host, answer, (size_t)size);
    return 0;
}

/* --- newer code takes over ---
 *
 * The numbers are passed on as they are in memory, since old and new code run in the same process. */

enum { format = 1 };

static int counter_save(void* handler, struct wsserver_state* state) {
    struct counter* counter = handler;
    const unsigned long total = atomic_load(&counter->total);
    return counter->host->write_state(state, format, &total, sizeof total);
}

static int counter_restore(void* handler, uint32_t version, const unsigned char* bytes, size_t size) {
    struct counter* counter = handler;
    unsigned long total = 0;
    if (version == format && size == sizeof total) memcpy(&total, bytes, size);
    atomic_store(&counter->total, total);
    return 0;
}

/* The last call for a connection that moves to newer code, instead of counter_close. */
static int counter_save_connection(void* handler, struct wsserver_connection* connection,
                                   struct wsserver_state* state) {
    const struct counter* counter = handler;
    unsigned long* count = counter->host->user_data(connection);
    if (!count) return 0;
    if (counter->host->write_state(state, format, count, sizeof *count) != WSSERVER_QUEUED) return 1;
    free(count);
    return 0;
}

/* The first call for a connection that comes from older code, instead of counter_open. */
static int counter_restore_connection(void* handler, struct wsserver_connection* connection, uint32_t version,
                                      const unsigned char* bytes, size_t size) {
    const struct counter* counter = handler;
    if (counter_open(handler, connection) != 0) return 1;
    if (version == format && size == sizeof(unsigned long)) memcpy(counter->host->user_data(connection), bytes, size);
    return 0;
}

static const struct wsserver_handler counter_table = {
    .abi_version = WSSERVER_HANDLER_ABI,
    .size = sizeof(struct wsserver_handler),
    .name = "counter",
    .runs = WSSERVER_INLINE, /* nothing here blocks */
    .create = counter_create,
    .destroy = counter_destroy,
    .on_open = counter_open,
    .on_text = counter_text,
    .on_binary = counter_binary,
    .on_close = counter_close,
    .on_command = counter_command,
    .save_state = counter_save,
    .restore_state = counter_restore,
    .save_connection = counter_save_connection,
    .restore_connection = counter_restore_connection,
};

WSSERVER_EXPORT const struct wsserver_handler* wsserver_handler_v1(void) { return &counter_table; }
