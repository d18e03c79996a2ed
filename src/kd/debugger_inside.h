/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the debugger's engine: debugger.c keeps its state and hears the link,
 * debugger_requests.c begins what the user asks for, debugger_operations.c carries it through,
 * debugger_packets.c sees each of its packets to its reply. */
#ifndef KDWIRE_DEBUGGER_INSIDE_H
#define KDWIRE_DEBUGGER_INSIDE_H

#include "kdwire/debugger.h"

/* debugger.c: the new event, zeroed but for its kind; it stays where it is until taken. */
struct kd_debugger_event *kd_debugger_push(struct kd_debugger *d, enum kd_debugger_event_kind kind);
/* Ids change when a RESET is answered: what was sent before goes out again with a new one, and may
 * then take effect twice. So requests wait for the answer, for a while: not every target gives
 * one. */
void kd_debugger_await_reset(struct kd_debugger *d, uint64_t now);
void kd_debugger_send_reset(struct kd_debugger *d, uint64_t now);
/* What was known of the target is forgotten; a request under way ends with KD_E_RESET. */
void kd_debugger_target_restarted(struct kd_debugger *d, uint64_t now);

/* debugger_packets.c: sends what the request's head (filled in from offset 16 on) and DATA say. */
void kd_debugger_start_packet(struct kd_debugger *d, uint64_t now, uint32_t api,
                              const uint8_t *data, size_t data_size);
void kd_debugger_clear_head(struct kd_debugger *d);
/* Sends the packet under way unless it was sent, the link is busy or a RESET is unanswered. */
void kd_debugger_try_send(struct kd_debugger *d, uint64_t now);
/* Finds out with a RESET what became of a packet without answer; gives up after some tries. */
void kd_debugger_ask(struct kd_debugger *d, uint64_t now, bool reset_sent);
/* The request under way ends: DONE. */
void kd_debugger_finish(struct kd_debugger *d, int result, uint32_t status, uint64_t value);
/* Whether a second execution has no other effect than the first. */
bool kd_debugger_repeatable(uint32_t api);
/* Whether the packet under way lets the target run: it has no reply. */
bool kd_debugger_is_go(const struct kd_debugger_request *r);
void kd_debugger_on_reply(struct kd_debugger *d, uint64_t now, uint32_t api, const uint8_t *body,
                          size_t body_size);

/* debugger_operations.c: the next packet of an operation. CLIP_TO_PAGE: no further than this page,
 * since the next one may be absent. */
void kd_debugger_next_piece(struct kd_debugger *d, uint64_t now, bool clip_to_page);
void kd_debugger_next_context(struct kd_debugger *d, uint64_t now);
void kd_debugger_next_detach(struct kd_debugger *d, uint64_t now);
void kd_debugger_go(struct kd_debugger *d, uint64_t now, uint32_t status);
void kd_debugger_go2(struct kd_debugger *d, uint64_t now, uint32_t status, bool trace,
                     uint64_t dr7);
/* The packet under way ended: with a reply (RESULT 0, BODY) or without (BODY NULL). */
void kd_debugger_packet_done(struct kd_debugger *d, uint64_t now, int result, uint32_t status,
                             const uint8_t *body, size_t body_size);

/* debugger_modules.c: from the list's HEAD; a step at each end of a read. */
void kd_debugger_walk_start(struct kd_debugger *d, uint64_t now, uint64_t head);
void kd_debugger_walk_step(struct kd_debugger *d, uint64_t now, uint32_t status);

/* debugger_stops.c: BODY has at least KD_STATE_CHANGE_SIZE bytes. */
void kd_debugger_parse_stop(struct kd_stop *s, uint32_t kind, const uint8_t *body,
                            size_t body_size);

/* debugger_files.c: what the target asks for; the answer goes out when the link is free. */
void kd_debugger_on_debug_io(struct kd_debugger *d, uint32_t api, const uint8_t *body,
                             size_t body_size);
void kd_debugger_on_file_io(struct kd_debugger *d, uint64_t now, uint32_t api, const uint8_t *body,
                            size_t body_size);
void kd_debugger_send_answer(struct kd_debugger *d, uint64_t now);

#endif
