/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The whole driver of the virtual serial port, natively: two programs' threads send requests of any
 * code and size in any order and cancel them, while the peer sends, hangs up and comes back, and
 * settings change. The stand-in framework aborts on a double or missing completion; at the end
 * every request is back. Made for ThreadSanitizer as much as for the others.
 * Input: the first half is one thread's, the second half the other's; operations of one byte and
 * what each takes after it.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fake_wdf.h"
#include "interface.h"
#include "serial/codes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
fake_entry FxDriverEntryUm;

enum { THREADS = 2, SLOTS = 6, DATA_MAX = 120, LIMIT_MS = 20000 };

struct program {
    const uint8_t *input;
    size_t size;
    struct fake_request *slots[SLOTS];
};

static struct wdf_file_handle *port, *console;
static int listener = -1;
static uint16_t listener_port;
static pthread_mutex_t peer_lock = PTHREAD_MUTEX_INITIALIZER;
static int peer = -1;

static void check(bool condition)
{
    if (!condition)
        abort();
}

static uint8_t next_byte(struct program *program)
{
    if (!program->size)
        return 0;
    program->size--;
    return *program->input++;
}

static size_t next_bytes(struct program *program, uint8_t bytes[DATA_MAX])
{
    size_t size = next_byte(program) % DATA_MAX;
    memset(bytes, 0, DATA_MAX);
    for (size_t i = 0; i < size; i++)
        bytes[i] = next_byte(program);
    return size;
}

/* The slot is free again; it is waited for if need be. */
static void finish(struct fake_request **slot)
{
    const struct timespec nap = {0, 100000};
    if (!*slot)
        return;
    fake_cancel(*slot);
    for (unsigned tenths = 0; !fake_is_done(*slot); tenths++) {
        check(tenths < 10 * LIMIT_MS);
        nanosleep(&nap, NULL);
    }
    fake_free(*slot);
    *slot = NULL;
}

static struct fake_request *begin(struct program *program, struct wdf_file_handle *file)
{
    struct fake_request **slot = &program->slots[next_byte(program) % SLOTS];
    finish(slot);
    return *slot = fake_new(file);
}

static void any_control(struct program *program)
{
    uint8_t bytes[DATA_MAX];
    uint8_t function = next_byte(program);
    uint32_t code = SERIAL_CODE(function % 41u);
    struct wdf_file_handle *file = function & 0x40 ? console : port;
    size_t out_size = next_byte(program);
    if (function >= 0xE0)
        code = VSP_CODE(200u + function % 16);
    if (code == VSP_CONFIGURE || code == VSP_SET_SETTINGS)
        return; /* see change_settings: not to any host */
    size_t in_size = next_bytes(program, bytes);
    fake_control(begin(program, file), code, bytes, in_size, out_size);
}

static void change_settings(struct program *program)
{
    uint8_t bits = next_byte(program);
    struct vsp_settings s = {
        .size = sizeof(s),
        .mode = VSP_CONNECT,
        .port = listener_port,
        .telnet = bits % 3u,
        .offline = (bits >> 2) % 4u, /* one value is out of range */
        .lines = (bits >> 4) % 2u,
        .when = (bits >> 5) % 3u,
        .log_level = (bits >> 7) * 2u,
        .host = "127.0.0.1",
    };
    fake_control(begin(program, console), VSP_SET_SETTINGS, &s, sizeof(s), 0);
}

/* The peer does something, if there is one. */
static void move_peer(struct program *program)
{
    uint8_t bytes[DATA_MAX];
    uint8_t what = next_byte(program);
    size_t size = next_bytes(program, bytes);
    pthread_mutex_lock(&peer_lock);
    if (peer < 0)
        peer = accept(listener, NULL, NULL); /* does not block */
    if (peer >= 0 && what % 8 == 0) {
        const struct linger at_once = {1, 0};
        if (what & 8)
            setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        close(peer);
        peer = -1;
    } else if (peer >= 0 && what % 8 < 5) {
        (void)!send(peer, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else if (peer >= 0) {
        (void)!recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT);
    }
    pthread_mutex_unlock(&peer_lock);
}

static void step(struct program *program)
{
    uint8_t bytes[DATA_MAX];
    switch (next_byte(program) % 8) {
    case 0:
    case 1:
        any_control(program);
        break;
    case 2:
        fake_read(begin(program, port), 1 + (size_t)next_byte(program) * 3);
        break;
    case 3: {
        size_t size = next_bytes(program, bytes);
        fake_write(begin(program, port), bytes, size + 1);
        break;
    }
    case 4: {
        struct fake_request *request = program->slots[next_byte(program) % SLOTS];
        if (request)
            fake_cancel(request);
        break;
    }
    case 5:
        change_settings(program);
        break;
    case 6:
        sched_yield();
        break;
    default:
        move_peer(program);
        break;
    }
}

static void *run(void *argument)
{
    struct program *program = argument;
    while (program->size)
        step(program);
    return NULL;
}

static void start_once(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    if (listener >= 0)
        return;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    check(!bind(listener, (struct sockaddr *)&address, size) && !listen(listener, 8) &&
          !getsockname(listener, (struct sockaddr *)&address, &size));
    fcntl(listener, F_SETFL, O_NONBLOCK);
    listener_port = ntohs(address.sin_port);
    fake_set_port_name(u"COM7");
    check(fake_load(FxDriverEntryUm) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct program programs[THREADS] = {
        {.input = data, .size = size / 2},
        {.input = data + size / 2, .size = size - size / 2},
    };
    pthread_t threads[THREADS];
    start_once();
    check(fake_add_device() >= 0);
    check(fake_open(u"", &port) >= 0 && fake_open(u"\\control", &console) >= 0);
    change_settings(&programs[0]);
    for (size_t i = 0; i < THREADS; i++)
        check(!pthread_create(&threads[i], NULL, run, &programs[i]));
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    if (size % 3 == 0)
        fake_surprise_removal();
    fake_close(port);
    fake_close(console);
    for (size_t i = 0; i < THREADS * SLOTS; i++)
        finish(&programs[i / SLOTS].slots[i % SLOTS]);
    check(!fake_pending());
    fake_remove_device();
    check(!fake_objects());
    if (peer >= 0)
        close(peer);
    peer = -1;
    while ((peer = accept(listener, NULL, NULL)) >= 0)
        close(peer);
    return 0;
}
