/* Calls the function of the host that a message or a command names, and logs each of its own calls. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsserver/handler.h>

static const struct wsserver_host* host;

static void say(const char* what, const char* text, size_t size) {
    char line[256];
    const int length = snprintf(line, sizeof line, "%s[%.*s]", what, (int)size, text);
    host->log(host, WSSERVER_LOG_INFO, line, (size_t)length);
}

static void* probe_create(const struct wsserver_host* given, const char* config) {
    host = given;
    say("create", config, strlen(config));
    return (void*)given;
}

/* Broadcasts in destroy() must be safe, even though their count can no longer be reported. */
static void count_at_end(void* context, size_t receivers) { *(size_t*)context = receivers + 100; }
static void probe_destroy(void* handler) {
    (void)handler;
    size_t told = 0;
    const int answer = host->broadcast_text(host, NULL, NULL, "bye", 3, count_at_end, &told);
    host->broadcast_text(host, NULL, NULL, "bye", 3, NULL, NULL);
    char line[64];
    const int length = snprintf(line, sizeof line, "%d told %zu", answer, told);
    say("destroy", line, (size_t)length);
}

static int probe_open(void* handler, struct wsserver_connection* connection) {
    (void)handler;
    const struct wsserver_view views[] = {host->subprotocol(connection), host->peer(connection),
                                          host->target(connection)};
    for (int i = 0; i < 3; ++i) say("open", views[i].data, views[i].size);
    host->set_user_data(connection, (void*)host);
    return 0;
}

/* For "WORD REST": calls the function WORD with REST and sends its result as a text to the connection. */
static int probe_text(void* handler, struct wsserver_connection* connection, const char* text, size_t size) {
    (void)handler;
    char word[32] = {0};
    const char* const space = memchr(text, ' ', size);
    const size_t length = space ? (size_t)(space - text) : size;
    memcpy(word, text, length < sizeof word ? length : sizeof word - 1);
    const char* const rest = space ? space + 1 : text + size;
    const size_t rest_size = (size_t)(text + size - rest);

    int answer = -1;
    if (strcmp(word, "text") == 0) answer = host->send_text(connection, rest, rest_size);
    if (strcmp(word, "binary") == 0) answer = host->send_binary(connection, rest, rest_size);
    if (strcmp(word, "ping") == 0) answer = host->ping(connection, rest, rest_size);
    if (strcmp(word, "close") == 0) answer = host->close(connection, 4001, rest, rest_size);
    if (strcmp(word, "bad-utf8") == 0) answer = host->send_text(connection, "\xff", 1);
    if (strcmp(word, "nothing") == 0) answer = host->send_text(connection, NULL, 0);
    if (strcmp(word, "data") == 0) answer = host->user_data(connection) == (void*)host;
    if (strcmp(word, "parameter") == 0 && WSSERVER_HOST_HAS(host, parameter)) {
        const struct wsserver_view value = host->parameter(connection, rest, rest_size);
        answer = value.data ? host->send_text(connection, value.data, value.size) : 100;
    }
    if (strcmp(word, "fail") == 0) {
        if (rest_size > 0) host->set_error(host, rest, rest_size);
        return 7;
    }
    char line[16];
    const int line_size = snprintf(line, sizeof line, "=%d", answer);
    host->send_text(connection, line, (size_t)line_size);
    return 0;
}

static int probe_binary(void* handler, struct wsserver_connection* connection, const unsigned char* bytes,
                        size_t size) {
    (void)handler, (void)connection;
    say("binary", (const char*)bytes, size);
    return 0;
}
static int probe_ping(void* handler, struct wsserver_connection* connection, const unsigned char* bytes, size_t size) {
    (void)handler, (void)connection;
    say("ping", (const char*)bytes, size);
    return 0;
}
static int probe_pong(void* handler, struct wsserver_connection* connection, const unsigned char* bytes, size_t size) {
    (void)handler, (void)connection;
    say("pong", (const char*)bytes, size);
    return 0;
}
static int probe_close(void* handler, struct wsserver_connection* connection, uint16_t code, const char* reason,
                       size_t size) {
    (void)handler, (void)connection, (void)code;
    say("close", reason, size);
    return 0;
}

static void count(void* context, size_t receivers) {
    char line[32];
    const int length = snprintf(line, sizeof line, "%zu", receivers);
    say(context, line, (size_t)length);
}

/* For the words WORD and SUBPROTOCOL: calls the function WORD with the payload, for the connection 0-1-1 (that of
 * RecordingConnection) or for a subprotocol. */
static int probe_command(void* handler, const struct wsserver_view* words, size_t word_count,
                         const unsigned char* payload, size_t size) {
    (void)handler;
    const struct wsserver_connection_id to = {0, 1, 1};
    const char* const text = (const char*)payload;
    const char* const word = word_count > 0 ? words[0].data : "";
    const char* const subprotocol = word_count > 1 ? words[1].data : NULL;

    int answer = -1;
    if (strcmp(word, "text") == 0) answer = host->send_text_to(host, to, text, size);
    if (strcmp(word, "binary") == 0) answer = host->send_binary_to(host, to, text, size);
    if (strcmp(word, "ping") == 0) answer = host->ping_to(host, to, text, size);
    if (strcmp(word, "close") == 0) answer = host->close_to(host, to, 1001, text, size);
    if (strcmp(word, "all-text") == 0) {
        answer = host->broadcast_text(host, subprotocol, &to, text, size, count, "counted");
    }
    if (strcmp(word, "all-binary") == 0) {
        answer = host->broadcast_binary(host, subprotocol, NULL, text, size, NULL, NULL);
    }
    if (strcmp(word, "ping-all") == 0) answer = host->ping_all(host, count, "counted");
    if (strcmp(word, "close-all") == 0) answer = host->close_all(host, 1001, text, size, count, "counted");
    if (strcmp(word, "close-badly") == 0) answer = host->close_all(host, 1005, text, size, count, "counted");
    if (strcmp(word, "fail") == 0) {
        host->set_error(host, text, size);
        return 1;
    }
    char line[16];
    const int length = snprintf(line, sizeof line, "=%d", answer);
    host->answer(host, line, (size_t)length);
    return answer < 0;
}

static const struct wsserver_handler table = {
    .abi_version = WSSERVER_HANDLER_ABI,
    .size = sizeof(struct wsserver_handler),
    .name = "probe",
    .runs = WSSERVER_POOLED,
    .create = probe_create,
    .destroy = probe_destroy,
    .on_open = probe_open,
    .on_text = probe_text,
    .on_binary = probe_binary,
    .on_ping = probe_ping,
    .on_pong = probe_pong,
    .on_close = probe_close,
    .on_command = probe_command,
};

WSSERVER_EXPORT const struct wsserver_handler* wsserver_handler_v1(void) { return &table; }
