/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One datagram, protected and unprotected; the payloads of the control channel. The layout is in
 * kdwire/kdnet.h. libgcrypt does the cryptography: the contexts live as long as the keys, so that
 * a datagram costs no key schedule.
 */
#include <gcrypt.h>
#include <stdlib.h>
#include <string.h>

#include "kdwire/error.h"
#include "kdwire/kdnet.h"

enum {
    AT_VERSION = 4,
    AT_CHANNEL = 5,
    AT_PAYLOAD = KDNET_CLEAR_SIZE + KDNET_DATA_HEADER_SIZE,
    FROM_DEBUGGER = 0x80,
    PADDING_MASK = 0x0F,
    IP_SIZE = 16,
};

enum {
#define POKE_AT(name, offset, size) POKE_##name = (offset), POKE_##name##_end = (offset) + (size),
#define RESPONSE_AT(name, offset, size)                                                            \
    RESPONSE_##name = (offset), RESPONSE_##name##_end = (offset) + (size),
    KDNET_POKE_MAP(POKE_AT) KDNET_RESPONSE_MAP(RESPONSE_AT)
};

_Static_assert((int)POKE_zeros_end == KDNET_POKE_SIZE &&
                   (int)RESPONSE_zeros_end == KDNET_RESPONSE_SIZE &&
                   (int)POKE_client_key_end == KDNET_POKE_SIZE_SHORT,
               "the maps cover the payloads");

struct kdnet_crypto {
    gcry_cipher_hd_t ciphers[2]; /* by channel */
    gcry_md_hd_t hmac;
    bool has_session;
};

/* ---- life ---- */

/* libgcrypt wants to be asked for its version once; a program that has set it up itself (Wireshark
 * has) is not disturbed. */
static bool library_ready(void)
{
    if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
        return true;
    if (!gcry_check_version(GCRYPT_VERSION))
        return false;
    gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    return true;
}

static bool open_handles(struct kdnet_crypto *crypto)
{
    for (unsigned channel = 0; channel < 2; channel++)
        if (gcry_cipher_open(&crypto->ciphers[channel], GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CBC,
                             0))
            return false;
    return !gcry_md_open(&crypto->hmac, GCRY_MD_SHA256, GCRY_MD_FLAG_HMAC);
}

static bool set_keys(struct kdnet_crypto *crypto, const struct kdnet_key *control)
{
    struct kdnet_key complement;

    for (size_t i = 0; i < KDNET_KEY_SIZE; i++)
        complement.bytes[i] = (uint8_t)~control->bytes[i];
    bool good =
        !gcry_cipher_setkey(crypto->ciphers[KDNET_CONTROL], control->bytes, KDNET_KEY_SIZE) &&
        !gcry_md_setkey(crypto->hmac, complement.bytes, KDNET_KEY_SIZE);
    kdnet_key_wipe(&complement);
    return good;
}

int kdnet_crypto_open(struct kdnet_crypto **out, const struct kdnet_key *control)
{
    *out = NULL;
    if (!library_ready())
        return KD_E_UNSUPPORTED;
    struct kdnet_crypto *crypto = calloc(1, sizeof(*crypto));
    if (!crypto)
        return KD_E_NO_MEMORY;
    if (!open_handles(crypto) || !set_keys(crypto, control)) {
        kdnet_crypto_close(crypto);
        return KD_E_UNSUPPORTED;
    }
    *out = crypto;
    return KD_OK;
}

void kdnet_crypto_close(struct kdnet_crypto *crypto)
{
    if (!crypto)
        return;
    for (unsigned channel = 0; channel < 2; channel++)
        gcry_cipher_close(crypto->ciphers[channel]); /* wipes the key; NULL is fine */
    gcry_md_close(crypto->hmac);
    free(crypto);
}

void kdnet_crypto_set_session(struct kdnet_crypto *crypto, const struct kdnet_key *session)
{
    static const struct kdnet_key none;
    const struct kdnet_key *key = session ? session : &none;

    crypto->has_session =
        !gcry_cipher_setkey(crypto->ciphers[KDNET_DATA], key->bytes, KDNET_KEY_SIZE) && session;
}

int kdnet_key_generate(struct kdnet_key *key)
{
    if (!library_ready())
        return KD_E_UNSUPPORTED;
    gcry_randomize(key->bytes, KDNET_KEY_SIZE, GCRY_STRONG_RANDOM);
    return KD_OK;
}

int kdnet_session_key(struct kdnet_key *session, const struct kdnet_key *control,
                      const uint8_t *payload, size_t size)
{
    uint8_t hashed[KDNET_KEY_SIZE + KDNET_RESPONSE_SIZE];

    if (!kdnet_response_client_key(payload, size))
        return KD_E_FORMAT;
    if (!library_ready())
        return KD_E_UNSUPPORTED;
    memcpy(hashed, control->bytes, KDNET_KEY_SIZE);
    memcpy(hashed + KDNET_KEY_SIZE, payload, KDNET_RESPONSE_SIZE);
    gcry_md_hash_buffer(GCRY_MD_SHA256, session->bytes, hashed, sizeof(hashed));
    memset(hashed, 0, sizeof(hashed));
    return KD_OK;
}

/* ---- datagrams ---- */

static size_t padding_of(size_t payload_size)
{
    return (0 - (KDNET_DATA_HEADER_SIZE + payload_size)) % KDNET_BLOCK_SIZE;
}

size_t kdnet_protected_size(size_t payload_size)
{
    return AT_PAYLOAD + payload_size + padding_of(payload_size) + KDNET_TAG_SIZE;
}

/* The tag of the first SIZE bytes: clear bytes and plain text. */
static const uint8_t *tag_of(struct kdnet_crypto *crypto, const uint8_t *bytes, size_t size)
{
    gcry_md_reset(crypto->hmac);
    gcry_md_write(crypto->hmac, bytes, size);
    return gcry_md_read(crypto->hmac, GCRY_MD_SHA256);
}

static bool usable(const struct kdnet_crypto *crypto, unsigned channel)
{
    return channel == KDNET_CONTROL || crypto->has_session;
}

/* The sequence's seven bytes are big-endian, unlike everything inside KD packets. */
static void put_sequence(uint8_t *at, uint64_t sequence)
{
    for (unsigned i = 0; i < KDNET_DATA_HEADER_SIZE - 1; i++)
        at[i] = (uint8_t)(sequence >> 8 * (KDNET_DATA_HEADER_SIZE - 2 - i));
}

static uint64_t get_sequence(const uint8_t *at)
{
    uint64_t sequence = 0;
    for (unsigned i = 0; i < KDNET_DATA_HEADER_SIZE - 1; i++)
        sequence = sequence << 8 | at[i];
    return sequence;
}

int kdnet_protect(struct kdnet_crypto *crypto, const struct kdnet_datagram *datagram, uint8_t *out)
{
    size_t padding = padding_of(datagram->payload_size);

    if (datagram->payload_size > KDNET_PAYLOAD_MAX)
        return KD_E_TOO_LONG;
    if (datagram->sequence > KDNET_SEQUENCE_MAX || datagram->channel > KDNET_CONTROL)
        return KD_E_ARGUMENT;
    if (!usable(crypto, datagram->channel))
        return KD_E_NO_SESSION;
    memcpy(out, KDNET_MAGIC, AT_VERSION);
    out[AT_VERSION] = datagram->version;
    out[AT_CHANNEL] = datagram->channel;
    put_sequence(out + KDNET_CLEAR_SIZE, datagram->sequence);
    out[AT_PAYLOAD - 1] = (uint8_t)((datagram->from_debugger ? FROM_DEBUGGER : 0) | (int)padding);
    if (datagram->payload_size)
        memcpy(out + AT_PAYLOAD, datagram->payload, datagram->payload_size);
    memset(out + AT_PAYLOAD + datagram->payload_size, 0, padding);

    size_t plain_end = AT_PAYLOAD + datagram->payload_size + padding;
    uint8_t *tag = out + plain_end;
    gcry_cipher_hd_t cipher = crypto->ciphers[datagram->channel];
    memcpy(tag, tag_of(crypto, out, plain_end), KDNET_TAG_SIZE);
    if (gcry_cipher_setiv(cipher, tag, KDNET_TAG_SIZE) ||
        gcry_cipher_encrypt(cipher, out + KDNET_CLEAR_SIZE, plain_end - KDNET_CLEAR_SIZE, NULL, 0))
        return KD_E_UNSUPPORTED;
    return (int)(plain_end + KDNET_TAG_SIZE);
}

int kdnet_check_clear(const uint8_t *bytes, size_t size)
{
    if (size < KDNET_DATAGRAM_MIN)
        return KD_E_TRUNCATED;
    if (size > KDNET_DATAGRAM_MAX)
        return KD_E_TOO_LONG;
    if (memcmp(bytes, KDNET_MAGIC, AT_VERSION) != 0 || bytes[AT_CHANNEL] > KDNET_CONTROL ||
        (size - KDNET_CLEAR_SIZE - KDNET_TAG_SIZE) % KDNET_BLOCK_SIZE)
        return KD_E_FORMAT;
    return KD_OK;
}

bool kdnet_is_control(const uint8_t *bytes)
{
    return bytes[AT_CHANNEL] == KDNET_CONTROL;
}

/* Takes the same time wherever the two differ: how long a refusal takes must not tell a forger how
 * much of a tag was right. */
static bool same_tag(const uint8_t *a, const uint8_t *b)
{
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < KDNET_TAG_SIZE; i++)
        difference = (uint8_t)(difference | (a[i] ^ b[i]));
    return difference == 0;
}

/* Reads what is now known to be authentic. */
static int read_plain(struct kdnet_datagram *datagram, const uint8_t *plain, size_t plain_end)
{
    size_t padding = plain[AT_PAYLOAD - 1] & PADDING_MASK;

    if (padding > plain_end - AT_PAYLOAD)
        return KD_E_FORMAT;
    datagram->version = plain[AT_VERSION];
    datagram->channel = plain[AT_CHANNEL];
    datagram->from_debugger = (plain[AT_PAYLOAD - 1] & FROM_DEBUGGER) != 0;
    datagram->sequence = get_sequence(plain + KDNET_CLEAR_SIZE);
    datagram->payload = plain + AT_PAYLOAD;
    datagram->payload_size = plain_end - AT_PAYLOAD - padding;
    return KD_OK;
}

int kdnet_unprotect(struct kdnet_crypto *crypto, const uint8_t *bytes, size_t size,
                    struct kdnet_datagram *datagram, uint8_t plain[KDNET_DATAGRAM_MAX])
{
    memset(datagram, 0, sizeof(*datagram));
    int rc = kdnet_check_clear(bytes, size);
    if (rc < 0)
        return rc;
    if (!usable(crypto, bytes[AT_CHANNEL]))
        return KD_E_NO_SESSION;

    size_t plain_end = size - KDNET_TAG_SIZE;
    size_t encrypted = plain_end - KDNET_CLEAR_SIZE;
    const uint8_t *tag = bytes + plain_end;
    gcry_cipher_hd_t cipher = crypto->ciphers[bytes[AT_CHANNEL]];
    memcpy(plain, bytes, KDNET_CLEAR_SIZE);
    if (gcry_cipher_setiv(cipher, tag, KDNET_TAG_SIZE) ||
        gcry_cipher_decrypt(cipher, plain + KDNET_CLEAR_SIZE, encrypted, bytes + KDNET_CLEAR_SIZE,
                            encrypted))
        return KD_E_UNSUPPORTED;
    rc = same_tag(tag, tag_of(crypto, plain, plain_end)) ? read_plain(datagram, plain, plain_end)
                                                         : KD_E_NOT_AUTHENTIC;
    if (rc < 0)
        memset(plain, 0, plain_end);
    return rc;
}

/* ---- control payloads ---- */

static uint16_t get_port(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void get_address(struct kdnet_address *address, const uint8_t *at)
{
    memcpy(address->ip, at, IP_SIZE);
    address->port = get_port(at + IP_SIZE);
}

static void put_address(uint8_t *at, const struct kdnet_address *address)
{
    memcpy(at, address->ip, IP_SIZE);
    at[IP_SIZE] = (uint8_t)(address->port >> 8);
    at[IP_SIZE + 1] = (uint8_t)address->port;
}

int kdnet_poke_get(struct kdnet_poke *poke, const uint8_t *payload, size_t size)
{
    memset(poke, 0, sizeof(*poke));
    if ((size != KDNET_POKE_SIZE && size != KDNET_POKE_SIZE_SHORT) ||
        payload[0] != KDNET_CONTROL_FIRST || payload[1] != KDNET_POKE)
        return KD_E_FORMAT;
    memcpy(poke->client_key, payload + POKE_client_key, KDNET_KEY_SIZE);
    if (size == KDNET_POKE_SIZE) {
        get_address(&poke->source, payload + POKE_source);
        get_address(&poke->destination, payload + POKE_destination);
        get_address(&poke->host, payload + POKE_host);
    }
    return KD_OK;
}

void kdnet_poke_put(uint8_t payload[KDNET_POKE_SIZE], const struct kdnet_poke *poke)
{
    memset(payload, 0, KDNET_POKE_SIZE);
    payload[0] = KDNET_CONTROL_FIRST;
    payload[1] = KDNET_POKE;
    memcpy(payload + POKE_client_key, poke->client_key, KDNET_KEY_SIZE);
    put_address(payload + POKE_source, &poke->source);
    put_address(payload + POKE_destination, &poke->destination);
    put_address(payload + POKE_host, &poke->host);
}

void kdnet_response_put(uint8_t payload[KDNET_RESPONSE_SIZE],
                        const uint8_t client_key[KDNET_KEY_SIZE],
                        const uint8_t host_key[KDNET_KEY_SIZE])
{
    memset(payload, 0, KDNET_RESPONSE_SIZE);
    payload[0] = KDNET_CONTROL_FIRST;
    payload[1] = KDNET_RESPONSE;
    memcpy(payload + RESPONSE_client_key, client_key, KDNET_KEY_SIZE);
    memcpy(payload + RESPONSE_host_key, host_key, KDNET_KEY_SIZE);
}

const uint8_t *kdnet_response_client_key(const uint8_t *payload, size_t size)
{
    if (size != KDNET_RESPONSE_SIZE || payload[0] != KDNET_CONTROL_FIRST ||
        payload[1] != KDNET_RESPONSE)
        return NULL;
    return payload + RESPONSE_client_key;
}
