/* The C interface between wsserver and handlers in shared objects: C, C++ (easier with handler.hpp), Rust, Zig.
 *
 * A handler says what happens with the messages of a subprotocol. It is a shared object that exports one function,
 * wsserver_handler_v1(), which returns a table of functions; it gets a table of functions in return. Both tables
 * begin with a version and their size, and grow only at their ends: what is compiled against an older header goes
 * on working.
 *
 * Lifetimes. Every pointer and view that is handed to a function is valid until that function returns, unless it
 * says otherwise. Copy what is needed longer.
 *
 * Threads. Reactions to one connection come in order and one at a time; those to different connections may come
 * at the same time from different threads. What all connections share needs a lock or atomics.
 *
 * Errors. No C++ exception and no longjmp may leave a function of the handler.
 */
#ifndef WSSERVER_HANDLER_H
#define WSSERVER_HANDLER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes only if old handlers can't be loaded any more; then wsserver_handler_v1 gets another name too. */
#define WSSERVER_HANDLER_ABI 1u

#define WSSERVER_EXPORT __attribute__((visibility("default")))

/* What became of something handed over for sending. */
enum {
    WSSERVER_QUEUED = 0,  /* it will leave, unless the connection ends before */
    WSSERVER_DROPPED = 1, /* the send queue is full and the connection's policy dropped it */
    WSSERVER_CLOSED = 2,  /* the connection is gone, or its closing handshake has begun */
    WSSERVER_REFUSED = 3  /* it may not be sent: text that is no UTF-8, a ping of over 125 bytes, a bad close code */
};

/* Where a handler's reactions run. */
enum {
    WSSERVER_INLINE = 0, /* on the thread that serves the connection: fastest, must never block */
    WSSERVER_POOLED = 1  /* on a worker: may block (a database, a file) */
};

enum { WSSERVER_LOG_DEBUG = 0, WSSERVER_LOG_INFO = 1, WSSERVER_LOG_WARNING = 2, WSSERVER_LOG_ERROR = 3 };

/* Close codes of RFC 6455 section 7.4.1 that a handler may want; 3000 to 4999 are the application's own. */
enum {
    WSSERVER_CLOSE_NORMAL = 1000,
    WSSERVER_CLOSE_UNSUPPORTED_DATA = 1003,
    WSSERVER_CLOSE_NO_STATUS = 1005, /* only in on_close: the peer gave none */
    WSSERVER_CLOSE_ABNORMAL = 1006,  /* only in on_close: there was no closing handshake */
    WSSERVER_CLOSE_POLICY_VIOLATION = 1008,
    WSSERVER_CLOSE_INTERNAL_ERROR = 1011,
    WSSERVER_CLOSE_TRY_AGAIN_LATER = 1013
};

/* Characters that somebody else owns; followed by a NUL only where that is said. */
struct wsserver_view {
    const char* data;
    size_t size;
};

/* Names a connection for as long as the process lives; never used twice. generation 0: no connection. */
struct wsserver_connection_id {
    uint32_t reactor;
    uint32_t slot;
    uint32_t generation;
};

/* The connection that a reaction is about. Valid until the reaction returns, and only on its thread; what is to be
 * reached later or from another thread is reached by its id. */
struct wsserver_connection;

struct wsserver_host;

/* Told once with the number of connections that were reached. On any thread, perhaps before the function that it was
 * handed to returns. The handler is not ended before. */
typedef void (*wsserver_count)(void* context, size_t receivers);

/* What the server does for a handler. Handed to create() and valid until destroy() has returned. */
struct wsserver_host {
    uint32_t abi_version; /* WSSERVER_HANDLER_ABI */
    uint32_t size;        /* of this table in bytes, as the server knows it */

    /* --- the connection that a reaction is about; on its thread, until it returns --- */

    /* Queue a message; the payload is copied before they return. Text must be UTF-8. The answer is WSSERVER_QUEUED,
     * ..., WSSERVER_REFUSED, here and wherever an int is returned. */
    int (*send_text)(struct wsserver_connection* connection, const char* text, size_t size);
    int (*send_binary)(struct wsserver_connection* connection, const void* bytes, size_t size);
    /* At most 125 bytes. */
    int (*ping)(struct wsserver_connection* connection, const void* bytes, size_t size);
    /* Begins the closing handshake; a reason is UTF-8 of at most 123 bytes. */
    int (*close)(struct wsserver_connection* connection, uint16_t code, const char* reason, size_t size);

    struct wsserver_connection_id (*id)(const struct wsserver_connection* connection);
    /* What was agreed on in the opening handshake; empty if nothing was. */
    struct wsserver_view (*subprotocol)(const struct wsserver_connection* connection);
    /* The peer's address: "127.0.0.1:5000", "[::1]:5000", "unix:". */
    struct wsserver_view (*peer)(const struct wsserver_connection* connection);
    /* The path and query that the client asked for: "/chat?room=5". */
    struct wsserver_view (*target)(const struct wsserver_connection* connection);
    /* A pointer of the handler's own for each connection; NULL at on_open, not touched by the server. What it points
     * to is freed by the handler, in on_close. */
    void* (*user_data)(const struct wsserver_connection* connection);
    void (*set_user_data)(struct wsserver_connection* connection, void* data);

    /* --- any connection by its id; from any thread. WSSERVER_CLOSED if it is gone. --- */

    int (*send_text_to)(const struct wsserver_host* host, struct wsserver_connection_id to, const char* text,
                        size_t size);
    int (*send_binary_to)(const struct wsserver_host* host, struct wsserver_connection_id to, const void* bytes,
                          size_t size);
    int (*ping_to)(const struct wsserver_host* host, struct wsserver_connection_id to, const void* bytes, size_t size);
    int (*close_to)(const struct wsserver_host* host, struct wsserver_connection_id to, uint16_t code,
                    const char* reason, size_t size);

    /* --- many connections at once; from any thread --- */

    /* To all connections of a subprotocol ("" for those without one; NULL: to all), but not to `except` (NULL: to
     * everybody). `done` may be NULL; if not, it is called in any case, with 0 where the answer isn't
     * WSSERVER_QUEUED. */
    int (*broadcast_text)(const struct wsserver_host* host, const char* subprotocol,
                          const struct wsserver_connection_id* except, const char* text, size_t size,
                          wsserver_count done, void* context);
    int (*broadcast_binary)(const struct wsserver_host* host, const char* subprotocol,
                            const struct wsserver_connection_id* except, const void* bytes, size_t size,
                            wsserver_count done, void* context);
    int (*ping_all)(const struct wsserver_host* host, wsserver_count done, void* context);
    int (*close_all)(const struct wsserver_host* host, uint16_t code, const char* reason, size_t size,
                     wsserver_count done, void* context);

    /* --- words; from any thread --- */

    /* One entry in the server's log. Line ends in it are written as \n. */
    void (*log)(const struct wsserver_host* host, int level, const char* text, size_t size);
    /* Why the call of the handler that runs on this thread is about to fail; for the log, never for the peer. */
    void (*set_error)(const struct wsserver_host* host, const char* text, size_t size);
    /* In on_command: adds to what is answered. */
    void (*answer)(const struct wsserver_host* host, const char* text, size_t size);
};

/* What a handler is. Everything but create may be NULL. The reactions get what create() returned, and return 0 if all
 * is well; anything else closes that connection with 1011 (internal error), is logged, and harms nobody else. */
struct wsserver_handler {
    uint32_t abi_version; /* WSSERVER_HANDLER_ABI */
    uint32_t size;        /* sizeof(struct wsserver_handler) */
    const char* name; /* as lists and logs call it, if the operator doesn't; lives as long as the object is loaded */
    uint32_t runs;    /* WSSERVER_INLINE or WSSERVER_POOLED */

    /* Starts the handler: once for each load, before everything else. `config` is what the operator wrote for it,
     * followed by a NUL, empty if nothing. Returns what all other functions get as their first parameter; NULL: it
     * can't start, set_error() has said why. */
    void* (*create)(const struct wsserver_host* host, const char* config);
    /* Ends it: once, behind everything else. Threads that it started have ended when this returns: its code is
     * unloaded behind it. */
    void (*destroy)(void* handler);

    /* The opening handshake is done. */
    int (*on_open)(void* handler, struct wsserver_connection* connection);
    /* A whole message. Where this is NULL, the connection is closed with 1003 (unsupported data). */
    int (*on_text)(void* handler, struct wsserver_connection* connection, const char* text, size_t size);
    int (*on_binary)(void* handler, struct wsserver_connection* connection, const unsigned char* bytes, size_t size);
    /* At most 125 bytes. The pong has been queued already. */
    int (*on_ping)(void* handler, struct wsserver_connection* connection, const unsigned char* bytes, size_t size);
    int (*on_pong)(void* handler, struct wsserver_connection* connection, const unsigned char* bytes, size_t size);
    /* The last call for a connection that had on_open, exactly once, however it ended. */
    int (*on_close)(void* handler, struct wsserver_connection* connection, uint16_t code, const char* reason,
                    size_t reason_size);

    /* A command of its own (`wsd-ctl call HANDLER WORDS...`); on any thread, also at the same time as reactions. Words
     * are followed by a NUL. What answer() got is the answer; if this doesn't return 0 it is the reason of the
     * failure, or else what set_error() got. */
    int (*on_command)(void* handler, const struct wsserver_view* words, size_t count, const unsigned char* payload,
                      size_t payload_size);
};

/* The one function that a handler exports. Called once for each load; the table lives as long as the object. */
WSSERVER_EXPORT const struct wsserver_handler* wsserver_handler_v1(void);

#ifdef __cplusplus
}
#endif

#endif
