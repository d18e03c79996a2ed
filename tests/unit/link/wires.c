/* SPDX-License-Identifier: BSD-2-Clause */
#include "wires.h"

#include <string.h>

uint32_t id(int which)
{
    return KD_ID_INITIAL + (uint32_t)which;
}

uint32_t sync_id(int which)
{
    return id(which) | 0x800;
}

size_t make_data(uint8_t *to, uint16_t type, uint32_t packet_id, const uint8_t *body, size_t size)
{
    const struct kd_header header = {KD_LEADER_DATA, type, (uint16_t)size, packet_id,
                                     kd_checksum(body, size)};
    kd_header_put(to, &header);
    memcpy(to + KD_HEADER_SIZE, body, size);
    to[KD_HEADER_SIZE + size] = KD_TRAILER;
    return KD_HEADER_SIZE + size + 1;
}

size_t make_control(uint8_t *to, uint16_t type, uint32_t packet_id)
{
    const struct kd_header header = {KD_LEADER_CONTROL, type, 0, packet_id, 0};
    kd_header_put(to, &header);
    return KD_HEADER_SIZE;
}

const uint8_t *manipulate(uint32_t api, uint8_t tag)
{
    static uint8_t bodies[8][BODY_SIZE];
    static size_t turn;
    uint8_t *body = bodies[turn++ % 8];

    memset(body, 0, BODY_SIZE);
    kd_put_u32(body, api);
    body[16] = tag;
    return body;
}

void start(struct end *end, enum kd_role role)
{
    const struct kd_link_config config = {.role = role};
    memset(end, 0, sizeof(*end));
    kd_link_init(&end->link, &config);
    if (role == KD_ROLE_TARGET)
        kd_link_expect(&end->link, KD_PACKET_STATE_MANIPULATE);
}

static void collect_events(struct end *end)
{
    struct kd_link_event event;
    while (kd_link_event(&end->link, &event)) {
        assert_true(end->event_count < 16);
        end->events[end->event_count++] = event.kind;
        if (event.kind != KD_LINK_PACKET)
            continue;
        end->type = event.type;
        end->body_size = event.body_size;
        memcpy(end->body, event.body, event.body_size);
    }
}

static void collect_written(struct end *end, const uint8_t *bytes, size_t size)
{
    while (size) {
        if (bytes[0] == KD_BREAK_IN_BYTE) {
            end->break_ins_written++;
            bytes++;
            size--;
            continue;
        }
        struct kd_header header;
        assert_true(size >= KD_HEADER_SIZE);
        kd_header_get(&header, bytes);
        bool is_data = header.leader == KD_LEADER_DATA;
        size_t whole = (size_t)KD_HEADER_SIZE + header.byte_count + (is_data ? 1 : 0);
        assert_true(size >= whole);
        assert_true(end->written_count < 64);
        end->written[end->written_count].leader = header.leader;
        end->written[end->written_count].type = header.type;
        end->written[end->written_count].id = header.id;
        end->written[end->written_count].tag = header.byte_count > 16 ? bytes[32] : 0;
        end->written_count++;
        bytes += whole;
        size -= whole;
    }
}

void collect(struct end *end)
{
    const uint8_t *bytes;
    size_t size;

    collect_events(end);
    while ((size = kd_link_output(&end->link, &bytes))) {
        collect_written(end, bytes, size);
        kd_link_written(&end->link, end->now, size);
    }
}

void feed(struct end *end, const uint8_t *bytes, size_t size)
{
    while (size) {
        size_t used = kd_link_feed(&end->link, end->now, bytes, size);
        bytes += used;
        size -= used;
        collect_events(end);
    }
    collect(end);
}

void feed_data(struct end *end, uint16_t type, uint32_t packet_id, const uint8_t *body)
{
    uint8_t bytes[KD_PACKET_MAX];
    feed(end, bytes, make_data(bytes, type, packet_id, body, BODY_SIZE));
}

void feed_damaged(struct end *end, uint16_t type, uint32_t packet_id, const uint8_t *body)
{
    uint8_t bytes[KD_PACKET_MAX];
    size_t size = make_data(bytes, type, packet_id, body, BODY_SIZE);
    bytes[KD_HEADER_SIZE + 20] ^= 1;
    feed(end, bytes, size);
}

void feed_control(struct end *end, uint16_t type, uint32_t packet_id)
{
    uint8_t bytes[KD_HEADER_SIZE];
    feed(end, bytes, make_control(bytes, type, packet_id));
}

void send(struct end *end, uint16_t type, const uint8_t *body)
{
    assert_int_equal(kd_link_send(&end->link, end->now, type, body, BODY_SIZE, NULL, 0), 0);
    collect(end);
}

/* Lets time pass from deadline to deadline, as an event loop does. */
void wait_us(struct end *end, uint64_t us)
{
    uint64_t until = end->now + us;
    for (;;) {
        uint64_t deadline = kd_link_deadline(&end->link);
        if (deadline > until)
            break;
        end->now = deadline > end->now ? deadline : end->now;
        kd_link_tick(&end->link, end->now);
        collect(end);
    }
    end->now = until;
}

void check_events(struct end *end, const enum kd_link_event_kind *kinds, const char *file, int line)
{
    size_t count = 0;
    for (; kinds[count] != KD_LINK_NOTHING; count++)
        if (count < end->event_count)
            _assert_int_equal(end->events[count], kinds[count], file, line);
    _assert_int_equal(end->event_count, count, file, line);
    end->event_count = 0;
}

void check_written(struct end *end, uint16_t type, uint32_t packet_id, const char *file, int line)
{
    _assert_true(end->written_count > 0, "something was written", file, line);
    _assert_int_equal(end->written[0].type, type, file, line);
    _assert_int_equal(end->written[0].id, packet_id, file, line);
    end->written_count--;
    memmove(end->written, end->written + 1, end->written_count * sizeof(end->written[0]));
}

void check_nothing(struct end *end, const char *file, int line)
{
    _assert_int_equal(end->written_count, 0, file, line);
}
