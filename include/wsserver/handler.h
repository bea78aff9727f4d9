/** @file
 * The C interface between wsserver and handlers in shared objects. Handlers may be written in C, C++ (easier with
 * handler.hpp), Rust or Zig.
 *
 * A handler reacts to the messages of a subprotocol. It is a shared object that exports one function,
 * wsserver_handler_v1(), which returns a table of functions. The handler gets a table of the server's functions. Both
 * tables begin with a version and their size. They grow only at their ends, so a handler that was compiled with an
 * older header still works.
 *
 * Lifetimes. Every pointer and view that is passed to a function is valid until that function returns, unless its
 * comment says otherwise. Copy the data that is needed longer.
 *
 * Threads. The reactions of one connection are called in order and one at a time. Reactions of different connections
 * may be called at the same time on different threads, as may on_upgrade() and on_command(). Data that they share needs
 * a lock or atomics.
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

/** The version of the interface. It changes only if old handlers can no longer be loaded. Then wsserver_handler_v1 gets
 * another name, too. */
#define WSSERVER_HANDLER_ABI 1u

/** Exports a function from the shared object. */
#define WSSERVER_EXPORT __attribute__((visibility("default")))

/** The result of a send. */
enum {
    WSSERVER_QUEUED = 0,  /**< it will be sent, unless the connection ends before */
    WSSERVER_DROPPED = 1, /**< the send queue is full and the connection's policy dropped it */
    WSSERVER_CLOSED = 2,  /**< the connection is gone, or its closing handshake has started */
    WSSERVER_REFUSED = 3  /**< it may not be sent: text that is not UTF-8, a ping over 125 bytes, a bad close code */
};

/** Where a handler's reactions run. */
enum {
    WSSERVER_INLINE = 0, /**< on the thread that serves the connection: fastest, must never block */
    WSSERVER_POOLED = 1  /**< on a worker: may block (a database, a file) */
};

/** The level of a log entry. */
enum {
    WSSERVER_LOG_DEBUG = 0,   /**< for debugging */
    WSSERVER_LOG_INFO = 1,    /**< a normal event */
    WSSERVER_LOG_WARNING = 2, /**< a problem that does not stop the handler */
    WSSERVER_LOG_ERROR = 3    /**< a failure */
};

/** The close codes of RFC 6455 section 7.4.1 that handlers use. 3000 to 4999 are the application's own. */
enum {
    WSSERVER_CLOSE_NORMAL = 1000,           /**< the purpose of the connection is fulfilled */
    WSSERVER_CLOSE_UNSUPPORTED_DATA = 1003, /**< the endpoint does not accept this type of message */
    WSSERVER_CLOSE_NO_STATUS = 1005,        /**< only in on_close: the peer sent no code */
    WSSERVER_CLOSE_ABNORMAL = 1006,         /**< only in on_close: there was no closing handshake */
    WSSERVER_CLOSE_POLICY_VIOLATION = 1008, /**< a message broke the application's policy */
    WSSERVER_CLOSE_INTERNAL_ERROR = 1011,   /**< the server cannot fulfil the request */
    WSSERVER_CLOSE_TRY_AGAIN_LATER = 1013   /**< the server is overloaded */
};

/** Characters that are owned elsewhere. A NUL follows them only where a comment says so. */
struct wsserver_view {
    const char* data; /**< the first character */
    size_t size;      /**< in bytes */
};

/** Identifies a connection. An id is never used twice while the process lives. */
struct wsserver_connection_id {
    uint32_t reactor;    /**< the number of the connection's reactor */
    uint32_t slot;       /**< the place in the reactor */
    uint32_t generation; /**< distinguishes the connections of one slot; 0: no connection */
};

/** The connection of a reaction. Valid until the reaction returns, and on its thread only. Use the connection's id to
 * reach it later or from another thread. */
struct wsserver_connection;

/** A client's opening handshake, about which on_upgrade() decides. Valid until that returns, and on its thread only. So
 * are all views of it, which the functions for it return. */
struct wsserver_upgrade;

/** What the code of a handler leaves to newer code. Valid until save_state() or save_connection() returns, and on its
 * thread only. */
struct wsserver_state;

/** What wsserver_host.upgrade_value() looks up by its name. */
enum {
    WSSERVER_FIELD = 0, /**< the first header field with this name, without regard to case */
    WSSERVER_QUERY = 1, /**< the first value with this name in the query, percent-decoded; '+' is a space */
    WSSERVER_COOKIE = 2 /**< the first cookie with this name, without quotes around it */
};

struct wsserver_host;

/** Receives the number of connections that were reached. It is called exactly once, on any thread, possibly before the
 * function that it was passed to returns. The handler is not destroyed before. */
typedef void (*wsserver_count)(void* context, size_t receivers);

/** A function that is called with a connection, where its reactions run and in order with them, or with NULL if the
 * call is not made: then it only frees what `context` needs. It is called exactly once, and the handler is not
 * destroyed before. Returns 0 for success, like a reaction. */
typedef int (*wsserver_call)(void* context, struct wsserver_connection* connection);

/** The receivers of a broadcast. Each condition that is set must hold. A view is not set if its `data` is NULL. */
struct wsserver_audience {
    size_t size;                                 /**< sizeof(struct wsserver_audience) */
    const char* subprotocol;                     /**< "": those without one; NULL: all */
    const struct wsserver_connection_id* except; /**< all but this one; NULL: no exception */
    struct wsserver_view room;                   /**< members of this room */
    struct wsserver_view user;                   /**< connections of this user */
};

/** The functions that the server offers to a handler. Passed to create() and valid until destroy() has returned. */
struct wsserver_host {
    uint32_t abi_version; /**< WSSERVER_HANDLER_ABI */
    uint32_t size;        /**< the bytes of this table, as the server knows it */

    /* --- the connection of a reaction: on the reaction's thread, until it returns --- */

    /** Queues a text message, which must be UTF-8. The payload is copied before the function returns. Returns
     * WSSERVER_QUEUED, ..., WSSERVER_REFUSED, like every function here that returns an int. */
    int (*send_text)(struct wsserver_connection* connection, const char* text, size_t size);
    /** Queues a binary message. The payload is copied before the function returns. */
    int (*send_binary)(struct wsserver_connection* connection, const void* bytes, size_t size);
    /** Queues a ping with at most 125 bytes. */
    int (*ping)(struct wsserver_connection* connection, const void* bytes, size_t size);
    /** Starts the closing handshake. The reason is UTF-8 of at most 123 bytes. */
    int (*close)(struct wsserver_connection* connection, uint16_t code, const char* reason, size_t size);

    /** The id of the connection. */
    struct wsserver_connection_id (*id)(const struct wsserver_connection* connection);
    /** The subprotocol of the opening handshake; empty if there is none. */
    struct wsserver_view (*subprotocol)(const struct wsserver_connection* connection);
    /** The peer's address: "127.0.0.1:5000", "[::1]:5000", "unix:". */
    struct wsserver_view (*peer)(const struct wsserver_connection* connection);
    /** The path and query that the client requested: "/chat?room=5". */
    struct wsserver_view (*target)(const struct wsserver_connection* connection);
    /** A pointer for each connection that belongs to the handler. It is NULL in on_open, and the server does not use
     * it. The handler must free its memory in on_close. */
    void* (*user_data)(const struct wsserver_connection* connection);
    /** Sets that pointer. */
    void (*set_user_data)(struct wsserver_connection* connection, void* data);

    /* --- any connection by its id: from any thread; WSSERVER_CLOSED if the connection is gone --- */

    /** Like send_text, to the connection with this id. */
    int (*send_text_to)(const struct wsserver_host* host, struct wsserver_connection_id to, const char* text,
                        size_t size);
    /** Like send_binary, to the connection with this id. */
    int (*send_binary_to)(const struct wsserver_host* host, struct wsserver_connection_id to, const void* bytes,
                          size_t size);
    /** Like ping, to the connection with this id. */
    int (*ping_to)(const struct wsserver_host* host, struct wsserver_connection_id to, const void* bytes, size_t size);
    /** Like close, for the connection with this id. */
    int (*close_to)(const struct wsserver_host* host, struct wsserver_connection_id to, uint16_t code,
                    const char* reason, size_t size);

    /* --- many connections at once: from any thread --- */

    /** Sends a text message to all connections with a subprotocol ("": those without one; NULL: all), except to
     * `except` (NULL: no exception). `done` may be NULL. Otherwise it is called exactly once, with 0 if the result is
     * not WSSERVER_QUEUED. */
    int (*broadcast_text)(const struct wsserver_host* host, const char* subprotocol,
                          const struct wsserver_connection_id* except, const char* text, size_t size,
                          wsserver_count done, void* context);
    /** Like broadcast_text, with a binary message. */
    int (*broadcast_binary)(const struct wsserver_host* host, const char* subprotocol,
                            const struct wsserver_connection_id* except, const void* bytes, size_t size,
                            wsserver_count done, void* context);
    /** Sends a ping to all connections. `done` as for broadcast_text. */
    int (*ping_all)(const struct wsserver_host* host, wsserver_count done, void* context);
    /** Closes all connections. `done` as for broadcast_text. */
    int (*close_all)(const struct wsserver_host* host, uint16_t code, const char* reason, size_t size,
                     wsserver_count done, void* context);

    /* --- texts: from any thread --- */

    /** Writes an entry to the server's log. Its newlines are written as \\n. */
    void (*log)(const struct wsserver_host* host, int level, const char* text, size_t size);
    /** Says why the handler's call on this thread is about to fail. The text is for the log, never for the peer. */
    void (*set_error)(const struct wsserver_host* host, const char* text, size_t size);
    /** In on_command: appends to the answer. */
    void (*answer)(const struct wsserver_host* host, const char* text, size_t size);

    /* --- functions that an older server lacks: WSSERVER_HOST_HAS() says whether they may be called --- */

    /** The value of a parameter of the path that selected the handler: with the pattern "/rooms/{room}", that of
     * "room". It is percent-decoded UTF-8, may contain any character, also NUL and '/', and is valid until the next
     * call of this function on this thread. `data` is NULL if there is no such parameter, or if no path selected the
     * handler. On the reaction's thread, until it returns. */
    struct wsserver_view (*parameter)(const struct wsserver_connection* connection, const char* name, size_t size);

    /* The functions for on_upgrade. A server that calls on_upgrade has them. */

    /** The method of the request: "GET". */
    struct wsserver_view (*upgrade_method)(const struct wsserver_upgrade* upgrade);
    /** The path and query that the client requested: "/chat?room=5". */
    struct wsserver_view (*upgrade_target)(const struct wsserver_upgrade* upgrade);
    /** The client's address, as for peer(). */
    struct wsserver_view (*upgrade_peer)(const struct wsserver_upgrade* upgrade);
    /** The subprotocol with this index that the client asks for, in its order of preference. `data` is NULL from their
     * number on. */
    struct wsserver_view (*upgrade_subprotocol)(const struct wsserver_upgrade* upgrade, size_t index);
    /** Name and value of the header field with this index, in the client's order. Returns 0 from their number on. */
    int (*upgrade_field)(const struct wsserver_upgrade* upgrade, size_t index, struct wsserver_view* name,
                         struct wsserver_view* value);
    /** A value by its name. `kind` is WSSERVER_FIELD, WSSERVER_QUERY or WSSERVER_COOKIE. `data` is NULL if there is
     * none, or if a value of the query is malformed. It may contain any bytes, also NUL. */
    struct wsserver_view (*upgrade_value)(struct wsserver_upgrade* upgrade, int kind, const char* name, size_t size);
    /** Adds a header field to the response, whether the client is accepted or refused: "Set-Cookie",
     * "WWW-Authenticate". Fields that the handshake sets itself, and malformed ones, are left out. Returns
     * WSSERVER_QUEUED, or WSSERVER_DROPPED if memory runs out. */
    int (*upgrade_add_field)(struct wsserver_upgrade* upgrade, const char* name, size_t name_size, const char* value,
                             size_t value_size);
    /** Refuses the client: it gets this response instead of a connection. `status` is 300 to 999; with any other one,
     * returns WSSERVER_REFUSED and does nothing. The last call counts.
     *
     * content_type  of the body, such as "text/plain"; NULL: text in UTF-8; "": no such field
     * body          any bytes; NULL with the size 0: none */
    int (*upgrade_refuse)(struct wsserver_upgrade* upgrade, unsigned status, const char* content_type, const void* body,
                          size_t size);

    /* Rooms, users, flow control and calls. A server that has upgrade_set_user has all of these. */

    /** Says whose connection it will be. `user` is 1 to 255 bytes of UTF-8; with another text, returns
     * WSSERVER_REFUSED and does nothing. */
    int (*upgrade_set_user)(struct wsserver_upgrade* upgrade, const char* user, size_t size);

    /* For the connection of a reaction, on its thread, until it returns. */

    /** The value of a header field of the opening handshake, if the server keeps this field. `data` is NULL
     * otherwise. */
    struct wsserver_view (*request_field)(const struct wsserver_connection* connection, const char* name, size_t size);
    /** Becomes a member of a room: 1 to 255 bytes of UTF-8. The connection leaves its rooms by itself when it ends. */
    int (*join)(struct wsserver_connection* connection, const char* room, size_t size);
    /** Leaves a room. */
    int (*leave)(struct wsserver_connection* connection, const char* room, size_t size);
    /** The name of one of its rooms, in no particular order; `data` is NULL from their number on. Valid until the next
     * call with the index 0 on this thread. */
    struct wsserver_view (*room)(const struct wsserver_connection* connection, size_t index);
    /** The id of its user; empty: none. Valid until set_user or the end of the reaction. */
    struct wsserver_view (*user)(const struct wsserver_connection* connection);
    /** Belongs to this user from now on; empty: to none. */
    int (*set_user)(struct wsserver_connection* connection, const char* user, size_t size);

    /** How many bytes wait to be sent or are in flight. */
    size_t (*queued)(const struct wsserver_connection* connection);
    /** 0 if the send queue is over its high mark. Then on_drained follows when it has fallen to half of the mark. */
    int (*has_space)(struct wsserver_connection* connection);
    /** Like send_text, but waits first, as long as has_space is 0. For pooled handlers; otherwise WSSERVER_REFUSED. */
    int (*send_text_waiting)(struct wsserver_connection* connection, const char* text, size_t size);
    /** The same for a binary message. */
    int (*send_binary_waiting)(struct wsserver_connection* connection, const void* bytes, size_t size);
    /** Receives nothing more until resume_receiving. The peer's pings and its close wait, too. */
    int (*pause_receiving)(struct wsserver_connection* connection);
    /** Ends pause_receiving. */
    int (*resume_receiving)(struct wsserver_connection* connection);

    /* For any connection by its id, from any thread. */

    /** Calls `call` with the connection after `milliseconds`, or up to 32 ms later; 0: soon. Never within this function
     * or within another reaction, except with NULL if the result is not WSSERVER_QUEUED. WSSERVER_REFUSED if `call` is
     * NULL. If this code does not serve the connection by then, because another handler does or newer code has taken it
     * over, `call` gets NULL. */
    int (*post)(const struct wsserver_host* host, struct wsserver_connection_id to, uint32_t milliseconds,
                wsserver_call call, void* context);
    /** Like join. What the caller sends to the room afterwards reaches the connection. */
    int (*add_to_room)(const struct wsserver_host* host, struct wsserver_connection_id member, const char* room,
                       size_t size);
    /** Like leave. */
    int (*remove_from_room)(const struct wsserver_host* host, struct wsserver_connection_id member, const char* room,
                            size_t size);
    /** Like set_user. */
    int (*set_user_of)(const struct wsserver_host* host, struct wsserver_connection_id of, const char* user,
                       size_t size);
    /** Like queued, in steps of 1 KiB; 0 if the connection is gone. */
    size_t (*queued_of)(const struct wsserver_host* host, struct wsserver_connection_id of);
    /** Like pause_receiving. */
    int (*pause_receiving_of)(const struct wsserver_host* host, struct wsserver_connection_id of);
    /** Like resume_receiving. */
    int (*resume_receiving_of)(const struct wsserver_host* host, struct wsserver_connection_id of);

    /* For many connections at once, from any thread. `done` is as for broadcast_text. */

    /** Sends a text message to each connection of a list of `count` ids. */
    int (*send_text_to_each)(const struct wsserver_host* host, const struct wsserver_connection_id* to, size_t count,
                             const char* text, size_t size, wsserver_count done, void* context);
    /** The same for a binary message. */
    int (*send_binary_to_each)(const struct wsserver_host* host, const struct wsserver_connection_id* to, size_t count,
                               const void* bytes, size_t size, wsserver_count done, void* context);
    /** Sends a text message to an audience. */
    int (*broadcast_text_to)(const struct wsserver_host* host, const struct wsserver_audience* audience,
                             const char* text, size_t size, wsserver_count done, void* context);
    /** The same for a binary message. */
    int (*broadcast_binary_to)(const struct wsserver_host* host, const struct wsserver_audience* audience,
                               const void* bytes, size_t size, wsserver_count done, void* context);

    /* Handing over to newer code. A server that calls save_state or save_connection has it. */

    /** In save_state() and save_connection(): appends bytes. `version` is the number of their format, which the handler
     * chooses; the last call counts. The bytes must not contain pointers. WSSERVER_REFUSED if they are more than
     * WSSERVER_MAX_STATE altogether. */
    int (*write_state)(struct wsserver_state* state, uint32_t version, const void* bytes, size_t size);
};

/** The most bytes that save_state() or save_connection() can leave. */
#define WSSERVER_MAX_STATE (64u * 1024u * 1024u)

/** Whether the server has a function of struct wsserver_host: `if (WSSERVER_HOST_HAS(host, parameter)) ...`. Only
 * functions that were added later need this question. */
#define WSSERVER_HOST_HAS(host, function) \
    ((host)->size >= offsetof(struct wsserver_host, function) + sizeof((host)->function))

/** The functions of a handler. All except create may be NULL. Each reaction gets the result of create() and returns 0
 * for success. Any other result is logged and closes that connection with 1011 (internal error); it affects no other
 * connection. */
struct wsserver_handler {
    uint32_t abi_version; /**< WSSERVER_HANDLER_ABI */
    uint32_t size;        /**< sizeof(struct wsserver_handler) */
    const char* name;     /**< for lists and logs, unless the operator chose one; valid while the object is loaded */
    uint32_t runs;        /**< WSSERVER_INLINE or WSSERVER_POOLED */

    /** Starts the handler. Called once for each load, before all other functions. `config` is the operator's
     * configuration for it, followed by a NUL; empty if there is none. Returns the first argument of all other
     * functions, or NULL if the handler cannot start; then it calls set_error() with the cause. */
    void* (*create)(const struct wsserver_host* host, const char* config);
    /** Ends the handler. Called once, after all other functions. It must end the handler's threads before it returns,
     * because the code is unloaded after it. */
    void (*destroy)(void* handler);

    /** The opening handshake is done. */
    int (*on_open)(void* handler, struct wsserver_connection* connection);
    /** A complete text message. If this is NULL, a text message closes the connection with 1003 (unsupported data). */
    int (*on_text)(void* handler, struct wsserver_connection* connection, const char* text, size_t size);
    /** A complete binary message. If this is NULL, a binary message closes the connection with 1003. */
    int (*on_binary)(void* handler, struct wsserver_connection* connection, const unsigned char* bytes, size_t size);
    /** A ping with at most 125 bytes. The pong is queued already. */
    int (*on_ping)(void* handler, struct wsserver_connection* connection, const unsigned char* bytes, size_t size);
    /** A pong with at most 125 bytes. */
    int (*on_pong)(void* handler, struct wsserver_connection* connection, const unsigned char* bytes, size_t size);
    /** The last call for a connection after on_open. Called exactly once, however the connection ended. */
    int (*on_close)(void* handler, struct wsserver_connection* connection, uint16_t code, const char* reason,
                    size_t reason_size);

    /** A command for the handler (`wsd-ctl call HANDLER WORDS...`). Called on any thread, also at the same time as
     * reactions. A NUL follows each word. Returns 0 for success. The answer is the text passed to answer(). After a
     * failure without such a text it is the text passed to set_error(). */
    int (*on_command)(void* handler, const struct wsserver_view* words, size_t count, const unsigned char* payload,
                      size_t payload_size);

    /* --- functions that an older server does not call --- */

    /** A client asks for a connection that this handler would serve. Called before on_open, after the server has
     * checked the request. Returns 0 to accept the client, or to refuse it after upgrade_refuse(). With any other
     * result the client gets a 500, and the cause is logged. It affects no other client.
     *
     * It may block, wherever the reactions run: a worker calls it, and several may at the same time. A client gets a
     * 503 if nothing is decided within the time of its opening handshake. */
    int (*on_upgrade)(void* handler, struct wsserver_upgrade* upgrade);
    /** The send queue of the connection was over its high mark and has fallen to half of it: the handler may send more
     * while has_space is not 0. */
    int (*on_drained)(void* handler, struct wsserver_connection* connection);

    /* Newer code takes over: `wsd-ctl handler reload`. It is loaded, create() is called, then
     * save_state() of the old and restore_state() of the new code. Then new connections get the new code. Each open
     * connection moves before its next reaction: save_connection() of the old and restore_connection() of the new code
     * are called for it. The old code gets destroy() after the last of its connections, calls and posted calls. */

    /** Saves with write_state() what the new code must know, whatever the connections. Other functions may be called at
     * the same time, and until all connections have moved: what changes after this is not passed on. It may block, like
     * create(). If it returns another number than 0, the old code stays. */
    int (*save_state)(void* handler, struct wsserver_state* state);
    /** Called between create() and all other functions with what the old code has saved. The version is 0 if that is
     * nothing. If it returns another number than 0, the old code stays, and the cause is set_error(). */
    int (*restore_state)(void* handler, uint32_t version, const unsigned char* bytes, size_t size);
    /** The connection moves to newer code: saves with write_state() what that must know about it, and frees the memory
     * of its user_data. It is the last call for the connection, instead of on_close. If this is NULL, connections with
     * user_data stay with this code until they end; those without it move. So does a connection for which it returns
     * another number than 0, which must leave user_data as it was, and one that the new code has no restore_connection
     * for. */
    int (*save_connection)(void* handler, struct wsserver_connection* connection, struct wsserver_state* state);
    /** A connection comes from older code; called instead of on_open. If this is NULL, on_open is called, for those
     * without user_data. user_data is NULL. The version is 0 if the old
     * code has saved nothing. Timers of the old code (post) do not come along: their calls get NULL. With another
     * result than 0 the connection is closed with 1011, and on_close follows. */
    int (*restore_connection)(void* handler, struct wsserver_connection* connection, uint32_t version,
                              const unsigned char* bytes, size_t size);
};

/** The only function that a handler must export. Called once for each load. The table must be valid while the object is
 * loaded. */
WSSERVER_EXPORT const struct wsserver_handler* wsserver_handler_v1(void);

#ifdef __cplusplus
}
#endif

#endif
