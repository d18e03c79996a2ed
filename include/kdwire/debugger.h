/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The debugger's engine: attaches to a target, carries out requests, reports stops, text and
 * modules. Sans-I/O, over kd/link; no memory but the struct and the buffers its user lends.
 *
 * How to use it (times are microseconds, as in kd/link):
 *   kd_debugger_init(d, &config);  kd_debugger_attach(d, now, KD_ATTACH_STOP);
 *   n = kd_debugger_feed(d, now, bytes, size)      until all bytes are used; after each call
 *   while (kd_debugger_event(d, &event)) ...       drain the events (feed stops when one waits)
 *   while ((n = kd_debugger_output(d, &p)))        write up to n bytes from p, then
 *       kd_debugger_written(d, now, n)             say how many the wire took
 *   kd_debugger_tick(d, now)                       when kd_debugger_deadline(d) has come
 * Calls that start something can produce events and output at once: drain after them, too.
 *
 * One request is under way at a time (KD_E_BUSY). It ends with exactly one KD_DEBUGGER_DONE.
 * A request whose answer does not come is asked again only where that has no second effect; see
 * the table in debugger.c.
 */
#ifndef KDWIRE_DEBUGGER_H
#define KDWIRE_DEBUGGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kdwire/error.h"
#include "kdwire/link.h"
#include "kdwire/protocol.h"

enum {
    /* Longest module path kept; longer ones (only a hostile target sends them) are cut in front,
     * so that the file name stays. NUL included. */
    KD_MODULE_PATH_MAX = 260,
    /* Entries of a loader list that are walked: ten times what a busy Windows has, so that a list
     * that never ends (hostile or damaged memory) ends here. */
    KD_MODULE_WALK_MAX = 4096,
    /* Events that can wait: more than one packet or one call ever causes. */
    KD_DEBUGGER_EVENTS_MAX = 8,
};

enum kd_debugger_state {
    KD_DEBUGGER_IDLE,      /* not attached: nothing is sent */
    KD_DEBUGGER_ATTACHING, /* RESET and break-in alternate until a state change comes */
    KD_DEBUGGER_RUNNING,   /* attached, the target runs (or: is believed to) */
    KD_DEBUGGER_STOPPED,   /* requests are served */
};

enum kd_attach {
    KD_ATTACH_STOP, /* stop the target: RESET, and break-in if that brings no state change */
    KD_ATTACH_WAIT, /* RESET only: a stopped target answers, a running one runs on until it stops */
};

/* Whether the target has been heard; told by kd_debugger_heard for error texts. */
enum kd_heard {
    KD_HEARD_NOTHING,
    KD_HEARD_JUNK,    /* bytes, but no packet: a console, another protocol, a wrong speed */
    KD_HEARD_PACKETS, /* KD packets */
};

struct kd_module {
    uint64_t base;
    uint32_t size;
    uint32_t checksum;
    char path[KD_MODULE_PATH_MAX]; /* as the target spells it; NUL-terminated, "" = unknown */
};

enum kd_stop_kind {
    KD_STOP_EXCEPTION,
    KD_STOP_LOAD,    /* a module was loaded */
    KD_STOP_UNLOAD,  /* a module was unloaded; base UINT64_MAX: the target goes away */
    KD_STOP_COMMAND, /* the target asks the debugger to execute a command, then to continue */
};

/* One stop; fields as in STATE_CHANGE64. Everything comes from the target and may be a lie. */
struct kd_stop {
    enum kd_stop_kind kind;
    bool repeated; /* byte for byte the stop before: the target most likely never ran */
    uint16_t cpu;
    uint32_t cpu_count;
    uint64_t thread;
    uint64_t program_counter;
    /* KD_STOP_EXCEPTION */
    uint32_t code, flags;
    uint64_t address;
    uint32_t parameter_count; /* <= 15 */
    uint64_t parameters[15];
    bool first_chance;
    /* KD_STOP_LOAD, KD_STOP_UNLOAD */
    struct kd_module module;
    uint64_t process_id;
    /* KD_STOP_COMMAND: NUL-terminated */
    char component[128];
    char command[512];
    /* Control report (amd64) */
    uint64_t dr6, dr7;
    uint32_t eflags;
    uint16_t cs;
    uint16_t instruction_count; /* <= 16 */
    uint8_t instructions[KD_INSTRUCTION_STREAM_MAX];
};

enum kd_debugger_event_kind {
    KD_DEBUGGER_NOTHING,
    KD_DEBUGGER_STOP,            /* `stop`: the target stopped */
    KD_DEBUGGER_RUN,             /* the target acknowledged Continue: it runs */
    KD_DEBUGGER_PRINT,           /* `text` */
    KD_DEBUGGER_PROMPT,          /* `text`, `answer_max`: answer with kd_debugger_answer */
    KD_DEBUGGER_MODULE_LOADED,   /* `module`, from a stop or from kd_debugger_walk_modules */
    KD_DEBUGGER_MODULE_UNLOADED, /* `module` */
    KD_DEBUGGER_RESTARTED,       /* the target restarted its streams: it rebooted or gave up on us;
                                    handles of breakpoints are void, and it runs unless a STOP
                                    follows */
    KD_DEBUGGER_LOST,            /* the target does not answer any more; it may come back. It counts
                                    as RUNNING: kd_debugger_break_in finds out */
    KD_DEBUGGER_RECOVERED,       /* an answer was lost and had to be asked for again */
    KD_DEBUGGER_DONE,            /* the request ended: `result` ... */
    KD_DEBUGGER_DETACHED,        /* kd_debugger_detach ended */
};

struct kd_debugger_event {
    enum kd_debugger_event_kind kind;
    const struct kd_stop *stop;     /* valid until the next stop */
    const struct kd_module *module; /* valid until the next call that takes `now` */
    const char *text;               /* PRINT, PROMPT: 8-bit, not NUL-terminated; as `module` */
    size_t text_size;
    uint32_t answer_max; /* PROMPT: bytes wanted */
    /* DONE */
    int result;      /* 0 or a kd_error: KD_E_REFUSED (see status), KD_E_TIMEOUT, KD_E_FAULT, ... */
    uint32_t status; /* NTSTATUS of the last reply */
    size_t count;    /* bytes transferred, exact also when result is an error */
    uint64_t value;  /* breakpoint: handle; MSR, I/O: value; search: address; walk: modules */
    bool maybe_done; /* with KD_E_TIMEOUT, KD_E_RESET: it is not known whether it took effect */
};

/* A file request of the target (.kdfiles). Fill in status and what the operation returns. */
struct kd_file_request {
    uint32_t api;        /* KD_API_CREATE_FILE, READ, WRITE, CLOSE */
    const uint8_t *path; /* create: UTF-16LE, not necessarily aligned or terminated */
    size_t path_bytes;
    uint32_t access, attributes, share, disposition, options;
    uint64_t handle; /* in; out for create */
    uint64_t offset;
    uint64_t length;     /* in: bytes wanted; out: bytes done, or the file's size (create) */
    const uint8_t *data; /* write: `length` bytes */
    uint8_t *buffer;     /* read: room for `length` (<= KD_FILE_IO_DATA_MAX) bytes */
    uint32_t status;     /* out: NTSTATUS; starts as KD_STATUS_NO_SUCH_FILE */
};

enum {
    /* With it a reply fits one Ethernet frame (1,442 bytes with all headers): firewalls and NATs
     * often drop what IP has fragmented. */
    KD_PIECE_KDNET = 1300,
};

/* All zero fields take the defaults. */
struct kd_debugger_config {
    struct kd_link_config link;  /* role is set by the engine */
    uint64_t request_timeout_us; /* from acknowledgement to reply; default 3 s */
    unsigned request_tries;      /* times that an answer is asked for; default 4 */
    unsigned piece_max; /* bytes of memory in one request; default KD_MANIPULATE_DATA_MAX. Less
                           where a packet must fit something smaller, e.g. KD_PIECE_KDNET */
    uint64_t attach_interval_us; /* between RESET and break-in while attaching; default 1 s */
    void (*file)(void *context, struct kd_file_request *request); /* NULL: all are refused */
    void *file_context;
};

/* GetVersion's reply; fields as in the protocol. */
struct kd_debugger_version {
    uint16_t major, minor, flags, machine_type;
    uint8_t protocol, secondary, max_packet_type, max_state_change, max_manipulate, simulation;
    uint64_t kernel_base, loaded_module_list, debugger_data_list;
};

enum kd_space {
    KD_SPACE_VIRTUAL,
    KD_SPACE_PHYSICAL,
    KD_SPACE_CONTROL, /* address: index 0..3 */
};

struct kd_debugger; /* fields below, private to debugger.c */

void kd_debugger_init(struct kd_debugger *debugger, const struct kd_debugger_config *config);

/* The wire, as in kd/link. */
size_t kd_debugger_feed(struct kd_debugger *debugger, uint64_t now, const uint8_t *data,
                        size_t size);
bool kd_debugger_event(struct kd_debugger *debugger, struct kd_debugger_event *event);
size_t kd_debugger_output(struct kd_debugger *debugger, const uint8_t **bytes);
void kd_debugger_written(struct kd_debugger *debugger, uint64_t now, size_t size);
void kd_debugger_tick(struct kd_debugger *debugger, uint64_t now);
uint64_t kd_debugger_deadline(const struct kd_debugger *debugger);

enum kd_debugger_state kd_debugger_state(const struct kd_debugger *debugger);
bool kd_debugger_busy(const struct kd_debugger *debugger); /* a request is under way */
enum kd_heard kd_debugger_heard(const struct kd_debugger *debugger);
const struct kd_stop *kd_debugger_stop(const struct kd_debugger *debugger); /* the last one */
const struct kd_link_stats *kd_debugger_link_stats(const struct kd_debugger *debugger);

/* Starts to attach. Ends with a KD_DEBUGGER_STOP, or goes on until the caller loses patience. */
void kd_debugger_attach(struct kd_debugger *debugger, uint64_t now, enum kd_attach how);

/* The wire was cut: ends the request under way (KD_E_CLOSED); attach again on the new wire. */
void kd_debugger_disconnected(struct kd_debugger *debugger);

/* Stops a running target. Asks again (RESET, break-in) until it stops or is told to give up by
 * KD_DEBUGGER_LOST. KD_E_STOPPED when it is stopped already, and then sends nothing: a break-in
 * at a stopped target would stop it once more after the next continue. */
int kd_debugger_break_in(struct kd_debugger *debugger, uint64_t now);

/*
 * Requests. All return 0 when the request was started, else KD_E_BUSY, KD_E_RUNNING (not
 * stopped) or KD_E_ARGUMENT, and then nothing was sent and no event follows. Buffers are the
 * caller's and must stay until KD_DEBUGGER_DONE.
 */

/* *TO is filled when DONE reports 0. */
int kd_debugger_get_version(struct kd_debugger *debugger, uint64_t now,
                            struct kd_debugger_version *to);

/* Any size: split into packets, resumed at pages. DONE: `count` bytes from the start are good;
 * result KD_E_FAULT when count is less than SIZE. CPU matters for KD_SPACE_CONTROL only. */
int kd_debugger_read(struct kd_debugger *debugger, uint64_t now, enum kd_space space, uint16_t cpu,
                     uint64_t address, uint8_t *to, size_t size);
int kd_debugger_write(struct kd_debugger *debugger, uint64_t now, enum kd_space space, uint16_t cpu,
                      uint64_t address, const uint8_t *from, size_t size);

/* CONTEXT of amd64 in wire layout. GetContextEx first; GetContext where that is refused. */
int kd_debugger_get_context(struct kd_debugger *debugger, uint64_t now, uint16_t cpu,
                            uint8_t to[KD_CONTEXT_AMD64_SIZE]);
int kd_debugger_set_context(struct kd_debugger *debugger, uint64_t now, uint16_t cpu,
                            const uint8_t from[KD_CONTEXT_AMD64_SIZE]);

/* DONE: value is the handle. A handle that the target does not know any more is KD_E_REFUSED;
 * NT removes breakpoints near the program counter at each stop by itself. */
int kd_debugger_write_breakpoint(struct kd_debugger *debugger, uint64_t now, uint64_t address);
int kd_debugger_restore_breakpoint(struct kd_debugger *debugger, uint64_t now, uint32_t handle);

/* DONE: value. SIZE of I/O is 1, 2 or 4. Port accesses are never repeated (KD_E_TIMEOUT). */
int kd_debugger_read_msr(struct kd_debugger *debugger, uint64_t now, uint16_t cpu, uint32_t msr);
int kd_debugger_write_msr(struct kd_debugger *debugger, uint64_t now, uint16_t cpu, uint32_t msr,
                          uint64_t value);
int kd_debugger_read_io(struct kd_debugger *debugger, uint64_t now, uint64_t port, uint32_t size);
int kd_debugger_write_io(struct kd_debugger *debugger, uint64_t now, uint64_t port, uint32_t size,
                         uint32_t value);
int kd_debugger_read_bus(struct kd_debugger *debugger, uint64_t now, uint32_t type, uint32_t bus,
                         uint32_t slot, uint32_t offset, uint8_t *to, uint32_t size);
int kd_debugger_write_bus(struct kd_debugger *debugger, uint64_t now, uint32_t type, uint32_t bus,
                          uint32_t slot, uint32_t offset, const uint8_t *from, uint32_t size);

/* Search: DONE value is the address, or KD_E_NOT_FOUND. Pattern sizes 1..KD_MANIPULATE_DATA_MAX. */
int kd_debugger_search(struct kd_debugger *debugger, uint64_t now, uint64_t address,
                       uint64_t length, const uint8_t *pattern, size_t pattern_size);
int kd_debugger_fill(struct kd_debugger *debugger, uint64_t now, uint64_t address, uint32_t length,
                     const uint8_t *pattern, uint16_t pattern_size);
/* DONE: value = flags | address space << 32. */
int kd_debugger_query_memory(struct kd_debugger *debugger, uint64_t now, uint64_t address);

/* Runs the target. DONE when acknowledged; then the state is RUNNING. The second is Continue2
 * of amd64: TRACE single-steps; DR7 is loaded on all processors (KD_DR7_NONE: no hardware
 * breakpoint). Neither is ever repeated above the link. */
int kd_debugger_continue(struct kd_debugger *debugger, uint64_t now, uint32_t status);
int kd_debugger_continue2(struct kd_debugger *debugger, uint64_t now, uint32_t status, bool trace,
                          uint64_t dr7);

/* No reply: DONE when acknowledged; a KD_DEBUGGER_STOP of the other processor follows (switch),
 * or the target restarts (reboot). */
int kd_debugger_switch_processor(struct kd_debugger *debugger, uint64_t now, uint16_t cpu);
int kd_debugger_reboot(struct kd_debugger *debugger, uint64_t now);

/* Walks the list at HEAD (PsLoadedModuleList of GetVersion): one KD_DEBUGGER_MODULE_LOADED per
 * entry, then DONE with the number of them as value. Ends at KD_MODULE_WALK_MAX, and where the
 * list runs in a circle. */
int kd_debugger_walk_modules(struct kd_debugger *debugger, uint64_t now, uint64_t head);

/*
 * Restores the breakpoints whose handles are given (COUNT <= KD_BREAKPOINTS_MAX; copied), then
 * continues the target, without the trap flag and the hardware breakpoints that an earlier
 * kd_debugger_continue2 set, and goes IDLE: KD_DEBUGGER_DETACHED. `result` tells whether the target
 * acknowledged. Only while STOPPED: break in first. As with continue, a program counter at a
 * hard-coded int3 (every break-in is one) must be moved behind it before.
 */
int kd_debugger_detach(struct kd_debugger *debugger, uint64_t now, const uint32_t *handles,
                       size_t count, uint32_t continue_status);

/* Answers the last KD_DEBUGGER_PROMPT. KD_E_NOT_FOUND when there is none; cut to answer_max. */
int kd_debugger_answer(struct kd_debugger *debugger, uint64_t now, const char *text, size_t size);

/* --- private to debugger.c --- */

enum kd_debugger_op {
    KD_OP_NONE,
    KD_OP_VERSION,
    KD_OP_READ,
    KD_OP_WRITE,
    KD_OP_GET_CONTEXT,
    KD_OP_SET_CONTEXT,
    KD_OP_SIMPLE, /* one request, one reply, one value */
    KD_OP_GO,     /* no reply: Continue, Reboot */
    KD_OP_SWITCH, /* the reply is a state change */
    KD_OP_WALK,
    KD_OP_DETACH,
};

enum kd_seek {
    KD_SEEK_NONE,
    KD_SEEK_ATTACH, /* RESET and break-in (or RESET alone) until told to stop */
    KD_SEEK_BREAK,  /* break-in and RESET, a bounded number of times */
    KD_SEEK_CHECK,  /* RESET alone: if the target is stopped after all it says so */
};

enum kd_owner {
    KD_OWNER_NONE,
    KD_OWNER_REQUEST, /* the packet of the request under way */
    KD_OWNER_OTHER,   /* a request that ended without waiting for it, or an answer */
};

enum kd_walk_step {
    KD_WALK_HEAD,
    KD_WALK_ENTRY,
    KD_WALK_NAME,
};

struct kd_debugger_request {
    enum kd_debugger_op op;
    enum kd_space space;
    uint16_t cpu;
    uint64_t address;
    uint8_t *to;
    const uint8_t *from;
    size_t size, done, piece; /* piece: bytes asked for by the packet under way */
    struct kd_debugger_version *version;

    /* The packet under way */
    uint32_t api;
    bool unsent;    /* waits for the link to take it */
    bool acked;     /* the target has it */
    bool asking;    /* RESET was sent to find out what became of it */
    bool repeated;  /* it was sent again above the link */
    unsigned tries; /* RESETs sent for it */
    unsigned resets_answered;
    unsigned strangers; /* replies to it that were taken for an earlier one's */
    uint16_t sequence;
    uint64_t deadline;
    uint8_t head[KD_MANIPULATE_SIZE];
    const uint8_t *data;
    size_t data_size;

    /* Walk */
    enum kd_walk_step step;
    uint64_t list_head, node, hare; /* hare: a node met before, for the search for circles */
    uint32_t steps, lap;
    uint64_t walked;
    uint8_t scratch[KD_LOADER_ENTRY_SIZE];
    uint8_t name[2 * KD_MODULE_PATH_MAX];
    uint64_t name_address;
    size_t name_bytes;

    /* Detach */
    uint32_t handles[KD_BREAKPOINTS_MAX];
    size_t handle_count, handle_at;
    uint32_t continue_status;
};

struct kd_debugger {
    struct kd_debugger_config config;
    struct kd_link link;
    enum kd_debugger_state state;
    struct kd_debugger_request request;

    /* Attaching, breaking in, checking: what goes out next, and when. */
    enum kd_seek seek;
    enum kd_attach attach_how;
    bool seek_break_next; /* the next one is a break-in byte, not RESET */
    unsigned seeks_left;  /* ATTACH: not counted */
    uint64_t seek_deadline;

    uint64_t reset_wait_end; /* requests wait for the answer to a RESET, until then; 0 = none */

    bool no_context_ex; /* refused once: use the old ones in this session */
    bool controlled;    /* Continue2 was used: it may have set trap flag and Dr7 */
    bool have_stop;
    bool recheck;    /* an equal state change came before the ACK of Continue: old or new? */
    bool lost;       /* RUNNING: perhaps it is stopped and only did not answer */
    bool restarted;  /* the link saw a SYNC id; the packet that follows tells what it means */
    unsigned echoes; /* replies in a row that echoed our sequence number in ProcessorLevel */
    uint16_t sequence;
    enum kd_owner owner;                    /* whose packet the link carries */
    uint8_t stop_raw[KD_STATE_CHANGE_SIZE]; /* to recognise a repeated one */
    struct kd_stop stop;
    struct kd_module module; /* of the last module event */

    bool prompted;
    uint32_t answer_max;
    uint16_t prompt_level, prompt_cpu;

    bool reply_waiting; /* an answer to the target (file, prompt) that the link could not take */
    uint16_t reply_type;
    size_t reply_head_size, reply_data_size;
    uint8_t reply_head[KD_FILE_IO_SIZE];
    uint8_t reply_data[KD_FILE_IO_DATA_MAX];

    unsigned event_first, event_count;
    struct kd_debugger_event events[KD_DEBUGGER_EVENTS_MAX];
};

#endif
