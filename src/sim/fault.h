/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bad wire: takes what one end writes and gives the other end what comes of it. Deterministic
 * (the same seed and the same writes give the same faults), sans-I/O: time comes from the caller.
 * One injector is one direction. Used by tests and by `kdwire sim --faults`.
 *
 * Each KD packet inside a write (and each run of other bytes) meets each kind of fault with the
 * kind's own probability, independently. The order of bytes is always kept.
 */
#ifndef KDWIRE_SIM_FAULT_H
#define KDWIRE_SIM_FAULT_H

#include <stddef.h>
#include <stdint.h>

/* X(name, word in a specification, what it does) */
#define SIM_FAULT_MAP(X)                                                                           \
    X(DROP, "drop", "the packet never arrives")                                                    \
    X(LOSE_BYTE, "lose", "one byte of it is missing")                                              \
    X(FLIP_PAYLOAD, "payload", "one byte of the body is changed")                                  \
    X(FLIP_TRAILER, "trailer", "the byte after the body is changed")                               \
    X(FLIP_HEADER, "header", "one byte of the header is changed: no checksum covers it")           \
    X(DUPLICATE, "duplicate", "it arrives twice")                                                  \
    X(DELAY, "delay", "it, and what follows, arrives later by up to `delay_us`")                   \
    X(SPLIT, "split", "it arrives in two pieces, the second later by up to `split_us`")

enum sim_fault_kind {
#define SIM_FAULT_ENUM(name, word, text) SIM_FAULT_##name,
    SIM_FAULT_MAP(SIM_FAULT_ENUM)
#undef SIM_FAULT_ENUM
        SIM_FAULT_KINDS,
};

enum {
    SIM_FAULT_ALWAYS = 1000000, /* probabilities are parts per million */
    /* Bytes on the way. More means that nobody reads; a real wire would lose them. */
    SIM_FAULT_QUEUE_MAX = 1 << 20,
};

struct sim_fault_config {
    uint64_t seed;
    uint32_t ppm[SIM_FAULT_KINDS];
    uint64_t delay_us; /* longest delay; 0 = 100000 */
    uint64_t split_us; /* longest gap between two pieces; 0 = 20000 */
};

/*
 * Reads "seed=7,drop=1%,header=500,delay_us=50000": words of SIM_FAULT_MAP with parts per million
 * or a percentage ("all=1%" sets every kind but header), and the names of the other fields. 0, or
 * KD_E_FORMAT with *WHERE on the part that was not understood. CONFIG is filled from zero.
 */
int sim_fault_parse(struct sim_fault_config *config, const char *text, const char **where);

struct sim_fault;

/* NULL when there is no memory. */
struct sim_fault *sim_fault_new(const struct sim_fault_config *config);
void sim_fault_free(struct sim_fault *wire);

/* One write. 0, KD_E_NO_SPACE (nothing was taken) or KD_E_NO_MEMORY. */
int sim_fault_write(struct sim_fault *wire, uint64_t now, const uint8_t *bytes, size_t size);

/* Takes up to ROOM bytes that are due, at most one piece per call; 0 = nothing is due. */
size_t sim_fault_read(struct sim_fault *wire, uint64_t now, uint8_t *to, size_t room);

/* When the next bytes are due; UINT64_MAX when nothing is on the way. */
uint64_t sim_fault_deadline(const struct sim_fault *wire);

/* Faults done so far, by kind. */
uint64_t sim_fault_count(const struct sim_fault *wire, enum sim_fault_kind kind);

#endif
