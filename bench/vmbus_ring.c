/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast a ring moves 4 KiB messages, beside what the same bytes cost as a plain pair of memcpy
 * in the same process: into a buffer of the ring's size and out of it. Both ways are measured in
 * turns, so that noise meets both alike. One JSON object per line; run by bench/vmbus_bench.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmbus/pipe.h"

enum {
    MESSAGE = 4096,
    RING = 16 * VMBUS_PAGE,
    AT_ONCE = 8, /* messages sent before they are taken: some, as a busy channel has */
    ROUNDS = 50, /* half a millisecond: most turns meet no interruption */
    TURNS = 801,
};

static _Alignas(4096) uint8_t shared[2 * (VMBUS_PAGE + RING)];
static uint8_t plain[RING], from[MESSAGE], to[MESSAGE];
static uint64_t signals, packets;

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The guest's sender and a receiver laid over the same ring. */
static double through_ring(struct vmbus_pipe *sender, struct vmbus_pipe *receiver)
{
    double start = seconds();

    for (unsigned round = 0; round < ROUNDS; round++) {
        bool signal = false, told = false;

        for (unsigned i = 0; i < AT_ONCE; i++) {
            signal = false;
            if (vmbus_pipe_write(sender, 0, from, MESSAGE, &signal) != MESSAGE)
                abort();
            signals += signal;
            packets++;
        }
        for (unsigned i = 0; i < AT_ONCE; i++) {
            if (vmbus_pipe_read(receiver, 0, to, MESSAGE, &told) != MESSAGE)
                abort();
        }
    }
    return seconds() - start;
}

static double through_memcpy(void)
{
    double start = seconds();

    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < AT_ONCE; i++) {
            memcpy(plain + (size_t)i * MESSAGE, from, MESSAGE);
            __asm__ volatile("" : : "r"(plain) : "memory");
        }
        for (unsigned i = 0; i < AT_ONCE; i++) {
            memcpy(to, plain + (size_t)i * MESSAGE, MESSAGE);
            __asm__ volatile("" : : "r"(to) : "memory");
        }
    }
    return seconds() - start;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int main(void)
{
    static struct vmbus_pipe sender, receiver;
    double ratios[TURNS], ring[TURNS], copy[TURNS];
    double megabytes = (double)ROUNDS * AT_ONCE * MESSAGE / 1e6;

    vmbus_pipe_init(&sender, shared, RING, false, false, NULL);
    vmbus_pipe_init(&receiver, shared, RING, false, false, NULL);
    vmbus_ring_init(&receiver.in, shared, RING, false, false);
    vmbus_ring_init(&sender.out, shared, RING, true, false);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        ring[turn] = through_ring(&sender, &receiver);
        copy[turn] = through_memcpy();
        ratios[turn] = copy[turn] / ring[turn];
    }
    qsort(ratios, TURNS, sizeof ratios[0], compare);
    qsort(ring, TURNS, sizeof ring[0], compare);
    qsort(copy, TURNS, sizeof copy[0], compare);
    printf("{\"bench\":\"vmbus-ring\",\"message_bytes\":%d,\"ring_MB_per_s\":%.0f,"
           "\"memcpy_pair_MB_per_s\":%.0f,\"ratio_to_memcpy\":%.2f,\"packets\":%llu,"
           "\"signals\":%llu,\"empty_to_non_empty\":%llu}\n",
           MESSAGE, megabytes / ring[TURNS / 2], megabytes / copy[TURNS / 2], ratios[TURNS / 2],
           (unsigned long long)packets, (unsigned long long)signals,
           (unsigned long long)sender.out.transitions);
    return 0;
}
