/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KDNET: the KD protocol over UDP, encrypted and authenticated. This is the lowest layer: keys and
 * single datagrams. No I/O, no clock, no state but what the caller holds, so that a debugger, a
 * relay and a Wireshark plugin can all stand on it.
 *
 * A datagram (offsets in bytes; "clear" is not encrypted, but authenticated like all the rest):
 *
 *   0   4  magic "MDBG"                                          clear
 *   4   1  version: 2 and 4 seen in traffic, 1 and 5 reported    clear
 *   5   1  channel: 0 data, 1 control                            clear
 *   6   8  data header: sequence number, 7 bytes big-endian;     encrypted
 *          then bit 7 direction (1 = from the debugger), bits 3..0 length of the padding
 *   14  n  payload                                               encrypted
 *       p  padding, zero, up to a multiple of 16 of header, payload and padding
 *   16     tag: the first half of an HMAC, and the CBC initialization vector     clear
 *
 * Three keys (all 32 bytes). The control key is what a person types. The HMAC key is its bytewise
 * complement and serves both channels for ever. The session key is made from the debugger's
 * response to a poke, and encrypts the data channel; a new response means a new session key. The
 * cipher is AES-256-CBC, the tag HMAC-SHA-256 over clear bytes and *plain* text (MAC, then
 * encrypt, with the MAC as the vector), so a datagram must be decrypted before it can be verified.
 *
 * No difference in layout between versions 1 to 5 is known: the byte is carried, not judged.
 *
 * Source of the facts: every datagram of a public capture of WinDbg and the Windows 10 boot
 * debugger ("windbg-uncut", version 4), and published ones of a Windows 8.1 kernel (version 2),
 * authenticate and are reproduced bit for bit by this description. The byte order of key parts
 * above 255 (little-endian) is agreed by independent debuggers that talk to real Windows.
 */
#ifndef KDWIRE_KDNET_H
#define KDWIRE_KDNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kdwire/wire.h"

enum {
    KDNET_KEY_SIZE = 32,
    KDNET_KEY_PARTS = 4,
    KDNET_KEY_DIGITS_MAX = 13, /* base-36 digits of one part: a 64-bit number */
    /* A key as text: four parts, three dots, NUL. */
    KDNET_KEY_TEXT_MAX = KDNET_KEY_PARTS * (KDNET_KEY_DIGITS_MAX + 1),

    KDNET_CLEAR_SIZE = 6,
    KDNET_DATA_HEADER_SIZE = 8,
    KDNET_BLOCK_SIZE = 16, /* of AES: what is encrypted is a multiple of it */
    KDNET_TAG_SIZE = 16,
    KDNET_DATAGRAM_MIN = KDNET_CLEAR_SIZE + KDNET_BLOCK_SIZE + KDNET_TAG_SIZE,
    /* One KD packet, which has no trailer here. */
    KDNET_PAYLOAD_MAX = KD_HEADER_SIZE + KD_BODY_MAX,
    KDNET_DATAGRAM_MAX = KDNET_CLEAR_SIZE +
                         (KDNET_DATA_HEADER_SIZE + KDNET_PAYLOAD_MAX + KDNET_BLOCK_SIZE - 1) /
                             KDNET_BLOCK_SIZE * KDNET_BLOCK_SIZE +
                         KDNET_TAG_SIZE,

    /* Control payloads. Byte 0 is 1, byte 1 the kind. */
    KDNET_CONTROL_FIRST = 1,
    KDNET_POKE = 1,     /* target to debugger: "here I am" */
    KDNET_RESPONSE = 2, /* debugger to target: the other half of the session key */
    KDNET_POKE_SIZE = 344,
    KDNET_POKE_SIZE_SHORT = 34, /* what one independent target sends: no addresses */
    KDNET_RESPONSE_SIZE = 322,
    KDNET_CONNECTION_CHECK_SIZE = 12, /* data channel: the first datagram of a target's session */

    KDNET_VERSION_DEFAULT = 4, /* what we say as a target: the best known one */
};

/*
 * What control payloads and the connection check are made of: X(name, offset, size in bytes). Ports
 * are big-endian, IPv6 addresses as in kdnet_address, the check's IPv4 address is little-endian.
 * The short poke ends behind the client key.
 */
#define KDNET_POKE_MAP(X)                                                                          \
    X(first, 0, 1)                                                                                 \
    X(kind, 1, 1)                                                                                  \
    X(client_key, 2, 32)                                                                           \
    X(source, 34, 16)                                                                              \
    X(source_port, 50, 2)                                                                          \
    X(destination, 52, 16)                                                                         \
    X(destination_port, 68, 2)                                                                     \
    X(host, 70, 16)                                                                                \
    X(host_port, 86, 2)                                                                            \
    X(zeros, 88, 256)

#define KDNET_RESPONSE_MAP(X)                                                                      \
    X(first, 0, 1)                                                                                 \
    X(kind, 1, 1)                                                                                  \
    X(client_key, 2, 32)                                                                           \
    X(host_key, 34, 32)                                                                            \
    X(zeros, 66, 256)

#define KDNET_CHECK_MAP(X)                                                                         \
    X(zeros, 0, 8)                                                                                 \
    X(host, 8, 4)

/*
 * Keys inside a capture file: a pcapng decryption secrets block of this type ("KDNT"; none is
 * registered for KDNET, others skip what they do not know). Its text has one key on a line:
 * "key=w.x.y.z".
 */
#define KDNET_SECRETS_TYPE 0x4B444E54u
#define KDNET_SECRETS_KEY  "key="

#define KDNET_MAGIC        "MDBG"
#define KDNET_SEQUENCE_MAX ((UINT64_C(1) << 56) - 1)

enum kdnet_channel {
    KDNET_DATA = 0,
    KDNET_CONTROL = 1,
};

/* ---- keys ---- */

/* A 32-byte key, any of the three. Wipe with kdnet_key_wipe when it is done with. */
struct kdnet_key {
    uint8_t bytes[KDNET_KEY_SIZE];
};

/*
 * Reads "w.x.y.z": four numbers in base 36 (0-9, a-z, either case), each below 2^64. Returns KD_OK
 * or KD_E_ARGUMENT; then *PROBLEM (may be NULL) is a static text that says what is wrong and never
 * repeats any of the key.
 */
int kdnet_key_parse(struct kdnet_key *key, const char *text, const char **problem);

/* Writes the key as kdnet_key_parse reads it. Returns TEXT. */
const char *kdnet_key_text(const struct kdnet_key *key, char text[KDNET_KEY_TEXT_MAX]);

/* Makes a control key from the system's random numbers: all 256 bits count. KD_OK, or
 * KD_E_UNSUPPORTED when the cryptographic library cannot be used. */
int kdnet_key_generate(struct kdnet_key *key);

/* Overwrites the key; not optimised away. */
void kdnet_key_wipe(struct kdnet_key *key);

/*
 * The session key that a response makes: SHA-256 of control key and the response's whole payload.
 * KD_E_FORMAT when PAYLOAD is not a response (322 bytes, starting 1, 2).
 */
int kdnet_session_key(struct kdnet_key *session, const struct kdnet_key *control,
                      const uint8_t *payload, size_t size);

/* ---- datagrams ---- */

struct kdnet_datagram {
    uint8_t version;
    uint8_t channel;        /* enum kdnet_channel */
    bool from_debugger;     /* the direction bit */
    uint64_t sequence;      /* 56 bits */
    const uint8_t *payload; /* of kdnet_unprotect: inside its buffer */
    size_t payload_size;    /* at most KDNET_PAYLOAD_MAX */
};

/* What holds the expanded keys. One per control key; a session key may be set as often as needed.
 * Not for use by two threads at once; any number of them may exist. */
struct kdnet_crypto;

/* KD_OK, KD_E_NO_MEMORY or KD_E_UNSUPPORTED (the cryptographic library refuses an algorithm). */
int kdnet_crypto_open(struct kdnet_crypto **crypto, const struct kdnet_key *control);

/* Wipes and frees; NULL is fine. */
void kdnet_crypto_close(struct kdnet_crypto *crypto);

/* The key of the data channel from now on; NULL forgets it. */
void kdnet_crypto_set_session(struct kdnet_crypto *crypto, const struct kdnet_key *session);

/* Size of the datagram that carries a payload of that size. */
size_t kdnet_protected_size(size_t payload_size);

/*
 * Makes a datagram at OUT (room for kdnet_protected_size; payload and OUT must not overlap).
 * Returns its size, KD_E_TOO_LONG, KD_E_ARGUMENT (sequence above 56 bits, unknown channel), or
 * KD_E_NO_SESSION for the data channel without a session key.
 */
int kdnet_protect(struct kdnet_crypto *crypto, const struct kdnet_datagram *datagram, uint8_t *out);

/* Looks at the clear bytes and the length alone, as a dissector's heuristic does: magic, channel, a
 * whole number of blocks. KD_OK, KD_E_TRUNCATED, KD_E_TOO_LONG or KD_E_FORMAT. */
int kdnet_check_clear(const uint8_t *bytes, size_t size);

/* Whether a datagram that kdnet_check_clear found good is of the control channel. */
bool kdnet_is_control(const uint8_t *bytes);

/*
 * Decrypts BYTES into PLAIN, verifies the tag in constant time and only then reads anything of it.
 * Returns KD_OK; what kdnet_check_clear returns; KD_E_NO_SESSION; or KD_E_NOT_AUTHENTIC (another
 * key, or changed on the way): PLAIN is then wiped and *DATAGRAM all zero. Direction and sequence
 * are the caller's to judge. PLAIN holds the payload (at KDNET_CLEAR_SIZE + KDNET_DATA_HEADER_SIZE)
 * and must stay while it is used.
 */
int kdnet_unprotect(struct kdnet_crypto *crypto, const uint8_t *bytes, size_t size,
                    struct kdnet_datagram *datagram, uint8_t plain[KDNET_DATAGRAM_MAX]);

/* ---- control payloads ---- */

/* An address as pokes carry it: 16 bytes, IPv4 as ::ffff:a.b.c.d; the port in host order. */
struct kdnet_address {
    uint8_t ip[16];
    uint16_t port;
    uint32_t scope; /* the interface of a link-local IPv6 address; not in pokes */
};

/*
 * What a poke says. Only `client_key` enters the session key. `host` is the debugger this target is
 * bound to: port 0 before the first response (certainly no session), otherwise it has or had one.
 */
struct kdnet_poke {
    uint8_t client_key[KDNET_KEY_SIZE];
    struct kdnet_address source, destination, host;
};

/* Reads a poke's payload (344 bytes or the short form, whose addresses read as zero). KD_OK or
 * KD_E_FORMAT. */
int kdnet_poke_get(struct kdnet_poke *poke, const uint8_t *payload, size_t size);
void kdnet_poke_put(uint8_t payload[KDNET_POKE_SIZE], const struct kdnet_poke *poke);

/* The response to a poke: its client key, and 32 fresh random bytes of the debugger. */
void kdnet_response_put(uint8_t payload[KDNET_RESPONSE_SIZE],
                        const uint8_t client_key[KDNET_KEY_SIZE],
                        const uint8_t host_key[KDNET_KEY_SIZE]);

/* Where a response has the two. NULL when PAYLOAD is no response. */
const uint8_t *kdnet_response_client_key(const uint8_t *payload, size_t size);

#endif
