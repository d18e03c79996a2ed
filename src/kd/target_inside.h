/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the debuggee's engine: target.c keeps its state and talks to the link,
 * target_memory.c hides its breakpoints, target_requests.c answers requests. */
#ifndef KDWIRE_TARGET_INSIDE_H
#define KDWIRE_TARGET_INSIDE_H

#include "kdwire/target.h"

enum {
    KD_MAJOR_KIND_SHIFT = 8, /* of MajorVersion: what kind of debuggee */
    KD_MAJOR_KIND_BOOT_DEBUGGER = 4,
};

static inline size_t kd_at_most(uint64_t wanted, size_t limit)
{
    return wanted < limit ? (size_t)wanted : limit;
}

/* target.c: back to RUNNING. */
void kd_target_leave(struct kd_target *t, enum kd_target_resume resume);

/* target_memory.c: memory as the debugger is to see it; bytes done. */
size_t kd_target_read_shown(struct kd_target *t, uint64_t address, uint8_t *to, size_t size);
size_t kd_target_write_shown(struct kd_target *t, uint64_t address, const uint8_t *from,
                             size_t size);
/* The handle, 1..32, or 0: table full, another one there, no such memory, or refused. */
uint32_t kd_target_add_breakpoint(struct kd_target *t, uint64_t address, const uint8_t *instruction,
                                  size_t size);
bool kd_target_remove_handle(struct kd_target *t, uint32_t handle);
void kd_target_remove_range(struct kd_target *t, uint64_t address, size_t size);

/* target_requests.c: answers one request, or acts on it. Shorter bodies are ignored. */
void kd_target_serve(struct kd_target *t, uint64_t now, const uint8_t *body, size_t size);
/* Zeroed first; KD_E_UNSUPPORTED if the machine has none. Buffers of KD_CONTEXT_AMD64_SIZE and
 * KD_SPECIAL_AMD64_MAX bytes. */
int kd_target_load_context(struct kd_target *t, uint32_t cpu, uint8_t *context);
int kd_target_load_special(struct kd_target *t, uint32_t cpu, uint8_t *special);
/* The tail of the reply buffer: free in every request that carries at most one context, and
 * between requests. */
uint8_t *kd_target_scratch(struct kd_target *t);

#endif
