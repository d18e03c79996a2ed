/* SPDX-License-Identifier: BSD-2-Clause */
/* A serial port on a virtual clock, with requests that come back counted. */
#ifndef TEST_SERIAL_DESK_H
#define TEST_SERIAL_DESK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kdwire/wire.h"
#include "serial/port.h"

#define X  UINT32_MAX
#define MS 1000u /* microseconds */

static struct serial_port port;
static uint64_t now;

struct work {
    struct serial_request request;
    uint8_t data[256];
    unsigned completed;
};

static void settle(void)
{
    struct serial_request *request = NULL;
    while ((request = serial_completed(&port)))
        ((struct work *)(void *)request)->completed++;
}

static int open_port(void **state)
{
    (void)state;
    static uint8_t memory[SERIAL_MEMORY];
    now = 1000 * MS;
    serial_init(&port, memory);
    assert_int_equal(serial_open(&port), SERIAL_OK);
    return 0;
}

/* Every deadline on the way is kept. */
static inline void pass(uint64_t ms)
{
    uint64_t end = now + ms * MS;
    while (serial_deadline(&port) <= end) {
        if (serial_deadline(&port) > now)
            now = serial_deadline(&port);
        serial_tick(&port, now);
        settle();
    }
    now = end;
}

static inline void read_bytes(struct work *work, size_t size)
{
    memset(work, 0, sizeof(*work));
    work->request.data = work->data;
    work->request.size = size;
    serial_read(&port, now, &work->request);
    settle();
}

static inline void write_bytes(struct work *work, size_t size)
{
    memset(work, 0, sizeof(*work));
    memset(work->data, 'w', size);
    work->request.data = work->data;
    work->request.size = size;
    serial_write(&port, now, &work->request);
    settle();
}

static inline void receive(const char *text)
{
    assert_true(serial_room(&port) >= strlen(text));
    serial_receive(&port, now, (const uint8_t *)text, strlen(text));
    settle();
}

/* The wire takes up to SIZE bytes; they are appended to OUT (may be NULL). Returns how many. */
static inline size_t wire_takes(size_t size, char *out)
{
    const uint8_t *bytes = NULL;
    size_t piece = 0;
    size_t taken = 0;
    while (taken < size && (piece = serial_output(&port, &bytes)) > 0) {
        if (piece > size - taken)
            piece = size - taken;
        if (out)
            memcpy(out + taken, bytes, piece);
        taken += piece;
        serial_sent(&port, now, piece);
        settle();
    }
    return taken;
}

static inline void control_sized(struct work *work, uint32_t code, const void *in, size_t in_size,
                                 size_t out_size)
{
    memset(work, 0, sizeof(*work));
    work->request.data = work->data;
    work->request.size = out_size;
    serial_control(&port, now, code, in, in_size, &work->request);
    settle();
}

/* A control with 32-bit values in; its status. */
#define set(code, ...)                                                                             \
    set_values((code), (uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}))
static inline uint32_t set_values(uint32_t code, const uint32_t *values, size_t size)
{
    struct work work;
    control_sized(&work, code, values, size, 0);
    assert_int_equal(work.completed, 1);
    return work.request.status;
}

/* A control with 32-bit values out; the one at INDEX. */
static inline uint32_t get(uint32_t code, size_t index)
{
    struct work work;
    control_sized(&work, code, NULL, 0, 64);
    assert_int_equal(work.completed, 1);
    assert_int_equal(work.request.status, SERIAL_OK);
    return kd_get_u32(work.data + 4 * index);
}

static inline void expect_waiting(const struct work *work)
{
    assert_int_equal(work->completed, 0);
}

static inline void expect_done(const struct work *work, uint32_t status, size_t done)
{
    assert_int_equal(work->completed, 1);
    assert_int_equal(work->request.status, status);
    assert_int_equal(work->request.done, done);
}

#endif
