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

/* One run of the command; lives until the process has ended and its handles are closed. */
struct child {
    uv_process_t process;
    uv_timer_t grace;
    void *group; /* the platform's */
    struct endpoint *endpoint;
    int handles;
    bool exited;
    bool asked; /* we ended it: its status is no news */
};

struct exec_opener {
    struct opener opener;
    struct child *child; /* the running one */
};

static void on_child_closed(uv_handle_t *handle)
{
    struct child *child = handle->data;
    if (--child->handles)
        return;
    struct endpoint *endpoint = child->endpoint;
    platform_group_free(child->group);
    free(child);
    endpoint_release(endpoint);
}

static void close_child(struct child *child)
{
    uv_close((uv_handle_t *)&child->process, on_child_closed);
    uv_close((uv_handle_t *)&child->grace, on_child_closed);
}

static void on_exit_of_child(uv_process_t *process, int64_t status, int signal_number)
{
    struct child *child = process->data;
    struct endpoint *endpoint = child->endpoint;
    struct exec_opener *opener = (struct exec_opener *)endpoint->opener;
    child->exited = true;
    if (opener->child == child)
        opener->child = NULL;
    bool asked = child->asked;
    close_child(child);
    if (asked || endpoint->state == ENDPOINT_CLOSING)
        return;
    if (signal_number)
        endpoint_say(endpoint, ENDPOINT_WARNING, "%.300s: ended by signal %d", endpoint->where,
                     signal_number);
    else if (status)
        endpoint_say(endpoint, ENDPOINT_WARNING, "%.300s: ended with status %d%s", endpoint->where,
                     (int)status, status == 127 ? " (the command was not found)" : "");
}

static void on_grace_over(uv_timer_t *timer)
{
    const struct child *child = timer->data;
    platform_group_end(child->group, &child->process, true);
}

static void end_child(struct endpoint *endpoint)
{
    struct exec_opener *opener = (struct exec_opener *)endpoint->opener;
    struct child *child = opener->child;
    if (!child)
        return;
    opener->child = NULL;
    child->asked = endpoint->state == ENDPOINT_CLOSING;
    platform_group_end(child->group, &child->process, false);
    uv_timer_start(&child->grace, on_grace_over, EXEC_GRACE_MS, 0);
}

static int spawn(struct child *child, struct channel *channel, const char *command)
{
    struct platform_shell shell;
    uv_stdio_container_t files[3];
    memset(files, 0, sizeof(files));
    files[0].flags = UV_CREATE_PIPE | UV_READABLE_PIPE;
    files[0].data.stream = (uv_stream_t *)&channel->second;
    files[1].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
    files[1].data.stream = &channel->in.stream;
    files[2].flags = UV_INHERIT_FD;
    files[2].data.fd = 2;
    uv_process_options_t options;
    memset(&options, 0, sizeof(options));
    platform_shell(&options, &shell, command);
    options.stdio = files;
    options.stdio_count = 3;
    options.exit_cb = on_exit_of_child;
    int rc = uv_spawn(channel->loop, &child->process, &options);
    if (rc >= 0)
        child->group = platform_group(&child->process);
    return rc;
}

static void attempt_exec(struct endpoint *endpoint)
{
    struct exec_opener *opener = (struct exec_opener *)endpoint->opener;
    struct channel *channel = channel_new(endpoint->loop);
    struct child *child = calloc(1, sizeof(*child));
    int rc = UV_ENOMEM;
    if (!channel || !child || channel_init_pipe(channel) < 0 || channel_init_out(channel) < 0)
        goto failed;
    child->endpoint = endpoint;
    child->process.data = child->grace.data = child;
    uv_timer_init(endpoint->loop, &child->grace);
    child->handles = 2;
    endpoint_hold(endpoint);
    rc = spawn(child, channel, endpoint->spec.path);
    child->process.data = child;
    if (rc < 0) {
        close_child(child);
        child = NULL;
        goto failed;
    }
    opener->child = child;
    char peer[ENDPOINT_MESSAGE_MAX];
    snprintf(peer, sizeof(peer), "process %d", child->process.pid);
    endpoint_opened(endpoint, channel, peer);
    return;
failed:
    free(child);
    if (channel)
        channel_close(channel);
    char reason[ENDPOINT_MESSAGE_MAX];
    snprintf(reason, sizeof(reason), "cannot start the command: %s", uv_strerror(rc));
    endpoint_failed(endpoint, reason);
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
