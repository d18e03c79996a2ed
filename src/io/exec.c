/* SPDX-License-Identifier: BSD-2-Clause */
/* exec: a child process, started by the system's shell; it and everything it started end with the
 * connection. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opener.h"

enum {
    EXEC_GRACE_MS = 1000, /* between asking the child to end and killing it */
};

/*
 * One run of the command:
 *
 *   state    event                           next     what happens
 *   running  the shell has ended             over     its status is told
 *   running  connection lost, endpoint_close leaving  asked to end
 *   over     connection lost, endpoint_close closed   what it left behind is asked to end
 *   leaving  EXEC_GRACE_MS are over          leaving  ended at once
 *   leaving  the shell has ended             closed   its status is told, unless it is no news
 */
enum child_state {
    CHILD_RUNNING,
    CHILD_OVER,
    CHILD_LEAVING,
    CHILD_CLOSED,
};

struct child {
    enum child_state state;
    struct platform_command *command;
    uv_timer_t grace;
    struct endpoint *endpoint;
    int open;   /* command and timer: the memory stays until both are closed */
    bool asked; /* we ended it: its status is no news */
};

struct exec_opener {
    struct opener opener;
    struct child *child; /* of the present connection */
};

static void on_child_closed(void *context)
{
    struct child *child = context;
    if (--child->open)
        return;
    struct endpoint *endpoint = child->endpoint;
    free(child);
    endpoint_release(endpoint);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_child_closed(handle->data);
}

static void close_child(struct child *child)
{
    child->state = CHILD_CLOSED;
    platform_command_close(child->command);
    uv_close((uv_handle_t *)&child->grace, on_timer_closed);
}

static void tell_status(const struct child *child, int64_t status, int signal_number)
{
    struct endpoint *endpoint = child->endpoint;
    if (child->asked || endpoint->state == ENDPOINT_CLOSING)
        return;
    if (signal_number)
        endpoint_say(endpoint, ENDPOINT_WARNING, "%.300s: ended by signal %d", endpoint->where,
                     signal_number);
    else if (status)
        endpoint_say(endpoint, ENDPOINT_WARNING, "%.300s: ended with status %d%s", endpoint->where,
                     (int)status,
                     platform_command_missing(status) ? " (the command was not found)" : "");
}

static void on_ended(void *context, int64_t status, int signal_number)
{
    struct child *child = context;
    bool leaving = child->state == CHILD_LEAVING;
    child->state = CHILD_OVER;
    tell_status(child, status, signal_number);
    if (leaving)
        close_child(child);
}

static void on_grace_over(uv_timer_t *timer)
{
    const struct child *child = timer->data;
    platform_command_end(child->command, true);
}

static void end_child(struct endpoint *endpoint)
{
    struct exec_opener *opener = (struct exec_opener *)endpoint->opener;
    struct child *child = opener->child;
    if (!child)
        return;
    opener->child = NULL;
    child->asked = endpoint->state == ENDPOINT_CLOSING;
    platform_command_end(child->command, false);
    if (child->state == CHILD_OVER) {
        close_child(child);
    } else {
        child->state = CHILD_LEAVING;
        uv_timer_start(&child->grace, on_grace_over, EXEC_GRACE_MS, 0);
    }
}

static const struct platform_command_use child_use = {
    .ended = on_ended,
    .closed = on_child_closed,
};

/* Starts the command and makes the channel to it. Returns a libuv error. */
static int start_child(struct endpoint *endpoint, struct channel *channel, struct child *child)
{
    int rc = channel_init_pipe(channel);
    if (rc >= 0)
        rc = channel_init_out(channel);
    if (rc >= 0)
        rc = platform_command_start(&child->command, endpoint->spec.path, channel, &child_use,
                                    child);
    if (rc < 0)
        return rc;
    uv_timer_init(endpoint->loop, &child->grace);
    child->grace.data = child;
    child->endpoint = endpoint;
    child->open = 2;
    endpoint_hold(endpoint);
    return 0;
}

static void attempt_exec(struct endpoint *endpoint)
{
    struct exec_opener *opener = (struct exec_opener *)endpoint->opener;
    struct channel *channel = channel_new(endpoint->loop);
    struct child *child = calloc(1, sizeof(*child));
    char text[ENDPOINT_MESSAGE_MAX];
    int rc = channel && child ? start_child(endpoint, channel, child) : UV_ENOMEM;
    if (rc >= 0) {
        opener->child = child;
        snprintf(text, sizeof(text), "process %d", platform_command_id(child->command));
        endpoint_opened(endpoint, channel, text);
        return;
    }
    free(child);
    if (channel)
        channel_close(channel);
    snprintf(text, sizeof(text), "cannot start the command: %s", uv_strerror(rc));
    endpoint_failed(endpoint, text);
}

static const struct opener_operations exec_operations = {
    .attempt = attempt_exec,
    .lost = end_child,
    .close = end_child,
};

struct opener *opener_exec(void)
{
    struct exec_opener *opener = calloc(1, sizeof(*opener));
    if (!opener)
        return NULL;
    opener->opener.operations = &exec_operations;
    return &opener->opener;
}
