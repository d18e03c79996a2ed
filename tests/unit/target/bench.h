/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A target over the simulated machine and the link of a debugger, joined by a perfect wire with a
 * virtual clock. Requests are made byte by byte, so that tests can send what no debugger would.
 */
#ifndef BENCH_H
#define BENCH_H

#include "kdwire/target.h"
#include "machine.h"

enum { BENCH_MESSAGES_MAX = 16 };

struct bench {
    struct sim_machine machine;
    struct kd_target target;
    struct kd_link debugger;
    uint64_t now;
    size_t longest_packet; /* body bytes sent by the target */
    struct bench_message { /* what the target sent, in order */
        uint16_t type;
        size_t size;
        uint8_t body[KD_BODY_MAX];
    } messages[BENCH_MESSAGES_MAX];
    size_t message_count;
};

struct bench *bench_new(const struct kd_target_config *config, const struct sim_config *sim,
                        const struct kd_machine_ops *ops);
void bench_free(struct bench *b);

/* Moves bytes until nobody has any. */
void bench_pump(struct bench *b);
/* Lets time pass in steps, moving bytes. */
void bench_wait(struct bench *b, uint64_t us);

/* Reports an int3 at RIP of CPU and takes the state change off the messages. */
void bench_stop(struct bench *b, uint32_t cpu);
/* Sends a packet from the debugger and pumps; the target's messages gather in b->messages. */
void bench_send(struct bench *b, uint16_t type, const uint8_t *body, size_t size);

/* A request body of the API, the rest filled with junk as WinDbg does. */
void bench_request(uint8_t body[KD_BODY_MAX], uint32_t api);
/* Sends SIZE bytes of request and returns the one reply, checked to have the same API. */
const struct bench_message *bench_ask(struct bench *b, const uint8_t *body, size_t size);
/* Sends a request that must have no reply. */
void bench_tell(struct bench *b, const uint8_t *body, size_t size);

/* Short forms for what most tests need. */
uint32_t bench_write_memory(struct bench *b, uint64_t address, const void *bytes, size_t size);
uint32_t bench_read_memory(struct bench *b, uint64_t address, void *bytes, size_t size);
uint32_t bench_breakpoint(struct bench *b, uint64_t address, uint32_t *handle);
void bench_continue2(struct bench *b, uint32_t status, bool trace, uint64_t dr7);

#define REPLY_STATUS(m) ((uint32_t)KD_GET((m)->body, Manipulate, ReturnStatus))

#endif
