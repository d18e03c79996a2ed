/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile Hyper-V host: whatever it puts into message slots, control pages and rings, and
 * whatever its hypercalls return, the client stays within its pages and within the firmware's
 * rules.
 *
 * The first byte chooses: bit 0 socket, bit 1 windbg-uefi's framing, bit 2 acknowledgements, bit 3
 * nobody else here (the client is the owner), bit 4 the channel is opened by a host that behaves
 * before the hostile one takes over. Then operations, each a byte and its operands:
 *   0 SIZE BYTES...      a message of that size in the slot
 *   1 AT16 BYTE          a byte of the control pages and rings
 *   2 RING FIELD VALUE32 a word of a control page
 *   3 STEPS              polls
 *   4 SIZE               the client reads
 *   5 SIZE               the client writes
 *   6 STATUS             what the next hypercalls return
 *   7                    the client leaves, or starts again
 *   8 LENGTH BYTES...    a packet's worth of bytes behind the write index, which moves on
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kdwire/wire.h"
#include "vmbus/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    PAGE = 4096,
    RING_PAGES = 1,
    RINGS = 2 * (RING_PAGES + 1) * PAGE,
    OPERATIONS_MAX = 400,
    SINT = 5,
    OWNER_SINT = 2,
};

static struct {
    struct vmbus_client client;
    uint8_t *blocks[4]; /* input, messages, events, hypercall: one block each, so that ASan sees */
    uint8_t *rings;
    uint32_t status;
    bool owner;
    uint64_t now;
    uint64_t msr[0x100];
} box;

static void op_cpuid(void *context, uint32_t leaf, uint32_t r[4])
{
    (void)context;
    memset(r, 0, 4 * sizeof *r);
    r[2] = leaf == 1 ? 0x80000000u : 0;
    r[0] = leaf == 0x40000000 ? 0x40000010u : leaf == 0x40000001 ? 0x31237648u : 0xFFFu;
    if (leaf == 0x40000003) {
        r[1] = 0x30;
        r[3] = 1u << 17;
    }
}

static int op_read(void *context, uint32_t msr, uint64_t *value)
{
    (void)context;
    *value = box.msr[msr & 0xFF];
    return 0;
}

static int op_write(void *context, uint32_t msr, uint64_t value)
{
    (void)context;
    if (!box.owner && (msr == 0x40000090 + OWNER_SINT || msr == 0x40000083 || msr == 0x40000082))
        __builtin_trap(); /* the firmware's */
    if (msr == 0x40000080 && (value & 1) == 0)
        __builtin_trap();
    box.msr[msr & 0xFF] = value;
    return 0;
}

static uint64_t op_hypercall(void *context, uint64_t page, uint64_t control, uint64_t input,
                             uint64_t output)
{
    (void)context;
    (void)output;
    if (page == 0)
        __builtin_trap();
    if (control == 0x5C) {
        const uint8_t *block = (const uint8_t *)(uintptr_t)input;

        if (kd_get_u32(block + 12) > 240 || (!box.owner && kd_get_u32(block) == 1))
            __builtin_trap();
    }
    return box.status;
}

static const struct vmbus_hv hv = {NULL, op_cpuid, op_read, op_write, op_hypercall};

static uint8_t *new_page(size_t pages)
{
    uint8_t *at = aligned_alloc(PAGE, pages * PAGE);

    if (at == NULL)
        abort();
    memset(at, 0, pages * PAGE);
    return at;
}

static void message(const uint8_t *bytes, size_t size)
{
    uint8_t *slot = box.blocks[1] + (size_t)(box.owner ? OWNER_SINT : SINT) * 256;

    memcpy(slot + 16, bytes, size < 240 ? size : 240);
    slot[4] = (uint8_t)size; /* may be more than a slot holds */
    slot[5] = size & 1;
    kd_put_u32(slot, 1);
}

static void poll(unsigned steps)
{
    while (steps-- != 0) {
        vmbus_client_poll(&box.client, box.now);
        box.now += 50000;
        if (box.client.outbox_count > VMBUS_OUTBOX_MAX)
            __builtin_trap();
    }
}

static void answer(uint8_t type, uint32_t a, uint32_t b, uint32_t c)
{
    uint8_t m[20] = {type};

    kd_put_u32(m + 8, a);
    kd_put_u32(m + 12, b);
    kd_put_u32(m + 16, c);
    message(m, sizeof m);
    poll(2);
}

static void open_channel(bool socket)
{
    uint8_t offer[196] = {1};

    poll(2);
    answer(15, 1, 9, 0);
    poll(2);
    memcpy(offer + 8, vmbus_kdwire_type.bytes, 16);
    offer[56] = 0x11;
    offer[57] = socket ? 0x20 : 0;
    offer[64] = socket;
    offer[184] = 7;
    message(offer, sizeof offer);
    poll(2);
    answer(10, 7, box.client.gpadl, 0);
    answer(6, 7, box.client.open_id, 0);
}

static void start(uint8_t choice)
{
    struct vmbus_memory memory = {
        .pages = {box.blocks[0], box.blocks[1], box.blocks[2], box.blocks[3]},
        .rings = box.rings,
        .ring_pages = RING_PAGES,
    };
    struct vmbus_wanted wanted = {
        .socket = (choice & 1) != 0,
        .type = vmbus_kdwire_type,
        .windbg_uefi_framing = (choice & 2) != 0,
        .acknowledge = (choice & 4) != 0,
        .vector = 0x53,
    };

    if (vmbus_client_start(&box.client, &hv, &memory, &wanted, box.now) != 0)
        return;
    if ((choice & 16) != 0)
        open_channel(wanted.socket);
}

struct input {
    const uint8_t *at;
    size_t left;
};

static uint32_t take(struct input *input, unsigned bytes)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < bytes && input->left != 0; i++, input->left--)
        value |= (uint32_t)*input->at++ << (8 * i);
    return value;
}

static void put_behind_write_index(struct input *input)
{
    uint8_t *control = box.rings + (RING_PAGES + 1) * PAGE;
    uint32_t index = kd_get_u32(control) % (RING_PAGES * PAGE);
    size_t length = take(input, 1);

    for (size_t i = 0; i < length && input->left != 0; i++)
        control[PAGE + (index + i) % (RING_PAGES * PAGE)] = (uint8_t)take(input, 1);
    kd_put_u32(control, (index + (uint32_t)length) % (RING_PAGES * PAGE));
}

static void operate(struct input *input, uint8_t choice)
{
    static uint8_t buffer[65536];
    uint32_t n, at;

    switch (take(input, 1) % 9) {
    case 0:
        n = take(input, 1);
        message(input->at, n < input->left ? n : input->left);
        n = n < input->left ? n : (uint32_t)input->left;
        input->at += n;
        input->left -= n;
        break;
    case 1:
        at = take(input, 2);
        box.rings[at % RINGS] = (uint8_t)take(input, 1);
        break;
    case 2:
        at = take(input, 1) % 2 * (RING_PAGES + 1) * PAGE;
        at += take(input, 1) % 20 * 4;
        kd_put_u32(box.rings + at, take(input, 4));
        break;
    case 3:
        poll(take(input, 1) % 16);
        break;
    case 4:
        n = take(input, 1) * 64 + 1;
        if (vmbus_client_read(&box.client, box.now, buffer, n) > n)
            __builtin_trap();
        break;
    case 5:
        n = take(input, 1) * 64 + 1;
        if (vmbus_client_write(&box.client, box.now, buffer, n) > n)
            __builtin_trap();
        break;
    case 6:
        box.status = take(input, 1);
        break;
    case 7:
        if (box.client.state == VMBUS_OFF || box.client.state == VMBUS_FAILED)
            start(choice);
        else
            vmbus_client_stop(&box.client, box.now);
        break;
    default:
        put_behind_write_index(input);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    uint8_t choice = (uint8_t)take(&input, 1);

    memset(&box, 0, sizeof box);
    for (unsigned i = 0; i < 4; i++)
        box.blocks[i] = new_page(1);
    box.rings = new_page(RINGS / PAGE);
    box.owner = (choice & 8) != 0;
    for (unsigned i = 0x90; i < 0xA0; i++)
        box.msr[i] = 0x10000;
    box.msr[0x80] = 1;
    if (!box.owner) {
        box.msr[0] = 1ull << 40;
        box.msr[1] = (uint64_t)(uintptr_t)box.blocks[3] | 1;
        box.msr[0x82] = (uint64_t)(uintptr_t)box.blocks[2] | 1;
        box.msr[0x83] = (uint64_t)(uintptr_t)box.blocks[1] | 1;
        box.msr[0x92] = 0x41;
    }
    start(choice);
    for (unsigned i = 0; i < OPERATIONS_MAX && input.left != 0; i++)
        operate(&input, choice);
    vmbus_client_stop(&box.client, box.now);
    poll(500); /* every wait has an end */
    if (box.client.state != VMBUS_OFF && box.client.state != VMBUS_FAILED)
        __builtin_trap();
    for (unsigned i = 0; i < 4; i++)
        free(box.blocks[i]);
    free(box.rings);
    return 0;
}
