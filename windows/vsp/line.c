/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables are in line.h. */
#include "line.h"

#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MS = 1000,
    CONNECT_US = 10000 * MS, /* a host that is there answers well before */
    PAUSE_FIRST_MS = 250,    /* a VM that restarts is back soon */
    STEADY_US = 5000 * MS,   /* up for this long: the next pause is the first one again */
    RETRY_DEFAULT_S = 2,     /* as the relay's endpoints */
    KEEPALIVE_DEFAULT_S = 10,
    SECONDS_MAX = 3600,
    PUMP_ROUNDS = 16, /* blocks in one go, so that a fast peer does not keep the lock */
};

struct line {
    struct os *os;
    struct line_hooks hooks;
    struct serial_port port;
    struct log log;
    struct vsp_settings settings;
    uint8_t *memory;
    struct wire wire;
    bool running, stopping;
    bool removed;
    uint32_t removed_status;
    /* The connection: */
    enum vsp_state state;
    struct os_addresses addresses;
    size_t next_address;
    os_socket peer, listener;
    uint64_t due; /* connecting: give up; pause: try again */
    uint64_t pause_ms;
    uint64_t up_since;
    /* Only the thread opens and closes sockets, as it may be waiting for them; others leave it: */
    bool peer_lost;
    bool restart; /* new settings: begin anew */
    char lost_why[OS_TEXT_MAX];
    /* So that others know when to wake the thread: */
    bool asleep; /* it waits and nobody has woken it; if it is not, it looks for itself before */
    uint64_t wait_due;
    /* For status: */
    char name[VSP_NAME_MAX];
    char peer_text[VSP_TEXT_MAX];
    char problem[VSP_TEXT_MAX];
    uint64_t lost, connections;
    uint64_t socket_events;
    uint32_t wait_units;
};

/* The time is asked for only where somebody wants the line. */
#define LOG(line, level, ...)                                                                      \
    do {                                                                                           \
        if (log_wants(&(line)->log, (level)))                                                      \
            log_line(&(line)->log, (level), os_now(), __VA_ARGS__);                                \
    } while (0)

/* Requests */

struct batch { /* done, to be completed without the lock */
    struct serial_request *first;
};

static void add_to_batch(struct batch *batch, struct line_request *request)
{
    request->serial.next = batch->first;
    batch->first = &request->serial;
}

/* Takes what the port has done; leaves aside what a cancel callback will complete. */
static void settle(struct line *line, struct batch *batch)
{
    struct serial_request *serial = NULL;
    while ((serial = serial_completed(&line->port))) {
        struct line_request *request = (struct line_request *)(void *)serial;
        if (request->marked && !request->cancelling && !line->hooks.unmark(request))
            request->parked = true;
        else
            add_to_batch(batch, request);
    }
}

static void complete_batch(struct line *line, struct batch *batch)
{
    /* Last in is first: turn them round, so that they end in the port's order. */
    struct serial_request *ordered = NULL;
    while (batch->first) {
        struct serial_request *serial = batch->first;
        batch->first = serial->next;
        serial->next = ordered;
        ordered = serial;
    }
    while (ordered) {
        struct serial_request *serial = ordered;
        ordered = serial->next;
        line->hooks.complete((struct line_request *)(void *)serial);
    }
}

static uint64_t next_due(const struct line *line)
{
    uint64_t due = serial_deadline(&line->port);
    if ((line->state == VSP_CONNECTING || line->state == VSP_PAUSE) && line->due < due)
        due = line->due;
    return due;
}

static bool has_peer(const struct line *line)
{
    return line->state == VSP_UP && !line->peer_lost;
}

static bool may_receive(const struct line *line)
{
    return has_peer(line) && !line->wire.dry && wire_wants_to_read(&line->wire, &line->port);
}

static bool may_send(const struct line *line)
{
    return has_peer(line) && !line->wire.clogged && wire_wants_to_write(&line->wire, &line->port);
}

/* Whether the thread has something to do now that the system will not tell it of. */
static bool has_work(const struct line *line)
{
    return line->peer_lost || line->restart || may_receive(line) || may_send(line);
}

/* Ends a call from outside: unlocks, wakes the thread if it waits for the wrong things, completes.
 */
static void leave(struct line *line, struct batch *batch)
{
    settle(line, batch);
    bool wake = line->asleep && (has_work(line) || next_due(line) < line->wait_due);
    if (wake)
        line->asleep = false;
    os_unlock(line->os);
    if (wake)
        os_wake(line->os);
    complete_batch(line, batch);
}

/* The connection */

static void say_problem(struct line *line, const char *text)
{
    if (strcmp(line->problem, text) != 0) /* once for each new reason */
        LOG(line, VSP_LOG_WARNING, "%s", text);
    snprintf(line->problem, sizeof(line->problem), "%s", text);
}

static void update_modem(struct line *line, uint64_t now)
{
    uint32_t lines = line->state == VSP_UP ? wire_modem(&line->wire) : 0;
    if (line->settings.lines == VSP_LINES_ON)
        lines |= SERIAL_MODEM_CTS | SERIAL_MODEM_DSR | SERIAL_MODEM_DCD;
    serial_set_modem(&line->port, now, lines);
}

static void set_state(struct line *line, uint64_t now, enum vsp_state state)
{
    line->state = state;
    update_modem(line, now);
}

static void close_sockets(struct line *line)
{
    os_close(&line->peer);
    os_close(&line->listener);
    line->peer_text[0] = '\0';
}

static void go_idle(struct line *line, uint64_t now)
{
    line->restart = line->peer_lost = false;
    if (line->state == VSP_IDLE)
        return;
    close_sockets(line);
    os_give_up_look_up(line->os);
    set_state(line, now, VSP_IDLE);
    LOG(line, VSP_LOG_INFO, "no connection is wanted now");
}

static void pause_line(struct line *line, uint64_t now)
{
    close_sockets(line);
    line->due = now + line->pause_ms * MS;
    line->pause_ms *= 2;
    if (line->pause_ms > (uint64_t)line->settings.retry * 1000)
        line->pause_ms = (uint64_t)line->settings.retry * 1000;
    if (line->pause_ms < PAUSE_FIRST_MS)
        line->pause_ms = PAUSE_FIRST_MS;
    set_state(line, now, VSP_PAUSE);
}

static void begin(struct line *line, uint64_t now)
{
    set_state(line, now, VSP_LOOKUP);
    os_look_up(line->os, line->settings.host, (uint16_t)line->settings.port,
               line->settings.mode == VSP_LISTEN);
}

static void come_up(struct line *line, uint64_t now)
{
    os_tune(line->peer, line->settings.keepalive);
    os_peer_text(line->peer, line->peer_text, sizeof(line->peer_text));
    line->problem[0] = '\0';
    line->connections++;
    line->up_since = now;
    LOG(line, VSP_LOG_INFO, "connected: %s", line->peer_text);
    wire_start(&line->wire, &line->port, line->settings.telnet, line->settings.mode == VSP_LISTEN);
    set_state(line, now, VSP_UP);
    if (line->settings.mode == VSP_LISTEN)
        serial_ring(&line->port, now);
}

static void lose_peer(struct line *line, uint64_t now, const char *why)
{
    char text[VSP_TEXT_MAX];
    line->peer_lost = false;
    snprintf(text, sizeof(text), "%.100s: %.90s", line->peer_text, why);
    say_problem(line, text);
    os_close(&line->peer);
    line->peer_text[0] = '\0';
    if (now - line->up_since >= STEADY_US)
        line->pause_ms = PAUSE_FIRST_MS;
    if (line->settings.mode == VSP_LISTEN)
        set_state(line, now, VSP_LISTENING);
    else
        pause_line(line, now);
}

/* Tries addresses, from the next one on, until one is under way. */
static void connect_next(struct line *line, uint64_t now)
{
    char why[OS_TEXT_MAX];
    char where[OS_TEXT_MAX];
    char text[VSP_TEXT_MAX];
    while (line->next_address < line->addresses.count) {
        const struct os_address *address = &line->addresses.list[line->next_address++];
        enum os_result result = os_connect(line->os, address, &line->peer);
        if (result == OS_DONE) {
            come_up(line, now);
            return;
        }
        if (result == OS_AGAIN) {
            line->due = now + CONNECT_US;
            set_state(line, now, VSP_CONNECTING);
            return;
        }
        os_error_text(why, sizeof(why));
        os_address_text(address, where, sizeof(where));
        snprintf(text, sizeof(text), "%.60s: %.120s", where, why);
        say_problem(line, text);
    }
    pause_line(line, now);
}

static void listen_now(struct line *line, uint64_t now)
{
    char why[OS_TEXT_MAX];
    char text[VSP_TEXT_MAX];
    if (os_listen(line->os, &line->addresses.list[0], &line->listener) != OS_DONE) {
        os_error_text(why, sizeof(why));
        snprintf(text, sizeof(text), "cannot listen at port %u: %.140s", line->settings.port, why);
        say_problem(line, text);
        pause_line(line, now);
        return;
    }
    LOG(line, VSP_LOG_INFO, "listening at port %u", os_local_port(line->listener));
    line->problem[0] = '\0';
    set_state(line, now, VSP_LISTENING);
}

static void take_lookup(struct line *line, uint64_t now)
{
    if (line->state != VSP_LOOKUP || !os_looked_up(line->os, &line->addresses))
        return;
    line->next_address = 0;
    if (!line->addresses.count) {
        say_problem(line, line->addresses.problem);
        pause_line(line, now);
    } else if (line->settings.mode == VSP_LISTEN) {
        listen_now(line, now);
    } else {
        connect_next(line, now);
    }
}

static void check_connecting(struct line *line, uint64_t now)
{
    char why[OS_TEXT_MAX] = "no answer";
    char text[VSP_TEXT_MAX];
    enum os_result result = os_connected(line->peer);
    if (result == OS_DONE) {
        come_up(line, now);
        return;
    }
    if (result == OS_AGAIN && now < line->due)
        return;
    if (result == OS_LOST)
        os_error_text(why, sizeof(why));
    snprintf(text, sizeof(text), "%.60s port %u: %.100s", line->settings.host, line->settings.port,
             why);
    say_problem(line, text);
    os_close(&line->peer);
    connect_next(line, now);
}

static void check_listener(struct line *line, uint64_t now)
{
    os_socket peer = OS_NO_SOCKET;
    while (line->listener != OS_NO_SOCKET &&
           os_accept(line->os, line->listener, &peer) == OS_DONE) {
        if (line->state == VSP_UP && line->settings.second == VSP_SECOND_REFUSED) {
            LOG(line, VSP_LOG_WARNING, "a second peer was refused");
            os_close(&peer);
            continue;
        }
        if (line->state == VSP_UP)
            lose_peer(line, now, "another peer took over");
        line->peer = peer;
        come_up(line, now);
    }
}

static bool is_wanted(const struct line *line)
{
    if (line->stopping || line->removed || line->settings.mode == VSP_OFF)
        return false;
    if (line->settings.when == VSP_WHEN_OPEN)
        return line->port.open;
    if (line->settings.when == VSP_WHEN_DTR)
        return line->port.open && (line->port.mcr & SERIAL_LINE_DTR);
    return true;
}

static void step(struct line *line, uint64_t now)
{
    take_lookup(line, now);
    if (line->restart || !is_wanted(line))
        go_idle(line, now);
    if (!is_wanted(line))
        return;
    if (line->peer_lost)
        lose_peer(line, now, line->lost_why);
    if (line->state == VSP_IDLE || (line->state == VSP_PAUSE && now >= line->due))
        begin(line, now);
    else if (line->state == VSP_CONNECTING)
        check_connecting(line, now);
    check_listener(line, now);
}

/* Bytes */

static void note_lost(struct line *line)
{
    os_error_text(line->lost_why, sizeof(line->lost_why));
    line->peer_lost = true;
}

static void send_all(struct line *line, uint64_t now)
{
    if (has_peer(line) && wire_send(&line->wire, &line->port, line->peer, now) == OS_LOST)
        note_lost(line);
}

static void receive_all(struct line *line, uint64_t now)
{
    for (int round = 0; round < PUMP_ROUNDS && may_receive(line); round++)
        if (wire_receive(&line->wire, &line->port, line->peer, now) == OS_LOST)
            note_lost(line);
    update_modem(line, now); /* the far end may have told of its lines */
}

/* What becomes of writes while nobody is connected. */
static void serve_offline(struct line *line, uint64_t now)
{
    const uint8_t *bytes = NULL;
    size_t size = 0;
    if (line->settings.offline == VSP_OFFLINE_FAIL)
        serial_end_writes(&line->port, SERIAL_CONNECTION_DROPPED);
    while (line->settings.offline == VSP_OFFLINE_DISCARD &&
           (size = serial_output(&line->port, &bytes)) > 0) {
        line->lost += size;
        serial_sent(&line->port, now, size);
    }
}

static void pump(struct line *line, uint64_t now)
{
    if (line->removed) {
        serial_end_all(&line->port, line->removed_status);
        return;
    }
    send_all(line, now);
    if (line->state != VSP_UP)
        serve_offline(line, now);
}

static void run(void *context)
{
    struct line *line = context;
    os_lock(line->os);
    while (!line->stopping) {
        struct batch batch = {NULL};
        uint64_t now = os_now();
        step(line, now);
        pump(line, now);
        receive_all(line, now);
        pump(line, now); /* answers to them */
        if (line->peer_lost)
            step(line, now);
        serial_tick(&line->port, now);
        settle(line, &batch);
        uint64_t due = line->wait_due = next_due(line);
        bool sleep = line->asleep = !has_work(line);
        os_unlock(line->os);
        complete_batch(line, &batch);
        if (sleep)
            os_wait(line->os, due);
        os_lock(line->os);
        line->asleep = false;
        if (sleep)
            line->wire.dry = line->wire.clogged = false; /* what has woken us may be either */
        line->socket_events += sleep;
    }
    go_idle(line, os_now());
    os_unlock(line->os);
}

/* From outside */

struct line *line_create(const struct line_hooks *hooks)
{
    struct line *line = calloc(1, sizeof(*line));
    if (!line)
        return NULL;
    line->memory = calloc(1, SERIAL_MEMORY);
    line->os = os_create(run, line);
    if (!line->memory || !line->os) {
        line_destroy(line);
        return NULL;
    }
    line->hooks = *hooks;
    line->peer = line->listener = OS_NO_SOCKET;
    line->pause_ms = PAUSE_FIRST_MS;
    serial_init(&line->port, line->memory);
    line_default_settings(&line->settings);
    line->log.level = line->settings.log_level;
    line->log.os = line->os;
    return line;
}

void line_destroy(struct line *line)
{
    if (line->os)
        os_destroy(line->os);
    free(line->memory);
    free(line);
}

bool line_start(struct line *line)
{
    os_lock(line->os);
    bool start = !line->running;
    line->running = true;
    line->stopping = false;
    os_unlock(line->os);
    if (!start || os_start(line->os))
        return true;
    line->running = false;
    return false;
}

void line_stop(struct line *line)
{
    os_lock(line->os);
    bool stop = line->running;
    line->stopping = true;
    os_unlock(line->os);
    if (!stop)
        return;
    os_wake(line->os);
    os_stop(line->os);
    os_lock(line->os);
    line->running = false;
    os_unlock(line->os);
}

void line_remove(struct line *line, uint32_t status)
{
    struct batch batch = {NULL};
    os_lock(line->os);
    line->removed = true;
    line->removed_status = status;
    serial_end_all(&line->port, status);
    leave(line, &batch);
    os_wake(line->os); /* no connection is wanted any more */
}

uint32_t line_open(struct line *line)
{
    os_lock(line->os);
    uint32_t status = line->removed ? line->removed_status : serial_open(&line->port);
    LOG(line, VSP_LOG_DETAIL, status ? "open refused" : "opened");
    os_unlock(line->os);
    os_wake(line->os); /* a connection may be wanted now */
    return status;
}

void line_close(struct line *line)
{
    struct batch batch = {NULL};
    os_lock(line->os);
    serial_close(&line->port, os_now());
    LOG(line, VSP_LOG_DETAIL, "closed");
    leave(line, &batch);
    os_wake(line->os);
}

/* A request has just been handed to the port. */
static void submitted(struct line *line, uint64_t now, struct line_request *request)
{
    struct batch batch = {NULL};
    pump(line, now);
    if (request->serial.waiting && request->serial.kind == SERIAL_KIND_READ)
        receive_all(line, now); /* bytes that are there end it here, in the program's own call */
    if (request->serial.waiting) {
        if (line->hooks.mark(request))
            request->marked = true;
        else
            serial_cancel(&line->port, now, &request->serial);
    }
    leave(line, &batch);
}

void line_read(struct line *line, struct line_request *request)
{
    os_lock(line->os);
    uint64_t now = os_now();
    LOG(line, VSP_LOG_ALL, "read %u", (unsigned)request->serial.size);
    serial_read(&line->port, now, &request->serial);
    submitted(line, now, request);
}

void line_write(struct line *line, struct line_request *request)
{
    os_lock(line->os);
    uint64_t now = os_now();
    LOG(line, VSP_LOG_ALL, "write %u", (unsigned)request->serial.size);
    serial_write(&line->port, now, &request->serial);
    submitted(line, now, request);
}

void line_control(struct line *line, struct line_request *request, uint32_t code, const uint8_t *in,
                  size_t in_size)
{
    os_lock(line->os);
    uint64_t now = os_now();
    const char *name = serial_control_name(code);
    LOG(line, VSP_LOG_ALL, "control %s (%08x)", name ? name : "unknown", (unsigned)code);
    bool dtr = (line->port.mcr & SERIAL_LINE_DTR) != 0;
    serial_control(&line->port, now, code, in, in_size, &request->serial);
    bool changed = dtr != ((line->port.mcr & SERIAL_LINE_DTR) != 0);
    submitted(line, now, request);
    if (changed)
        os_wake(line->os);
}

void line_cancel(struct line *line, struct line_request *request)
{
    struct batch batch = {NULL};
    os_lock(line->os);
    request->cancelling = true;
    if (request->parked)
        add_to_batch(&batch, request);
    else
        serial_cancel(&line->port, os_now(), &request->serial);
    leave(line, &batch);
}

void line_default_settings(struct vsp_settings *settings)
{
    memset(settings, 0, sizeof(*settings));
    settings->size = sizeof(*settings);
    settings->keepalive = KEEPALIVE_DEFAULT_S;
    settings->retry = RETRY_DEFAULT_S;
    settings->log_level = VSP_LOG_INFO;
}

static bool are_sound(const struct vsp_settings *s)
{
    bool known = s->size == sizeof(*s) && s->mode <= VSP_LISTEN && s->telnet <= VSP_RFC2217 &&
                 s->offline <= VSP_OFFLINE_FAIL && s->lines <= VSP_LINES_ON &&
                 s->when <= VSP_WHEN_DTR && s->second <= VSP_SECOND_TAKES_OVER;
    if (!known || s->port > UINT16_MAX || s->keepalive > SECONDS_MAX || s->retry > SECONDS_MAX ||
        !memchr(s->host, 0, sizeof(s->host)))
        return false;
    return s->mode != VSP_CONNECT || (s->port && s->host[0]);
}

bool line_set_settings(struct line *line, const struct vsp_settings *settings)
{
    struct batch batch = {NULL};
    if (!are_sound(settings))
        return false;
    os_lock(line->os);
    uint64_t now = os_now();
    line->settings = *settings;
    line->log.level = settings->log_level;
    line->problem[0] = '\0';
    line->pause_ms = PAUSE_FIRST_MS;
    LOG(line, VSP_LOG_INFO, "settings: mode %u, %s port %u, protocol %u", settings->mode,
        settings->host, settings->port, settings->telnet);
    line->restart = true;
    update_modem(line, now);
    leave(line, &batch);
    return true;
}

void line_begin_change(struct line *line)
{
    os_lock_change(line->os);
}

void line_end_change(struct line *line)
{
    os_unlock_change(line->os);
}

void line_get_settings(struct line *line, struct vsp_settings *settings)
{
    os_lock(line->os);
    *settings = line->settings;
    os_unlock(line->os);
}

void line_get_status(struct line *line, struct vsp_status *status)
{
    os_lock(line->os);
    uint64_t now = os_now();
    /* Settings that the thread has not taken up yet: what stands there is not theirs. */
    bool begins = line->restart && line->settings.mode != VSP_OFF;
    memset(status, 0, sizeof(*status));
    status->size = sizeof(*status);
    status->state = begins ? VSP_LOOKUP : line->state;
    status->open = line->port.open;
    status->modem = line->port.modem & SERIAL_MODEM_LINES;
    status->lines = line->port.mcr & (SERIAL_LINE_DTR | SERIAL_LINE_RTS);
    status->baud = line->port.baud;
    status->in_queue = (uint32_t)line->port.ring.size;
    status->out_queue = (uint32_t)line->port.write_bytes;
    if (!begins && line->listener != OS_NO_SOCKET)
        status->local_port = os_local_port(line->listener);
    if (line->state == VSP_PAUSE && line->due > now)
        status->wait_ms = (uint32_t)((line->due - now) / MS);
    status->received = line->wire.received;
    status->sent = line->wire.sent;
    status->discarded = line->port.totals.discarded;
    status->lost = line->lost;
    status->connections = line->connections;
    status->up_ms = line->state == VSP_UP ? (now - line->up_since) / MS : 0;
    memcpy(status->name, line->name, sizeof(status->name));
    if (!begins)
        memcpy(status->peer, line->peer_text, sizeof(status->peer));
    memcpy(status->problem, line->problem, sizeof(status->problem));
    os_unlock(line->os);
}

void line_get_report(struct line *line, struct vsp_report *report)
{
    os_lock(line->os);
    const struct serial_totals *totals = &line->port.totals;
    *report = (struct vsp_report){
        .written = (int64_t)totals->written,
        .read = (int64_t)totals->read,
        .interval_timer = (int64_t)totals->interval_timeouts,
        .total_timer = (int64_t)totals->total_timeouts,
        .socket_events = (int64_t)line->socket_events,
        .read_events = (int64_t)line->wire.read_events,
        .receives = (int64_t)line->wire.receives,
        .read_queue_events = (int64_t)totals->reads,
        .dequeues = (int64_t)totals->dequeues,
        .wait_timeouts = (int64_t)totals->wait_timeouts,
        .log_level = line->log.level,
        .wait_units = line->wait_units,
    };
    os_unlock(line->os);
}

void line_set_wait_units(struct line *line, uint32_t units)
{
    os_lock(line->os);
    line->wait_units = units;
    os_unlock(line->os);
}

void line_set_log_level(struct line *line, uint32_t level)
{
    os_lock(line->os);
    line->settings.log_level = line->log.level = level;
    os_unlock(line->os);
}

void line_set_name(struct line *line, const char *name)
{
    os_lock(line->os);
    snprintf(line->name, sizeof(line->name), "%s", name);
    os_unlock(line->os);
}

void line_reconnect(struct line *line)
{
    struct batch batch = {NULL};
    os_lock(line->os);
    line->pause_ms = PAUSE_FIRST_MS;
    line->restart = true;
    leave(line, &batch);
}

size_t line_read_tail(struct line *line, uint8_t *bytes, size_t size)
{
    os_lock(line->os);
    size_t count = wire_read_tail(&line->wire, bytes, size);
    os_unlock(line->os);
    return count;
}

size_t line_read_log(struct line *line, uint64_t *position, char *text, size_t size)
{
    os_lock(line->os);
    size_t count = log_read(&line->log, position, text, size);
    os_unlock(line->os);
    return count;
}
