/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each session of the file stands for itself:
 *
 *   state     event                            next      what happens
 *   waiting   no dropped session is open       running   it is opened
 *   running   it cannot be opened, or ends     closing   relay_stop; why is said, once for each
 *             by itself                                  new reason
 *   closing   closed                           pause     which is twice the one before
 *   pause     time is over                     waiting
 *   any       dropped: asked to end, or the    dropped   relay_stop
 *             file has other settings for it
 *   dropped   closed                           gone      what waited for its ports begins
 *
 * Reloading drops what is no more as it was and adds what is new; all else goes on untouched.
 */
#include "serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "platform.h"
#include "relay_report.h"
#include "relay_setup.h"
#include "session_file.h"

enum {
    SERVE_PATH_MAX = 1024,
    SERVE_PAUSE_MS = 1000,      /* before a session that failed is tried again, the first time */
    SERVE_PAUSE_MAX_MS = 60000, /* nobody waits longer for what was mended */
    ABOUT_MAX = SERVE_PATH_MAX + 16,
};

enum session_state {
    SESSION_WAITING,
    SESSION_RUNNING,
    SESSION_CLOSING,
    SESSION_PAUSE,
    SESSION_DROPPED,
};

struct session {
    enum session_state state;
    struct session_entry *entry;
    struct relay relay;
    struct relay_config config;
    struct relay_report report;
    bool relay_open; /* from relay_init until its `stopped` */
    bool opened;     /* its ends, too */
    uv_timer_t timer;
    uint64_t pause; /* ms, the last one */
    uint64_t began; /* uv_now, ms */
    char said[RELAY_OPTION_MESSAGE_MAX];
    struct session *next;
};

static struct {
    const struct serve_options *options;
    char file[SERVE_PATH_MAX];
    uv_loop_t loop;
    struct session *first;
    bool ending;
    struct end_signals signals;
    uv_async_t asked;
    uv_mutex_t lock; /* of the next two, which other threads use */
    bool askable;
    bool wants[2]; /* by enum serve_request */
} all;

/* ---- the file ---- */

static void on_problem(void *context, unsigned line, const char *message)
{
    char about[ABOUT_MAX];
    snprintf(about, sizeof(about), "%s:%u", (const char *)context, line);
    cli_about(about);
    cli_error("%s", message);
    cli_about(NULL);
}

/* The sessions of the file, or NULL; then everything was said. */
static struct session_entry *load(const char *path, int *code)
{
    char *text = malloc(SESSION_FILE_MAX + 1); /* one byte more, so that too large is seen */
    FILE *file = fopen(path, "rb");
    struct session_entry *entries = NULL;
    *code = CLI_FAILED;
    if (!text || !file) {
        cli_error("%s: cannot read the sessions: %s", path, strerror(text ? errno : ENOMEM));
    } else {
        size_t size = fread(text, 1, SESSION_FILE_MAX + 1, file);
        if (ferror(file)) {
            cli_error("%s: cannot read the sessions: %s", path, strerror(errno));
        } else {
            union {
                const char *name;
                void *context;
            } where = {.name = path};
            entries = session_file_parse(text, size, on_problem, where.context);
            *code = entries ? CLI_DONE : CLI_USAGE;
        }
    }
    if (file)
        fclose(file);
    free(text);
    return entries;
}

int serve_check(const char *path)
{
    int code;
    struct session_entry *entries = load(path, &code);
    unsigned count = 0;
    for (struct session_entry *entry = entries; entry; entry = entry->next, count++) {
        char about[ABOUT_MAX];
        struct relay_config config;
        snprintf(about, sizeof(about), "%s:%u", path, entry->line);
        cli_about(about);
        int rc = relay_setup(&entry->options, &config);
        if (rc)
            code = rc;
        cli_about(NULL);
    }
    session_file_free(entries);
    if (code == CLI_DONE)
        printf("%s: %u session%s, no fault\n", path, count, count == 1 ? "" : "s");
    return code;
}

/* ---- a session ---- */

static void begin_waiting(void);

static void on_timer_closed(uv_handle_t *handle)
{
    struct session *session = handle->data;
    session_entry_free(session->entry);
    free(session);
}

static bool is_anyone_dropped(void)
{
    for (const struct session *session = all.first; session; session = session->next)
        if (session->state == SESSION_DROPPED)
            return true;
    return false;
}

static void close_all_handles(void)
{
    uv_mutex_lock(&all.lock);
    all.askable = false;
    uv_mutex_unlock(&all.lock);
    end_signals_close(&all.signals);
    uv_close((uv_handle_t *)&all.asked, NULL);
}

/* Of a dropped session nothing is open any more. */
static void remove_session(struct session *session)
{
    struct session **at = &all.first;
    while (*at != session)
        at = &(*at)->next;
    *at = session->next;
    uv_close((uv_handle_t *)&session->timer, on_timer_closed);
    if (all.ending && !all.first)
        close_all_handles();
    else if (!is_anyone_dropped())
        begin_waiting();
}

static void on_pause_over(uv_timer_t *timer)
{
    struct session *session = timer->data;
    session->state = SESSION_WAITING;
    begin_waiting();
}

static void pause_session(struct session *session)
{
    bool lasted = uv_now(&all.loop) - session->began > SERVE_PAUSE_MAX_MS;
    session->pause = lasted || !session->pause ? SERVE_PAUSE_MS : 2 * session->pause;
    if (session->pause > SERVE_PAUSE_MAX_MS)
        session->pause = SERVE_PAUSE_MAX_MS;
    session->state = SESSION_PAUSE;
    uv_timer_start(&session->timer, on_pause_over, session->pause, 0);
}

static void on_relay_event(struct relay *relay, const struct relay_event *event)
{
    struct session *session = relay->config.context;
    relay_report_event(&session->report, relay, event);
}

static void on_relay_stopped(struct relay *relay)
{
    struct session *session = relay->config.context;
    session->relay_open = false;
    if (session->opened)
        relay_report_summary(&session->report, relay);
    if (session->state == SESSION_DROPPED)
        remove_session(session);
    else
        pause_session(session);
}

static void say_once(struct session *session, const char *message)
{
    if (!strcmp(session->said, message))
        return;
    snprintf(session->said, sizeof(session->said), "%s", message);
    cli_about(session->entry->name);
    cli_error("%s; tried again until it can be opened", message);
    cli_about(NULL);
}

static void open_session(struct session *session)
{
    char message[ENDPOINT_MESSAGE_MAX];
    const char *name = session->entry->name;
    struct relay_config *config = &session->config;
    session->began = uv_now(&all.loop);
    cli_about(name);
    int rc = relay_setup(&session->entry->options, config);
    cli_about(NULL);
    config->context = session;
    config->event = on_relay_event;
    config->stopped = on_relay_stopped;
    if (rc != CLI_DONE || relay_init(&all.loop, &session->relay, config) < 0) {
        say_once(session, "this session cannot begin");
        pause_session(session);
        return;
    }
    session->relay_open = true;
    session->state = SESSION_RUNNING;
    session->opened = relay_open(&session->relay, message) >= 0;
    if (!session->opened) {
        say_once(session, message);
        session->state = SESSION_CLOSING;
        relay_stop(&session->relay);
        return;
    }
    session->said[0] = '\0';
    if (all.options->quiet)
        return;
    cli_about(name);
    relay_warn_of_open_listeners(config);
    cli_about(NULL);
}

/* What a dropped session still holds, a port or a file, a new one may be waiting for. */
static void begin_waiting(void)
{
    if (all.ending || is_anyone_dropped())
        return;
    for (struct session *session = all.first; session; session = session->next)
        if (session->state == SESSION_WAITING)
            open_session(session);
}

static void drop_session(struct session *session)
{
    bool running = session->state == SESSION_RUNNING;
    session->state = SESSION_DROPPED;
    uv_timer_stop(&session->timer);
    if (!session->relay_open)
        remove_session(session);
    else if (running)
        relay_stop(&session->relay);
}

/* At the end of the list, so that sessions begin in the file's order. */
static void add_session(struct session_entry *entry)
{
    struct session **end = &all.first;
    struct session *session = calloc(1, sizeof(*session));
    if (!session) {
        cli_error("%s: there is no memory for this session", entry->name);
        session_entry_free(entry);
        return;
    }
    session->entry = entry;
    session->report.session = entry->name;
    session->report.json = all.options->json;
    session->report.quiet = all.options->quiet;
    session->report.verbose = all.options->verbose;
    uv_timer_init(&all.loop, &session->timer);
    session->timer.data = session;
    while (*end)
        end = &(*end)->next;
    *end = session;
}

/* ---- what it is asked ---- */

static bool is_same(const struct session_entry *a, const struct session_entry *b)
{
    return !strcmp(a->name, b->name) && a->size == b->size && !memcmp(a->text, b->text, a->size);
}

static bool has_session_like(const struct session_entry *entry)
{
    for (const struct session *session = all.first; session; session = session->next)
        if (session->state != SESSION_DROPPED && is_same(session->entry, entry))
            return true;
    return false;
}

static bool has_entry_like(const struct session_entry *entries, const struct session_entry *entry)
{
    while (entries && !is_same(entries, entry))
        entries = entries->next;
    return entries != NULL;
}

static void reload(void)
{
    int code;
    struct session_entry *entries = load(all.file, &code);
    if (!entries) {
        cli_error("the sessions go on as they are");
        return;
    }
    for (struct session *session = all.first, *next; session; session = next) {
        next = session->next;
        if (session->state != SESSION_DROPPED && !has_entry_like(entries, session->entry))
            drop_session(session);
    }
    for (struct session_entry *entry = entries, *next; entry; entry = next) {
        next = entry->next;
        if (has_session_like(entry))
            session_entry_free(entry);
        else
            add_session(entry);
    }
    if (!all.options->quiet)
        cli_error("%s was read again", all.file);
    begin_waiting();
}

static void end_all(void)
{
    if (all.ending)
        return;
    all.ending = true;
    if (!all.first)
        close_all_handles();
    for (struct session *session = all.first, *next; session; session = next) {
        next = session->next;
        if (session->state != SESSION_DROPPED)
            drop_session(session);
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)handle;
    if (platform_asks_reload(number)) {
        if (!all.ending)
            reload();
        return;
    }
    if (all.ending)
        _Exit(CLI_FAILED); /* asked twice: do not wait for anybody */
    end_all();
}

static bool take_request(enum serve_request request)
{
    uv_mutex_lock(&all.lock);
    bool wanted = all.wants[request];
    all.wants[request] = false;
    uv_mutex_unlock(&all.lock);
    return wanted;
}

static void on_asked(uv_async_t *async)
{
    (void)async;
    if (take_request(SERVE_END))
        end_all();
    else if (take_request(SERVE_RELOAD) && !all.ending)
        reload();
}

void serve_ask(enum serve_request request)
{
    uv_mutex_lock(&all.lock);
    all.wants[request] = true;
    if (all.askable)
        uv_async_send(&all.asked);
    uv_mutex_unlock(&all.lock);
}

/* ---- the run ---- */

/* Paths in the file begin at its folder: a service's own working directory means nothing. */
static int go_to_file(const char *path)
{
    uv_fs_t request;
    int rc = uv_fs_realpath(NULL, &request, path, NULL);
    const char *whole = request.ptr;
    if (rc == 0 && strlen(whole) >= sizeof(all.file))
        rc = UV_ENAMETOOLONG;
    if (rc == 0) {
        memcpy(all.file, whole, strlen(whole) + 1);
        char *end = all.file + strlen(all.file);
        while (end > all.file + 1 && end[-1] != '/' && end[-1] != '\\')
            end--;
        char first = *end;
        *end = '\0';
        rc = uv_chdir(all.file);
        *end = first;
    }
    uv_fs_req_cleanup(&request);
    if (rc < 0)
        cli_error("%s: cannot read the sessions: %s", path, uv_strerror(rc));
    return rc < 0 ? CLI_FAILED : CLI_DONE;
}

static int start(void)
{
    int code = go_to_file(all.options->file);
    if (code != CLI_DONE)
        return code;
    struct session_entry *entries = load(all.file, &code);
    if (!entries)
        return code;
    int rc = uv_loop_init(&all.loop);
    if (rc < 0) {
        session_file_free(entries);
        cli_error("cannot start: %s", uv_strerror(rc));
        return CLI_FAILED;
    }
    for (struct session_entry *entry = entries, *next; entry; entry = next) {
        next = entry->next;
        entry->next = NULL;
        add_session(entry);
    }
    return CLI_DONE;
}

int serve(const struct serve_options *options)
{
    all.options = options;
    if (uv_mutex_init(&all.lock) < 0) {
        cli_error("cannot start: %s", uv_strerror(UV_ENOMEM));
        return CLI_FAILED;
    }
    int code = start();
    if (code != CLI_DONE)
        return code;
    end_signals_start(&all.loop, &all.signals, on_signal, NULL);
    uv_async_init(&all.loop, &all.asked, on_asked);
    uv_mutex_lock(&all.lock);
    all.askable = true;
    uv_mutex_unlock(&all.lock);
    begin_waiting();
    if (options->started)
        options->started();
    uv_run(&all.loop, UV_RUN_DEFAULT);
    uv_loop_close(&all.loop);
    return CLI_DONE;
}
