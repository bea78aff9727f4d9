/* Lets in clients with the cookie `sid`, and gives them another one. The query says what else it does: `show` refuses
 * with all that it sees, `status=N` refuses with N, `fail` and `fail=WHY` fail, `hang` never decides. With OLD the
 * table is one of the time before on_upgrade. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <wsserver/handler.h>

static const struct wsserver_host* host;

static void* create(const struct wsserver_host* given, const char* config) {
    (void)config;
    host = given;
    return WSSERVER_HOST_HAS(host, upgrade_refuse) ? (void*)host : NULL;
}

struct text {
    char bytes[2048];
    size_t size;
};

static void append(struct text* text, const char* label, struct wsserver_view value) {
    if (!value.data) value = (struct wsserver_view){"-", 1};
    const int written = snprintf(text->bytes + text->size, sizeof text->bytes - text->size, "%s%.*s", label,
                                 (int)value.size, value.data);
    if (written > 0 && (size_t)written < sizeof text->bytes - text->size) text->size += (size_t)written;
}

static struct wsserver_view query(struct wsserver_upgrade* upgrade, const char* name) {
    return host->upgrade_value(upgrade, WSSERVER_QUERY, name, strlen(name));
}

static void show(struct wsserver_upgrade* upgrade) {
    struct text seen = {{0}, 0};
    append(&seen, "", host->upgrade_method(upgrade));
    append(&seen, " ", host->upgrade_target(upgrade));
    append(&seen, " peer ", host->upgrade_peer(upgrade));
    for (size_t i = 0; host->upgrade_subprotocol(upgrade, i).data; ++i) {
        append(&seen, " subprotocol ", host->upgrade_subprotocol(upgrade, i));
    }
    struct wsserver_view name, value;
    for (size_t i = 0; host->upgrade_field(upgrade, i, &name, &value); ++i) {
        if (strncmp(name.data, "X-", 2) != 0) continue;
        append(&seen, " ", name);
        append(&seen, "=", value);
    }
    append(&seen, " field ", host->upgrade_value(upgrade, WSSERVER_FIELD, "x-one", 5));
    append(&seen, " no field ", host->upgrade_value(upgrade, WSSERVER_FIELD, "x-two", 5));
    append(&seen, " no kind ", host->upgrade_value(upgrade, 9, "x-one", 5));
    host->upgrade_refuse(upgrade, 403, "", seen.bytes, seen.size);
}

static int on_upgrade(void* handler, struct wsserver_upgrade* upgrade) {
    (void)handler;
    while (query(upgrade, "hang").data) pause();
    const struct wsserver_view why = query(upgrade, "fail");
    if (why.data) {
        if (why.size > 0) host->set_error(host, why.data, why.size);
        return 7;
    }
    if (query(upgrade, "show").data) {
        show(upgrade);
        return 0;
    }
    const struct wsserver_view status = query(upgrade, "status");
    if (status.data) {
        char digits[8] = {0};
        memcpy(digits, status.data, status.size < 7 ? status.size : 7);
        return host->upgrade_refuse(upgrade, (unsigned)atoi(digits), NULL, NULL, 0) == WSSERVER_QUEUED ? 0 : 1;
    }
    if (!host->upgrade_value(upgrade, WSSERVER_COOKIE, "sid", 3).data) {
        host->upgrade_add_field(upgrade, "WWW-Authenticate", 16, "Bearer", 6);
        host->upgrade_refuse(upgrade, 401, NULL, "log in first\n", 13);
        return 0;
    }
    host->upgrade_add_field(upgrade, "Set-Cookie", 10, "seen=1", 6);
    return 0;
}

static int on_text(void* handler, struct wsserver_connection* connection, const char* text, size_t size) {
    (void)handler;
    host->send_text(connection, text, size);
    return 0;
}

static const struct wsserver_handler table = {
    .abi_version = WSSERVER_HANDLER_ABI,
#ifdef OLD
    .size = offsetof(struct wsserver_handler, on_upgrade),
#else
    .size = sizeof(struct wsserver_handler),
#endif
    .name = "doorman",
    .create = create,
    .on_text = on_text,
    .on_upgrade = on_upgrade,
};

WSSERVER_EXPORT const struct wsserver_handler* wsserver_handler_v1(void) { return &table; }
