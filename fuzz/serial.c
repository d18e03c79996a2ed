/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs, wire and time do anything in any order: every request comes back exactly once, within
 * its bounds, and the bytes read are the bytes received, in order.
 * Input: operations of one byte and what each takes after it.
 */
#include "serial/port.h"

#include <stdlib.h>
#include <string.h>

#include "kdwire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUESTS = 24, BUFFER_MAX = 96, STEPS_MAX = 4096 };

struct work {
    struct serial_request request;
    uint8_t data[BUFFER_MAX];
    bool busy;
};

static struct desk {
    struct serial_port port;
    struct work works[REQUESTS];
    const uint8_t *input;
    size_t size;
    uint64_t now;
    uint8_t next_received; /* the wire counts: 0, 1, 2 ... */
    uint8_t next_read;
    bool counts; /* nothing has taken bytes out of the stream or put some in */
} desk;

static void check(bool condition)
{
    if (!condition)
        abort();
}

static uint8_t next_byte(void)
{
    if (!desk.size)
        return 0;
    desk.size--;
    return *desk.input++;
}

static void check_read(const struct work *work)
{
    for (size_t i = 0; desk.counts && i < work->request.done; i++)
        check(work->data[i] == desk.next_read++);
}

static void settle(void)
{
    struct serial_request *request = NULL;
    while ((request = serial_completed(&desk.port))) {
        struct work *work = (struct work *)(void *)request;
        check(work >= desk.works && work < desk.works + REQUESTS && work->busy);
        check(request->done <= request->size && request->status != SERIAL_PENDING);
        check(!serial_cancel(&desk.port, desk.now, request));
        if (request->kind == SERIAL_KIND_READ)
            check_read(work);
        work->busy = false;
    }
}

static struct work *free_work(void)
{
    for (size_t i = 0; i < REQUESTS; i++) {
        if (desk.works[i].busy)
            continue;
        struct work *work = &desk.works[i];
        memset(work, 0, sizeof(*work));
        work->request.data = work->data;
        work->busy = true;
        return work;
    }
    return NULL;
}

/* Whether the stream is still the plain count after this control. */
static bool disturbs(uint32_t code)
{
    return code == SERIAL_SET_HANDFLOW || code == SERIAL_LSRMST_INSERT || code == SERIAL_PURGE ||
           code == SERIAL_SET_FIFO_CONTROL;
}

static void control(void)
{
    struct work *work = free_work();
    uint8_t in[BUFFER_MAX] = {0};
    if (!work)
        return;
    uint8_t function = next_byte();
    uint32_t code = function < 48 ? SERIAL_CODE(function) : (uint32_t)function << 16 | function;
    size_t in_size = next_byte() % BUFFER_MAX;
    work->request.size = next_byte() % (BUFFER_MAX + 1);
    for (size_t i = 0; i < in_size; i++)
        in[i] = next_byte();
    if (code == SERIAL_SET_QUEUE_SIZE)
        in[2] &= 0x1F; /* below and above the largest queue */
    if (disturbs(code))
        desk.counts = false;
    serial_control(&desk.port, desk.now, code, in, in_size, &work->request);
}

static void transfer(bool is_write)
{
    struct work *work = free_work();
    if (!work)
        return;
    work->request.size = next_byte() % (BUFFER_MAX + 1);
    if (is_write)
        serial_write(&desk.port, desk.now, &work->request);
    else
        serial_read(&desk.port, desk.now, &work->request);
}

static void receive(void)
{
    static uint8_t block[SERIAL_QUEUE_MAX];
    size_t size = (size_t)next_byte() << (next_byte() % 13);
    size_t room = serial_room(&desk.port);
    check(room <= SERIAL_QUEUE_MAX);
    if (size > room)
        size = room;
    struct serial_piece pieces[SERIAL_PIECES];
    size_t straight = size % 2 ? serial_space(&desk.port, pieces) : 0;
    if (straight) {
        size_t placed = 0;
        for (size_t i = 0; i < straight; i++)
            for (size_t j = 0; j < pieces[i].size && placed < size; j++, placed++)
                pieces[i].bytes[j] = desk.next_received++;
        serial_placed(&desk.port, desk.now, placed);
        return;
    }
    for (size_t i = 0; i < size; i++)
        block[i] = desk.port.open ? desk.next_received++ : 0;
    serial_receive(&desk.port, desk.now, block, size);
}

static void send(void)
{
    const uint8_t *bytes = desk.input;
    size_t size = next_byte();
    size_t piece = serial_output(&desk.port, &bytes);
    if (size > piece)
        size = piece;
    static uint8_t wire[BUFFER_MAX];
    memcpy(wire, bytes, size); /* they can be read */
    if (piece)
        serial_sent(&desk.port, desk.now, size);
}

static void pass_time(void)
{
    desk.now += (uint64_t)next_byte() * 1000;
    unsigned ticks = 0;
    while (serial_deadline(&desk.port) <= desk.now) {
        serial_tick(&desk.port, desk.now);
        check(++ticks <= REQUESTS + 2); /* each ends at least one request */
    }
}

static void reopen(void)
{
    serial_close(&desk.port, desk.now);
    settle();
    for (size_t i = 0; i < REQUESTS; i++)
        check(!desk.works[i].busy);
    if (next_byte() & 1)
        return;
    check(serial_open(&desk.port) == SERIAL_OK);
    desk.next_received = desk.next_read = 0;
    desk.counts = !(desk.port.flow & (SERIAL_NULL_STRIPPING | SERIAL_AUTO_TRANSMIT));
}

static void step(void)
{
    switch (next_byte() % 11) {
    case 0:
    case 1:
        control();
        break;
    case 2:
        transfer(false);
        break;
    case 3:
        transfer(true);
        break;
    case 4:
        receive();
        break;
    case 5:
        send();
        break;
    case 6:
        pass_time();
        break;
    case 7:
        serial_cancel(&desk.port, desk.now, &desk.works[next_byte() % REQUESTS].request);
        break;
    case 8:
        serial_set_modem(&desk.port, desk.now, next_byte());
        break;
    case 9:
        serial_line_error(&desk.port, desk.now, next_byte() & 0x17);
        break;
    default:
        reopen();
        break;
    }
    settle();
    check(desk.port.ring.size <= SERIAL_MEMORY);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t memory[SERIAL_MEMORY];
    memset(&desk, 0, sizeof(desk));
    desk.input = data;
    desk.size = size;
    desk.counts = true;
    serial_init(&desk.port, memory);
    check(serial_open(&desk.port) == SERIAL_OK);
    for (unsigned steps = 0; desk.size && steps < STEPS_MAX; steps++)
        step();
    serial_end_all(&desk.port, SERIAL_DEVICE_REMOVED);
    settle();
    for (size_t i = 0; i < REQUESTS; i++)
        check(!desk.works[i].busy);
    return 0;
}
