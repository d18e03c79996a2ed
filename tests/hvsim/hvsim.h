/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Hyper-V host for tests: what a guest's VMBus client sees of the hypervisor, of the VMBus
 * server, and, when there is one, of the firmware that runs beside it. Written from the protocol's
 * facts and sharing no line with src/vmbus, so that a mistake made there is not made again here.
 *
 * It is strict: whatever real firmware answers with a crash of the VM, and whatever a host would
 * punish or drop, is counted as a violation with its reason. Guest memory is reached through ranges
 * of guest-physical addresses, so that it may live in this process or in a shared mapping of
 * QEMU's.
 *
 * Thread safety: every function below takes the simulator's lock, except where told; messages and
 * rings are shared with the guest as on real machines, by atomic words.
 */
#ifndef KDWIRE_TESTS_HVSIM_H
#define KDWIRE_TESTS_HVSIM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HVSIM_VERSION(major, minor) ((uint32_t)(major) << 16 | (uint32_t)(minor))

enum {
    HVSIM_PAGE = 4096,
    HVSIM_SINTS = 16,
    HVSIM_RANGES_MAX = 8,
    HVSIM_VERSIONS_MAX = 12,
    HVSIM_CHANNELS_MAX = 24,
    HVSIM_GPADLS_MAX = 8,
    HVSIM_RING_PAGES_MAX = 140, /* both rings and their control pages */
    HVSIM_QUEUE_MAX = 64,       /* messages that wait for a SINT's slot */
    HVSIM_INBOX_MAX = 16,       /* message buffers of a port */
    HVSIM_MESSAGE_MAX = 240,
    HVSIM_TEXT_MAX = 200,
    HVSIM_SPLIT = 2048, /* a byte pipe's WriteFile comes as packets of this size (OpenVMM) */
};

/* Hosts of the protocol's history, oldest first. */
enum hvsim_host {
    HVSIM_2008,
    HVSIM_2008_R2,
    HVSIM_2012,
    HVSIM_2012_R2,
    HVSIM_2016,
    HVSIM_1709,
    HVSIM_1803,
    HVSIM_2019,
    HVSIM_2022,
    HVSIM_NEWER,
    HVSIM_OPENVMM, /* knows all, but refuses every SINT but 2 */
    HVSIM_HOSTS,
};
extern const char *const hvsim_host_names[HVSIM_HOSTS];

struct hvsim_config {
    enum hvsim_host host;
    bool firmware; /* Hyper-V's UEFI firmware is alive beside the client */
    bool no_hypervisor;
    bool no_messages; /* the privilege to post is missing */
    bool isolated;
    bool no_polling;            /* SINTs cannot be polled */
    uint64_t firmware_pages[3]; /* with firmware: hypercall, message and event page, each a page of
                                   registered memory */
};

/* Message types as numbers of the protocol; bit N of a mask is type N. */
struct hvsim_faults {
    unsigned posts_failing; /* the next so many posts return post_status */
    uint32_t post_status;
    unsigned post_every;   /* when not 0, every so-manieth post fails, too */
    uint32_t drop_answers; /* mask: types of answers that are lost while drop_count lasts */
    unsigned drop_count;
    unsigned refuse_contact; /* "low on resources" */
    uint32_t connection;     /* when not 0: the id that a contact is answered with */
    unsigned refuse_gpadl, refuse_open, refuse_socket;
    bool rescind_on_gpadl, rescind_on_open; /* once */
    bool unsolicited; /* sprinkle unknown and short messages between the answers */
};

struct hvsim_ring {
    uint8_t *pages[HVSIM_RING_PAGES_MAX]; /* control page first */
    uint32_t size;
    uint32_t index;   /* the host's own */
    uint64_t signals; /* in this direction's sense: sent by the writer because of data */
};

enum hvsim_channel_state {
    HVSIM_FREE,
    HVSIM_WAITING, /* exists at the host, not yet offered to the client */
    HVSIM_OFFERED,
    HVSIM_OPENED,
    HVSIM_RESCINDED, /* until RELID_RELEASED */
};

struct hvsim_channel {
    enum hvsim_channel_state state;
    uint8_t type[16], instance[16];
    uint16_t flags;
    uint32_t pipe_type; /* 0 byte, 4 message */
    bool from_host;
    uint32_t relid, connection, gpadl;
    uint32_t target_vp;
    struct hvsim_ring in, out; /* from the guest, to the guest */
    uint8_t held[17 * 1024];   /* of a packet that was read in part */
    size_t held_at, held_size;
    uint64_t transaction;  /* of the last packet read */
    uint16_t packet_flags; /* of the last packet read */
    uint64_t signals;      /* that the guest sent for this channel */
    uint64_t packets;      /* read from the guest */
};

struct hvsim_message {
    uint8_t size;
    uint8_t bytes[HVSIM_MESSAGE_MAX];
};

struct hvsim_gpadl {
    uint32_t id, relid, pages, have;
    uint64_t pfn[HVSIM_RING_PAGES_MAX];
};

struct hvsim {
    pthread_mutex_t lock;
    struct hvsim_config config;
    struct hvsim_faults faults;
    struct {
        uint64_t base, size;
        uint8_t *at;
    } ranges[HVSIM_RANGES_MAX];
    unsigned range_count;
    /* Called when a hypercall page gets enabled at GPA: fills it with what calls us. May be NULL.
     */
    void (*install_page)(void *context, uint64_t gpa);
    /* Called, with the lock held, when a message came on a SINT that is not polled. May be NULL. */
    void (*interrupt)(void *context, uint8_t vector);
    void *context;

    unsigned violations;
    char violation[HVSIM_TEXT_MAX]; /* the first */

    uint64_t guest_os_id, hypercall, scontrol, siefp, simp, sint[HVSIM_SINTS];
    uint64_t eoms, posts, signals, messages_out, queued_behind;
    struct {
        struct hvsim_message all[HVSIM_QUEUE_MAX];
        unsigned first, count;
    } queue[HVSIM_SINTS];
    struct {
        struct hvsim_message all[HVSIM_INBOX_MAX];
        uint32_t connection[HVSIM_INBOX_MAX];
        unsigned first, count;
    } inbox;

    /* The client under test. The firmware's session is assumed. */
    bool connected, offers_requested;
    uint32_t version, message_sint, message_connection, message_vp;
    unsigned contacts, unloads, released;
    uint32_t next_relid;
    struct hvsim_gpadl gpadls[HVSIM_GPADLS_MAX];
    struct hvsim_channel channels[HVSIM_CHANNELS_MAX];
    uint8_t socket_service[16];   /* what listens at the host; zero: nothing does */
    struct hvsim_channel *socket; /* the last connection made to it */
};

void hvsim_init(struct hvsim *sim, const struct hvsim_config *config);
void hvsim_end(struct hvsim *sim);
/* Guest memory: SIZE bytes at guest-physical BASE are at AT in this process. Before anything else.
 */
void hvsim_add_memory(struct hvsim *sim, uint64_t base, uint64_t size, void *at);
/* The firmware sets up what it owns (config.firmware). */
void hvsim_boot_firmware(struct hvsim *sim);
/* The firmware goes, as at ExitBootServices: UNLOAD on its client, everything off. */
void hvsim_exit_boot_services(struct hvsim *sim);

/* ---- The hypervisor: what the guest's instructions do ---- */

void hvsim_cpuid(struct hvsim *sim, uint32_t leaf, uint32_t r[4]);
/* False: #GP. */
bool hvsim_read_msr(struct hvsim *sim, uint32_t msr, uint64_t *value);
bool hvsim_write_msr(struct hvsim *sim, uint32_t msr, uint64_t value);
/* RAX. */
uint64_t hvsim_hypercall(struct hvsim *sim, uint64_t control, uint64_t input, uint64_t output);

/* ---- The host ---- */

/* Works off what the guest has posted. */
void hvsim_run(struct hvsim *sim);

/* A new pipe, as vmbuspiper makes them: offered now, or when the guest asks for offers. */
struct hvsim_channel *hvsim_offer_pipe(struct hvsim *sim, const uint8_t type[16],
                                       const uint8_t instance[16], uint32_t pipe_type);
/* The VM's other devices, which are offered to every client. */
void hvsim_offer_devices(struct hvsim *sim);
/* A service that Hyper-V sockets can connect to. */
void hvsim_listen(struct hvsim *sim, const uint8_t service[16]);
/* The host connects to the guest's service. */
struct hvsim_channel *hvsim_connect(struct hvsim *sim, const uint8_t service[16]);
void hvsim_rescind(struct hvsim *sim, struct hvsim_channel *channel);
/* The first channel of TYPE that exists; NULL: none. */
struct hvsim_channel *hvsim_find(struct hvsim *sim, const uint8_t type[16]);

bool hvsim_is_open(struct hvsim *sim, const struct hvsim_channel *channel);
/* Bytes of the pipe, both 0 when none or full or not open. Write splits as a byte pipe does, or
 * sends one packet. */
size_t hvsim_read(struct hvsim *sim, struct hvsim_channel *channel, void *to, size_t size);
size_t hvsim_write(struct hvsim *sim, struct hvsim_channel *channel, const void *from, size_t size);
/* One packet of any kind, right in its ring but not checked otherwise. False: no room. */
bool hvsim_write_packet(struct hvsim *sim, struct hvsim_channel *channel, uint16_t type,
                        const void *payload, size_t size);

/* For damage: the word at OFFSET of the control page, or the data, of the ring to or from the
 * guest. */
void hvsim_poke(struct hvsim *sim, struct hvsim_channel *channel, bool to_guest, bool control,
                uint32_t offset, uint32_t value);

__attribute__((format(printf, 2, 3))) void hvsim_violation(struct hvsim *sim, const char *format,
                                                           ...);

/* Inside hvsim only, the lock held: */
uint8_t *hvsim_memory(struct hvsim *sim, uint64_t gpa, uint64_t size);
void hvsim_send(struct hvsim *sim, uint32_t sint, const uint8_t *message, size_t size);
void hvsim_serve(struct hvsim *sim, uint32_t connection, const struct hvsim_message *message);
bool hvsim_signalled(struct hvsim *sim, uint32_t connection);
void hvsim_ring_attach(struct hvsim_ring *ring, uint8_t *const *pages, uint32_t size);
void hvsim_close_channel(struct hvsim_channel *channel);
bool hvsim_host_knows(const struct hvsim *sim, uint32_t version);

#endif
