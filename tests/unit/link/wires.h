/* SPDX-License-Identifier: BSD-2-Clause */
/* What the link tests share: packets made by hand, and a link fed and read by hand. */
#ifndef TESTS_LINK_WIRES_H
#define TESTS_LINK_WIRES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kdwire/error.h"
#include "kdwire/link.h"

enum { A = 0, B = 1 }; /* the two ids of the serial pair */

uint32_t id(int which);      /* INITIAL or INITIAL + 1 */
uint32_t sync_id(int which); /* the same with the SYNC bit */

/* Bytes of a packet; TO holds KD_PACKET_MAX. Return the size. */
size_t make_data(uint8_t *to, uint16_t type, uint32_t packet_id, const uint8_t *body, size_t size);
size_t make_control(uint8_t *to, uint16_t type, uint32_t packet_id);

/* A manipulate body: API, zeros, and TAG as the first byte of the union. */
enum { BODY_SIZE = 56 };
const uint8_t *manipulate(uint32_t api, uint8_t tag);

/* One end, on its own clock. */
struct end {
    struct kd_link link;
    uint64_t now;
    /* what came of the last calls, cleared by `look` */
    enum kd_link_event_kind events[16];
    size_t event_count;
    uint8_t body[KD_BODY_MAX];
    size_t body_size;
    uint16_t type;
    /* packets that it wrote */
    struct {
        uint32_t leader;
        uint16_t type;
        uint32_t id;
        uint8_t tag; /* body[16], if there is one */
    } written[64];
    size_t written_count;
    size_t break_ins_written;
};

void start(struct end *end, enum kd_role role);
/* Each of these drains events and output afterwards. */
void feed(struct end *end, const uint8_t *bytes, size_t size);
void feed_data(struct end *end, uint16_t type, uint32_t packet_id, const uint8_t *body);
void feed_damaged(struct end *end, uint16_t type, uint32_t packet_id, const uint8_t *body);
void feed_control(struct end *end, uint16_t type, uint32_t packet_id);
void send(struct end *end, uint16_t type, const uint8_t *body);
void wait_us(struct end *end, uint64_t us);
void collect(struct end *end);

/* Assert that exactly this happened since the last look, and forget it. */
#define expect_events(end, ...)                                                                    \
    check_events((end), (const enum kd_link_event_kind[]){__VA_ARGS__, KD_LINK_NOTHING}, __FILE__, \
                 __LINE__)
#define expect_no_event(end)                                                                       \
    check_events((end), (const enum kd_link_event_kind[]){KD_LINK_NOTHING}, __FILE__, __LINE__)
void check_events(struct end *end, const enum kd_link_event_kind *kinds, const char *file,
                  int line);
#define expect_written(end, type, id) check_written((end), (type), (id), __FILE__, __LINE__)
#define expect_nothing_written(end)   check_nothing((end), __FILE__, __LINE__)
void check_written(struct end *end, uint16_t type, uint32_t packet_id, const char *file, int line);
void check_nothing(struct end *end, const char *file, int line);

#endif
