/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serial, pty and stdio: file descriptors that libuv can poll, wrapped as its pipes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "../opener.h"

/* Wraps a descriptor, which then belongs to the channel (also when this fails). */
static struct channel *wrap_fd(struct endpoint *endpoint, int fd)
{
    struct channel *channel = channel_new(endpoint->loop);
    if (!channel)
        goto failed;
    if (channel_init_pipe(channel) < 0 || uv_pipe_open(&channel->in.pipe, fd) < 0)
        goto failed;
    return channel;
failed:
    close(fd);
    if (channel)
        channel_close(channel);
    return NULL;
}

/* ---- serial ---- */

static const struct baud {
    uint32_t rate;
    speed_t code;
} bauds[] = {
    {300, B300},         {600, B600},         {1200, B1200},       {2400, B2400},
    {4800, B4800},       {9600, B9600},       {19200, B19200},     {38400, B38400},
    {57600, B57600},     {115200, B115200},   {230400, B230400},   {460800, B460800},
    {500000, B500000},   {576000, B576000},   {921600, B921600},   {1000000, B1000000},
    {1152000, B1152000}, {1500000, B1500000}, {2000000, B2000000}, {2500000, B2500000},
    {3000000, B3000000}, {3500000, B3500000}, {4000000, B4000000},
};

static const struct baud *find_baud(uint32_t rate)
{
    for (size_t i = 0; i < sizeof(bauds) / sizeof(bauds[0]); i++)
        if (bauds[i].rate == rate)
            return &bauds[i];
    return NULL;
}

static void add_flags(tcflag_t *flags, unsigned long bits)
{
    *flags |= (tcflag_t)bits;
}

static int set_line(int fd, const struct endpoint_spec *spec)
{
    struct termios line;
    const struct baud *baud = find_baud(spec->baud);
    if (tcgetattr(fd, &line) < 0)
        return -1;
    cfmakeraw(&line);
    line.c_cflag &= ~(tcflag_t)(CSIZE | PARENB | PARODD | CSTOPB | CRTSCTS);
    add_flags(&line.c_cflag, CLOCAL | CREAD | (spec->data_bits == 7 ? CS7 : CS8));
    if (spec->parity != 'n')
        add_flags(&line.c_cflag, PARENB | (spec->parity == 'o' ? PARODD : 0u));
    if (spec->stop_bits == 2)
        add_flags(&line.c_cflag, CSTOPB);
    if (spec->rtscts)
        add_flags(&line.c_cflag, CRTSCTS);
    line.c_cc[VMIN] = 1;
    line.c_cc[VTIME] = 0;
    if (cfsetispeed(&line, baud->code) < 0 || cfsetospeed(&line, baud->code) < 0)
        return -1;
    if (tcsetattr(fd, TCSANOW, &line) < 0)
        return -1;
    tcflush(fd, TCIOFLUSH);
    return 0;
}

static void serial_failed(struct endpoint *endpoint, int error)
{
    const char *path = endpoint->spec.path;
    char reason[ENDPOINT_MESSAGE_MAX];
    switch (error) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
        snprintf(reason, sizeof(reason),
                 "serial device %.300s is not there; is the adapter plugged in?", path);
        break;
    case EACCES:
    case EPERM:
        snprintf(reason, sizeof(reason),
                 "no permission to open %.300s; become a member of its group (often dialout)",
                 path);
        break;
    case ENOTTY:
    case EINVAL:
        snprintf(reason, sizeof(reason),
                 "%.300s is no serial device; it should be one like /dev/ttyS0 or /dev/ttyUSB0",
                 path);
        break;
    case EBUSY:
    case EWOULDBLOCK:
        snprintf(reason, sizeof(reason), "%.300s is in use by another program; end that one", path);
        break;
    default:
        snprintf(reason, sizeof(reason), "cannot open %.300s: %s", path, strerror(error));
        break;
    }
    endpoint_failed(endpoint, reason);
}

static void attempt_serial(struct endpoint *endpoint)
{
    const struct endpoint_spec *spec = &endpoint->spec;
    int fd = open(spec->path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        serial_failed(endpoint, errno);
        return;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || set_line(fd, spec) < 0) {
        int error = errno;
        close(fd);
        serial_failed(endpoint, error);
        return;
    }
    struct channel *channel = wrap_fd(endpoint, fd);
    if (!channel) {
        serial_failed(endpoint, ENOMEM);
        return;
    }
    char peer[ENDPOINT_MESSAGE_MAX];
    snprintf(peer, sizeof(peer), "%.300s at %u baud", spec->path, spec->baud);
    endpoint_opened(endpoint, channel, peer);
}

static int prepare_serial(struct endpoint *endpoint, char *message)
{
    if (find_baud(endpoint->spec.baud))
        return KD_OK;
    snprintf(message, ENDPOINT_MESSAGE_MAX,
             "%.300s: this system has no rate of %u baud; KD uses 115200 as a rule",
             endpoint->where, endpoint->spec.baud);
    return KD_E_ARGUMENT;
}

static const struct opener_operations serial_operations = {
    .prepare = prepare_serial,
    .attempt = attempt_serial,
};

struct opener *opener_serial(void)
{
    struct opener *opener = calloc(1, sizeof(*opener));
    if (opener)
        opener->operations = &serial_operations;
    return opener;
}

/* ---- pty ---- */

enum {
    /* The system does not tell when somebody opens the other side: looked at this often. What is
     * written in between waits in the pty. */
    PTY_LOOK_MS = 20,
};

struct pty {
    struct opener opener;
    uv_timer_t look;
    int master;
    char slave[64];
    bool linked, timer_open;
};

static int pty_failed(struct endpoint *endpoint, const char *what, char *message)
{
    snprintf(message, ENDPOINT_MESSAGE_MAX, "pty:%.300s: %s: %s", endpoint->spec.path, what,
             strerror(errno));
    return KD_E_IO;
}

static int link_failed(struct endpoint *endpoint, char *message)
{
    snprintf(message, ENDPOINT_MESSAGE_MAX,
             "pty:%.300s: cannot make the link: %s; choose a path in a folder that exists and that "
             "you may write to",
             endpoint->spec.path, strerror(errno));
    return KD_E_IO;
}

/* Opens and closes the other side once: sets it to raw, discards what nobody read, and makes the
 * master say "hung up" until somebody comes. */
static int reset_slave(const struct pty *pty)
{
    struct termios line;
    int fd = open(pty->slave, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = tcgetattr(fd, &line);
    if (rc == 0) {
        cfmakeraw(&line);
        rc = tcsetattr(fd, TCSANOW, &line);
    }
    tcflush(fd, TCIFLUSH);
    close(fd);
    return rc;
}

/* Only a link into /dev/pts may be replaced: it is the rest of an earlier run. */
static bool may_replace(const char *path)
{
    char target[64];
    struct stat status;
    if (lstat(path, &status) < 0)
        return errno == ENOENT;
    ssize_t size = readlink(path, target, sizeof(target) - 1);
    if (size < 0)
        return false;
    target[size] = '\0';
    return !strncmp(target, "/dev/pts/", 9);
}

static int make_link(struct endpoint *endpoint, struct pty *pty, char *message)
{
    const char *path = endpoint->spec.path;
    char fresh[ENDPOINT_TEXT_MAX + 16];
    if (!may_replace(path)) {
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "pty:%.300s: something else is there already; choose another path or remove it",
                 path);
        return KD_E_EXISTS;
    }
    snprintf(fresh, sizeof(fresh), "%s.%ld", path, (long)getpid());
    unlink(fresh);
    if (symlink(pty->slave, fresh) < 0)
        return link_failed(endpoint, message);
    if (rename(fresh, path) < 0) {
        int rc = link_failed(endpoint, message);
        unlink(fresh);
        return rc;
    }
    pty->linked = true;
    return KD_OK;
}

static int prepare_pty(struct endpoint *endpoint, char *message)
{
    struct pty *pty = (struct pty *)endpoint->opener;
    pty->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (pty->master < 0)
        return pty_failed(endpoint, "cannot make a pseudo-terminal", message);
    if (grantpt(pty->master) < 0 || unlockpt(pty->master) < 0 ||
        ptsname_r(pty->master, pty->slave, sizeof(pty->slave)) != 0 || reset_slave(pty) < 0)
        return pty_failed(endpoint, "cannot set up the pseudo-terminal", message);
    uv_timer_init(endpoint->loop, &pty->look);
    pty->look.data = endpoint;
    pty->timer_open = true;
    endpoint_hold(endpoint);
    return make_link(endpoint, pty, message);
}

static void look_for_opener(uv_timer_t *timer)
{
    struct endpoint *endpoint = timer->data;
    struct pty *pty = (struct pty *)endpoint->opener;
    struct pollfd poll_fd = {.fd = pty->master, .events = POLLIN};
    if (poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLHUP) && !(poll_fd.revents & POLLIN))
        return;
    int fd = fcntl(pty->master, F_DUPFD_CLOEXEC, 0);
    struct channel *channel = fd < 0 ? NULL : wrap_fd(endpoint, fd);
    if (!channel)
        return; /* looked at again */
    uv_timer_stop(timer);
    endpoint_opened(endpoint, channel, pty->slave);
}

static void attempt_pty(struct endpoint *endpoint)
{
    struct pty *pty = (struct pty *)endpoint->opener;
    uv_timer_start(&pty->look, look_for_opener, 0, PTY_LOOK_MS);
}

static void lost_pty(struct endpoint *endpoint)
{
    reset_slave((struct pty *)endpoint->opener);
}

static void on_look_closed(uv_handle_t *handle)
{
    endpoint_release(handle->data);
}

static void close_pty(struct endpoint *endpoint)
{
    struct pty *pty = (struct pty *)endpoint->opener;
    char target[64];
    const char *path = endpoint->spec.path;
    ssize_t size = pty->linked ? readlink(path, target, sizeof(target)) : -1;
    if (size == (ssize_t)strlen(pty->slave) && !memcmp(target, pty->slave, (size_t)size))
        unlink(path);
    if (pty->master >= 0)
        close(pty->master);
    pty->master = -1;
    if (pty->timer_open)
        uv_close((uv_handle_t *)&pty->look, on_look_closed);
    pty->timer_open = false;
}

static const struct opener_operations pty_operations = {
    .prepare = prepare_pty,
    .attempt = attempt_pty,
    .lost = lost_pty,
    .close = close_pty,
};

struct opener *opener_pty(void)
{
    struct pty *pty = calloc(1, sizeof(*pty));
    if (!pty)
        return NULL;
    pty->opener.operations = &pty_operations;
    pty->master = -1;
    return &pty->opener;
}

/* ---- stdio ---- */

struct stdio_opener {
    struct opener opener;
    int flags[2]; /* of descriptors 0 and 1 before; -1 when untouched */
};

static int prepare_stdio(struct endpoint *endpoint, char *message)
{
    struct stdio_opener *stdio = (struct stdio_opener *)endpoint->opener;
    uv_handle_type type = uv_guess_handle(STDIN_FILENO);
    if (!endpoint->spec.write_only && type != UV_NAMED_PIPE && type != UV_TCP && type != UV_TTY) {
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "stdio: standard input must be a pipe, a socket or a terminal; "
                 "for a file write: cat FILE | kdwire ...");
        return KD_E_UNSUPPORTED;
    }
    for (int fd = endpoint->spec.write_only; fd < 2; fd++)
        stdio->flags[fd] = fcntl(fd, F_GETFL);
    return KD_OK;
}

static void attempt_stdout(struct endpoint *endpoint)
{
    int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    struct channel *channel = out < 0 ? NULL : wrap_fd(endpoint, out);
    if (!channel) {
        endpoint_failed(endpoint, "stdio: cannot use standard output");
        return;
    }
    channel->write_only = true;
    endpoint_opened(endpoint, channel, "standard output");
}

static void attempt_stdio(struct endpoint *endpoint)
{
    if (endpoint->spec.write_only) {
        attempt_stdout(endpoint);
        return;
    }
    int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    struct channel *channel = in < 0 ? NULL : wrap_fd(endpoint, in);
    if (channel && out >= 0 && channel_init_out(channel) >= 0 &&
        uv_pipe_open(&channel->second, out) >= 0) {
        endpoint_opened(endpoint, channel, "standard input and output");
        return;
    }
    if (out >= 0)
        close(out);
    if (channel)
        channel_close(channel);
    endpoint_failed(endpoint, "stdio: cannot use standard input and output");
}

static void close_stdio(struct endpoint *endpoint)
{
    const struct stdio_opener *stdio = (const struct stdio_opener *)endpoint->opener;
    for (int fd = 0; fd < 2; fd++) /* shared with the shell that started us */
        if (stdio->flags[fd] != -1)
            fcntl(fd, F_SETFL, stdio->flags[fd]);
}

static const struct opener_operations stdio_operations = {
    .prepare = prepare_stdio,
    .attempt = attempt_stdio,
    .close = close_stdio,
};

struct opener *opener_stdio(void)
{
    struct stdio_opener *stdio = calloc(1, sizeof(*stdio));
    if (!stdio)
        return NULL;
    stdio->opener.operations = &stdio_operations;
    stdio->flags[0] = stdio->flags[1] = -1;
    return &stdio->opener;
}
