/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside src/vmbus only: memory that the host reads and writes while we do. Every word that either
 * side waits on goes through these; bytes are copied out before they are believed.
 */
#ifndef KDWIRE_VMBUS_SHARED_H
#define KDWIRE_VMBUS_SHARED_H

#include <stdint.h>

static inline uint32_t shared_load(const uint8_t *at)
{
    return __atomic_load_n((const uint32_t *)(const void *)at, __ATOMIC_ACQUIRE);
}

static inline void shared_store(uint8_t *at, uint32_t value)
{
    __atomic_store_n((uint32_t *)(void *)at, value, __ATOMIC_RELEASE);
}

static inline uint8_t shared_load_byte(const uint8_t *at)
{
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

/* A store above is seen by the other side before a load below is made. x86 orders everything but
 * this pair by itself; a locked instruction or MFENCE does it. */
static inline void shared_barrier(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
