/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile target: the input is a script of what it sends, of time passing, and of requests that
 * the user makes meanwhile.
 *
 *   byte 0..63     that request (modulo their number)
 *   byte 64..127   time passes: (byte - 63) * 20 ms, twice that doubled per step
 *   byte 128..159  a well-formed packet follows: type = byte - 128, then 16-bit size, then body
 *   byte 160..     raw bytes follow: byte - 159 of them
 */
#include <stdlib.h>
#include <string.h>

#include "kdwire/debugger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct kd_debugger d;
    uint64_t now;
    uint32_t id;
    size_t done, started;
    struct kd_debugger_version version;
    uint8_t memory[9000], context[KD_CONTEXT_AMD64_SIZE];
};

static void file(void *context, struct kd_file_request *request)
{
    (void)context;
    request->status = 0;
    if (request->api == KD_API_READ_FILE)
        memset(request->buffer, 0x5A, (size_t)request->length);
}

/* Reads of what an event lends end here, so that no compiler leaves them out. */
static volatile char text_sink;

static void settle(struct world *w)
{
    struct kd_debugger_event event;
    const uint8_t *bytes;
    size_t size;
    for (;;) {
        while (kd_debugger_event(&w->d, &event)) {
            w->done += event.kind == KD_DEBUGGER_DONE;
            for (size_t i = 0; event.text != NULL && i < event.text_size; i++)
                text_sink ^= event.text[i];
            if (event.module != NULL)
                text_sink ^= event.module->path[strlen(event.module->path)];
            if (event.kind == KD_DEBUGGER_PROMPT)
                kd_debugger_answer(&w->d, w->now, "yes", 3);
        }
        size = kd_debugger_output(&w->d, &bytes);
        if (size == 0)
            return;
        kd_debugger_written(&w->d, w->now, size);
    }
}

static void feed(struct world *w, const uint8_t *data, size_t size)
{
    while (size > 0) {
        size_t used = kd_debugger_feed(&w->d, w->now, data, size);
        settle(w);
        data += used;
        size -= used;
    }
}

static void packet(struct world *w, uint16_t type, const uint8_t *body, size_t size)
{
    uint8_t bytes[KD_PACKET_MAX];
    bool control = type >= KD_PACKET_ACKNOWLEDGE && type <= KD_PACKET_RESET;
    if (control)
        size = 0;
    struct kd_header header = {control ? KD_LEADER_CONTROL : KD_LEADER_DATA, type, (uint16_t)size,
                               control ? w->d.link.next : w->d.link.expect,
                               kd_checksum(body, size)};
    kd_header_put(bytes, &header);
    memcpy(bytes + KD_HEADER_SIZE, body, size);
    bytes[KD_HEADER_SIZE + size] = KD_TRAILER;
    feed(w, bytes, KD_HEADER_SIZE + size + (control ? 0 : 1));
}

static int request(struct world *w, unsigned which)
{
    struct kd_debugger *d = &w->d;
    const uint32_t handles[] = {1, 2};
    switch (which % 22) {
    case 0:
        return kd_debugger_get_version(d, w->now, &w->version);
    case 1:
        return kd_debugger_read(d, w->now, KD_SPACE_VIRTUAL, 0, 0x1F00, w->memory, 9000);
    case 2:
        return kd_debugger_write(d, w->now, KD_SPACE_PHYSICAL, 0, 0x1000, w->memory, 5000);
    case 3:
        return kd_debugger_read(d, w->now, KD_SPACE_CONTROL, 0, 2, w->memory, 0xF0);
    case 4:
        return kd_debugger_get_context(d, w->now, 0, w->context);
    case 5:
        return kd_debugger_set_context(d, w->now, 0, w->context);
    case 6:
        return kd_debugger_write_breakpoint(d, w->now, 0x1000);
    case 7:
        return kd_debugger_restore_breakpoint(d, w->now, 1);
    case 8:
        return kd_debugger_read_msr(d, w->now, 0, 0x10);
    case 9:
        return kd_debugger_write_io(d, w->now, 0x80, 1, 7);
    case 10:
        return kd_debugger_read_bus(d, w->now, 4, 0, 0, 0, w->memory, 256);
    case 11:
        return kd_debugger_search(d, w->now, 0x1000, 0x1000, w->memory, 16);
    case 12:
        return kd_debugger_fill(d, w->now, 0x1000, 0x1000, w->memory, 4);
    case 13:
        return kd_debugger_query_memory(d, w->now, 0x1000);
    case 14:
        return kd_debugger_continue(d, w->now, KD_DBG_CONTINUE);
    case 15:
        return kd_debugger_continue2(d, w->now, KD_DBG_CONTINUE, true, 0x400);
    case 16:
        return kd_debugger_switch_processor(d, w->now, 1);
    case 17:
        return kd_debugger_walk_modules(d, w->now, 0x4000);
    case 18:
        return kd_debugger_detach(d, w->now, handles, 2, KD_DBG_CONTINUE);
    case 19:
        kd_debugger_attach(d, w->now, KD_ATTACH_STOP);
        return KD_E_ARGUMENT; /* not a request: no DONE */
    case 20:
        kd_debugger_disconnected(d);
        return KD_E_ARGUMENT;
    default:
        kd_debugger_break_in(d, w->now);
        return KD_E_ARGUMENT;
    }
}

static void pass_time(struct world *w, uint64_t microseconds)
{
    uint64_t end = w->now + microseconds;
    for (int i = 0; i < 200 && w->now < end; i++) {
        uint64_t deadline = kd_debugger_deadline(&w->d);
        w->now = deadline < end ? (deadline > w->now ? deadline : w->now) : end;
        kd_debugger_tick(&w->d, w->now);
        settle(w);
    }
    w->now = end;
}

static size_t step(struct world *w, const uint8_t *data, size_t size)
{
    uint8_t what = data[0];
    if (what < 64) {
        w->started += request(w, what) == KD_OK;
        settle(w);
        return 1;
    }
    if (what < 128) {
        pass_time(w, (what - 63u) * 20000u);
        return 1;
    }
    if (what < 160) {
        if (size < 3)
            return size;
        size_t length = kd_get_u16(data + 1) % (KD_BODY_MAX + 1);
        length = length < size - 3 ? length : size - 3;
        packet(w, (uint16_t)(what - 128), data + 3, length);
        return 3 + length;
    }
    size_t length = what - 159u;
    length = length < size - 1 ? length : size - 1;
    feed(w, data + 1, length);
    return 1 + length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    struct kd_debugger_config config = {.file = file};
    memset(&w, 0, sizeof w);
    kd_debugger_init(&w.d, &config);
    kd_debugger_attach(&w.d, w.now, KD_ATTACH_STOP);
    settle(&w);
    for (size_t at = 0; at < size;)
        at += step(&w, data + at, size - at);
    /* Whatever it said: each request ends, exactly once, within the time-outs. */
    for (int i = 0; i < 200 && kd_debugger_busy(&w.d); i++)
        pass_time(&w, 1000000);
    if (kd_debugger_busy(&w.d) || w.started != w.done)
        abort();
    return 0;
}
