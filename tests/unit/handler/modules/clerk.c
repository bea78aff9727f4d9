/* Calls the function for rooms, users, flow control or calls that a message or a command names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsserver/handler.h>

static const struct wsserver_host* host;
static int alive; /* contexts of posted calls */

static void* clerk_create(const struct wsserver_host* given, const char* config) {
    (void)config;
    if (!WSSERVER_HOST_HAS(given, broadcast_binary_to)) return NULL;
    host = given;
    return (void*)given;
}

static int is(const char* word, size_t size, const char* name) {
    return strlen(name) == size && memcmp(word, name, size) == 0;
}

static void send_number(struct wsserver_connection* connection, long number) {
    char line[24];
    const int size = snprintf(line, sizeof line, "=%ld", number);
    host->send_text(connection, line, (size_t)size);
}

static int clerk_upgrade(void* handler, struct wsserver_upgrade* upgrade) {
    (void)handler;
    const struct wsserver_view user = host->upgrade_value(upgrade, WSSERVER_QUERY, "user", 4);
    if (user.data == NULL) return 0;
    return host->upgrade_set_user(upgrade, user.data, user.size);
}

/* A posted call: sends its context, or fails if that is "fail". */
static int called(void* context, struct wsserver_connection* connection) {
    int result = 0;
    if (connection != NULL) {
        if (strcmp(context, "fail") == 0) {
            host->set_error(host, "it was told to", 14);
            result = 5;
        } else {
            host->send_text(connection, context, strlen(context));
        }
    }
    free(context);
    --alive;
    return result;
}
static int post(struct wsserver_connection_id to, unsigned milliseconds, const char* text, size_t size) {
    char* const context = malloc(size + 1);
    if (context == NULL) return -1;
    memcpy(context, text, size);
    context[size] = 0;
    ++alive;
    return host->post(host, to, milliseconds, called, context);
}

/* For "WORD REST": calls the function WORD with REST, and sends its result. */
static int clerk_text(void* handler, struct wsserver_connection* connection, const char* text, size_t size) {
    (void)handler;
    const char* const space = memchr(text, ' ', size);
    const size_t word = space ? (size_t)(space - text) : size;
    const char* const rest = space ? space + 1 : text + size;
    const size_t rest_size = (size_t)(text + size - rest);

    long answer = -1;
    if (is(text, word, "join")) answer = host->join(connection, rest, rest_size);
    if (is(text, word, "leave")) answer = host->leave(connection, rest, rest_size);
    if (is(text, word, "rooms")) {
        struct wsserver_view room;
        for (answer = 0; (room = host->room(connection, (size_t)answer)).data != NULL; ++answer) {
            host->send_text(connection, room.data, room.size);
        }
    }
    if (is(text, word, "user")) {
        const struct wsserver_view user = host->user(connection);
        answer = host->send_text(connection, user.data, user.size);
    }
    if (is(text, word, "set-user")) answer = host->set_user(connection, rest, rest_size);
    if (is(text, word, "field")) {
        const struct wsserver_view value = host->request_field(connection, rest, rest_size);
        answer = value.data ? host->send_text(connection, value.data, value.size) : 100;
    }
    if (is(text, word, "queued")) answer = (long)host->queued(connection);
    if (is(text, word, "space")) answer = host->has_space(connection);
    if (is(text, word, "waiting")) {
        answer = host->send_text_waiting(connection, rest, rest_size) +
                 10 * host->send_binary_waiting(connection, rest, rest_size);
    }
    if (is(text, word, "pause")) answer = host->pause_receiving(connection);
    if (is(text, word, "resume")) answer = host->resume_receiving(connection);
    if (is(text, word, "post")) answer = post(host->id(connection), 0, rest, rest_size);
    if (is(text, word, "nothing")) answer = host->post(host, host->id(connection), 0, NULL, NULL);
    if (is(text, word, "later")) answer = post(host->id(connection), 1000, rest, rest_size);
    send_number(connection, answer);
    return 0;
}

static int clerk_drained(void* handler, struct wsserver_connection* connection) {
    (void)handler;
    return host->send_text(connection, "drained", 7);
}

static void count(void* context, size_t receivers) { *(size_t*)context = receivers; }

/* For the words WORD and ARGUMENT: calls the function WORD for the connection 0-1-1 and another one. */
static int clerk_command(void* handler, const struct wsserver_view* words, size_t word_count,
                         const unsigned char* payload, size_t size) {
    (void)handler;
    const struct wsserver_connection_id to[] = {{0, 1, 1}, {0, 2, 1}};
    const char* const text = (const char*)payload;
    const struct wsserver_view word = words[0];
    struct wsserver_view argument = {"", 0};
    if (word_count > 1) argument = words[1];
    struct wsserver_audience audience = {sizeof audience, NULL, NULL, {NULL, 0}, {NULL, 0}};

    size_t counted = 99;
    long answer = -1;
    if (is(word.data, word.size, "add")) answer = host->add_to_room(host, to[0], argument.data, argument.size);
    if (is(word.data, word.size, "remove")) answer = host->remove_from_room(host, to[0], argument.data, argument.size);
    if (is(word.data, word.size, "user")) answer = host->set_user_of(host, to[0], argument.data, argument.size);
    if (is(word.data, word.size, "queued")) answer = (long)host->queued_of(host, to[0]);
    if (is(word.data, word.size, "pause")) answer = host->pause_receiving_of(host, to[0]);
    if (is(word.data, word.size, "resume")) answer = host->resume_receiving_of(host, to[0]);
    if (is(word.data, word.size, "post")) answer = post(to[0], 250, text, size);
    if (is(word.data, word.size, "each")) {
        answer = host->send_text_to_each(host, to, 2, text, size, count, &counted);
        answer += 10 * host->send_binary_to_each(host, to, 1, text, size, NULL, NULL);
    }
    if (is(word.data, word.size, "room")) {
        audience.room = argument;
        audience.except = to;
        answer = host->broadcast_text_to(host, &audience, text, size, count, &counted);
    }
    if (is(word.data, word.size, "to-user")) {
        audience.user = argument;
        audience.subprotocol = "chat";
        answer = host->broadcast_binary_to(host, &audience, text, size, count, &counted);
    }
    if (is(word.data, word.size, "alive")) answer = alive;
    char line[48];
    const int length = counted == 99 ? snprintf(line, sizeof line, "=%ld", answer)
                                     : snprintf(line, sizeof line, "=%ld of %zu", answer, counted);
    host->answer(host, line, (size_t)length);
    return answer < 0;
}

static const struct wsserver_handler table = {
    .abi_version = WSSERVER_HANDLER_ABI,
    .size = sizeof(struct wsserver_handler),
    .name = "clerk",
    .create = clerk_create,
    .on_text = clerk_text,
    .on_command = clerk_command,
    .on_upgrade = clerk_upgrade,
    .on_drained = clerk_drained,
};

WSSERVER_EXPORT const struct wsserver_handler* wsserver_handler_v1(void) { return &table; }
