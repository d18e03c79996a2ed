/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagrams against real ones: published vectors of a Windows 8.1 kernel (version 2), and every
 * datagram of a Windows 10 boot debugger's session (version 4).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "kdwire/error.h"
#include "kdwire/kdnet.h"
#include "real.h"

/* Hex digits to bytes; returns their number. */
static size_t unhex(uint8_t *out, const char *hex)
{
    size_t size = strlen(hex) / 2;
    for (size_t i = 0; i < size; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        out[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return size;
}

static struct kdnet_crypto *open_crypto(const char *text, struct kdnet_key *key)
{
    struct kdnet_crypto *crypto;
    assert_int_equal(kdnet_key_parse(key, text, NULL), KD_OK);
    assert_int_equal(kdnet_crypto_open(&crypto, key), KD_OK);
    return crypto;
}

static void make_session(struct kdnet_key *session, const struct kdnet_key *key,
                         const char *client_hex, const char *host_hex)
{
    uint8_t client[KDNET_KEY_SIZE], host[KDNET_KEY_SIZE], payload[KDNET_RESPONSE_SIZE];
    unhex(client, client_hex);
    unhex(host, host_hex);
    kdnet_response_put(payload, client, host);
    assert_int_equal(kdnet_session_key(session, key, payload, sizeof(payload)), KD_OK);
}

static void assert_key(const struct kdnet_key *key, const char *hex)
{
    uint8_t expected[KDNET_KEY_SIZE];
    unhex(expected, hex);
    assert_memory_equal(key->bytes, expected, KDNET_KEY_SIZE);
}

static void check_vector(struct kdnet_crypto *crypto, const char *hex, const char *payload_hex,
                         uint64_t sequence, bool from_debugger)
{
    uint8_t bytes[KDNET_DATAGRAM_MAX], plain[KDNET_DATAGRAM_MAX], again[KDNET_DATAGRAM_MAX];
    uint8_t payload[64];
    struct kdnet_datagram datagram;
    size_t size = unhex(bytes, hex), payload_size = unhex(payload, payload_hex);

    assert_int_equal(kdnet_unprotect(crypto, bytes, size, &datagram, plain), KD_OK);
    assert_int_equal(datagram.version, 2);
    assert_int_equal(datagram.channel, KDNET_DATA);
    assert_int_equal(datagram.sequence, sequence);
    assert_int_equal(datagram.from_debugger, from_debugger);
    assert_int_equal(datagram.payload_size, payload_size);
    assert_memory_equal(datagram.payload, payload, payload_size);
    assert_int_equal(kdnet_protected_size(payload_size), size);
    assert_int_equal(kdnet_protect(crypto, &datagram, again), size);
    assert_memory_equal(again, bytes, size);
}

static void version_2_vectors_hold(void **state)
{
    (void)state;
    struct kdnet_key key, session;
    struct kdnet_crypto *crypto = open_crypto("1.1.1.1", &key);
    make_session(&session, &key, "0d4b1edab4e4cc54f76c47d10fd92ad8b54dc1cf2fd008900a95b694b3d4427f",
                 "3f0cc8115b19c1a6407a8d3a8f64c43d40ddbda888af9aa5b907bd5cee00d332");
    assert_key(&session, "6d41dd0561a9f887afd8e82b2527e19ff800011075ff2ee6904553abbec778f2");
    kdnet_crypto_set_session(crypto, &session);
    check_vector(crypto,
                 "4d44424702003d905343a507a805cb06ff6976ef1f3c15d4c904a93fc1c283e6b364c84d3d09",
                 "62", 2, true);
    check_vector(crypto,
                 "4d444247020064086146cafbc387d7e24e5916f065fdc5ba9e86ffab1997d2cc14c1afc52b940330"
                 "5f861f97f56338f6e3cb781ed06d",
                 "00000000000000000b00a8c0", 2, false);
    check_vector(crypto,
                 "4d44424702005475ad2ccee35217e43efaa18d2d839d575b135135c43768e92a9770c130bcdbc5d9"
                 "16b9e71ce1a7032c98b4c1a621f9",
                 "69696969060000000000008000000000", 3, true);
    kdnet_crypto_close(crypto);
}

static void version_4_session_key_holds(void **state)
{
    (void)state;
    struct kdnet_key key, session;
    assert_int_equal(kdnet_key_parse(&key, REAL_KEY, NULL), KD_OK);
    make_session(&session, &key, "c19792dfac7aa1dfe007010018000b00240005000000070088f7570043a12600",
                 "41b4fa1b2ddd14ee3eeb8db987c0c7257ce62eef126ab74ef212136c100c540b");
    assert_key(&session, "6bd91c57bd6a551ad30b509c05c0c95b32cc5e47a0866907eaf0b1583384f660");
}

/* Walks the whole capture; writes what either side sent into *OUT[from_debugger]. */
struct walk {
    uint8_t *packets[2];
    size_t sizes[2];
    size_t data, control, authentic;
};

static void walk_data(struct walk *walk, const struct kdnet_datagram *datagram)
{
    walk->data++;
    if (datagram->payload_size == KDNET_CONNECTION_CHECK_SIZE)
        return;
    size_t *size = &walk->sizes[datagram->from_debugger];
    memcpy(walk->packets[datagram->from_debugger] + *size, datagram->payload,
           datagram->payload_size);
    *size += datagram->payload_size;
}

static void walk_control(struct walk *walk, struct kdnet_crypto *crypto,
                         const struct kdnet_key *key, const struct kdnet_datagram *datagram)
{
    struct kdnet_poke poke;
    struct kdnet_key session;
    uint8_t payload[KDNET_POKE_SIZE];

    walk->control++;
    if (!datagram->from_debugger) {
        assert_int_equal(kdnet_poke_get(&poke, datagram->payload, datagram->payload_size), KD_OK);
        kdnet_poke_put(payload, &poke);
        assert_memory_equal(payload, datagram->payload, sizeof(payload));
        return;
    }
    assert_int_equal(kdnet_session_key(&session, key, datagram->payload, datagram->payload_size),
                     KD_OK);
    kdnet_crypto_set_session(crypto, &session);
}

static void walk_datagram(struct walk *walk, struct kdnet_crypto *crypto,
                          const struct kdnet_key *key, const struct real_datagram *real)
{
    struct kdnet_datagram datagram;
    uint8_t plain[KDNET_DATAGRAM_MAX], again[KDNET_DATAGRAM_MAX];

    assert_int_equal(kdnet_unprotect(crypto, real->bytes, real->size, &datagram, plain), KD_OK);
    assert_int_equal(datagram.version, 4);
    assert_int_equal(kdnet_protect(crypto, &datagram, again), real->size);
    assert_memory_equal(again, real->bytes, real->size);
    walk->authentic++;
    if (datagram.channel == KDNET_CONTROL)
        walk_control(walk, crypto, key, &datagram);
    else
        walk_data(walk, &datagram);
}

static void assert_packets(const struct walk *walk, bool from_debugger, const char *name)
{
    size_t size;
    uint8_t *expected = real_file(name, &size);
    assert_non_null(expected);
    assert_int_equal(walk->sizes[from_debugger], size);
    assert_memory_equal(walk->packets[from_debugger], expected, size);
    free(expected);
}

static void the_whole_real_session_is_reproduced(void **state)
{
    (void)state;
    static struct real_session real;
    struct walk walk = {{calloc(1, 1 << 20), calloc(1, 1 << 20)}, {0, 0}, 0, 0, 0};
    struct kdnet_key key;
    if (!real_load(&real)) {
        free(walk.packets[0]);
        free(walk.packets[1]);
        skip();
    }
    struct kdnet_crypto *crypto = open_crypto(REAL_KEY, &key);
    assert_int_equal(real.count, REAL_DATAGRAMS);
    for (size_t i = 0; i < real.count; i++)
        walk_datagram(&walk, crypto, &key, &real.datagrams[i]);
    assert_int_equal(walk.authentic, REAL_DATAGRAMS);
    assert_int_equal(walk.control, 428);
    assert_int_equal(walk.data, 527);
    assert_packets(&walk, true, "kd-host-to-target.bin");
    assert_packets(&walk, false, "kd-target-to-host.bin");
    kdnet_crypto_close(crypto);
    real_free(&real);
    free(walk.packets[0]);
    free(walk.packets[1]);
}

/* A datagram of a session of our own to damage. */
struct own {
    struct kdnet_key key;
    struct kdnet_crypto *crypto;
    uint8_t bytes[KDNET_DATAGRAM_MAX];
    size_t size;
};

static void make_own(struct own *own, size_t payload_size)
{
    struct kdnet_key session;
    static const uint8_t payload[KDNET_PAYLOAD_MAX] = {0x30, 0x30, 0x30, 0x30};
    const struct kdnet_datagram datagram = {.version = 5,
                                            .channel = KDNET_DATA,
                                            .from_debugger = true,
                                            .sequence = KDNET_SEQUENCE_MAX,
                                            .payload = payload,
                                            .payload_size = payload_size};
    own->crypto = open_crypto("3lg.1.z.3w5e11264sgsf", &own->key);
    assert_int_equal(kdnet_key_generate(&session), KD_OK);
    kdnet_crypto_set_session(own->crypto, &session);
    int size = kdnet_protect(own->crypto, &datagram, own->bytes);
    assert_true(size > 0);
    own->size = (size_t)size;
}

static void every_payload_size_survives(void **state)
{
    (void)state;
    for (size_t n = 0; n <= KDNET_PAYLOAD_MAX; n += n < 80 ? 1 : 37) {
        struct own own;
        struct kdnet_datagram datagram;
        uint8_t plain[KDNET_DATAGRAM_MAX];
        make_own(&own, n);
        assert_int_equal(own.size, kdnet_protected_size(n));
        assert_int_equal(kdnet_unprotect(own.crypto, own.bytes, own.size, &datagram, plain), KD_OK);
        assert_int_equal(datagram.payload_size, n);
        assert_int_equal(datagram.version, 5);
        assert_true(datagram.sequence == KDNET_SEQUENCE_MAX);
        assert_true(datagram.from_debugger);
        kdnet_crypto_close(own.crypto);
    }
    assert_int_equal(kdnet_protected_size(KDNET_PAYLOAD_MAX), KDNET_DATAGRAM_MAX);
}

static void any_changed_bit_is_noticed(void **state)
{
    (void)state;
    struct own own;
    make_own(&own, 17);
    for (size_t bit = 0; bit < own.size * 8; bit++) {
        struct kdnet_datagram datagram;
        uint8_t plain[KDNET_DATAGRAM_MAX];
        own.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int rc = kdnet_unprotect(own.crypto, own.bytes, own.size, &datagram, plain);
        assert_int_equal(rc,
                         bit < 32 || (bit / 8 == 5 && bit % 8) ? KD_E_FORMAT : KD_E_NOT_AUTHENTIC);
        assert_null(datagram.payload);
        own.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    kdnet_crypto_close(own.crypto);
}

static void cut_and_stretched_datagrams_are_refused(void **state)
{
    (void)state;
    struct own own;
    make_own(&own, 300);
    struct kdnet_datagram datagram;
    uint8_t plain[KDNET_DATAGRAM_MAX], longer[KDNET_DATAGRAM_MAX + 16] = {0};
    for (size_t size = 0; size < own.size; size++) {
        uint8_t *block = malloc(size ? size : 1);
        memcpy(block, own.bytes, size);
        int rc = kdnet_unprotect(own.crypto, block, size, &datagram, plain);
        assert_int_equal(rc, size < KDNET_DATAGRAM_MIN               ? KD_E_TRUNCATED
                             : (size - KDNET_DATAGRAM_MIN) % 16 == 0 ? KD_E_NOT_AUTHENTIC
                                                                     : KD_E_FORMAT);
        free(block);
    }
    memcpy(longer, own.bytes, own.size);
    assert_int_equal(kdnet_unprotect(own.crypto, longer, own.size + 16, &datagram, plain),
                     KD_E_NOT_AUTHENTIC);
    assert_int_equal(kdnet_unprotect(own.crypto, longer, sizeof(longer), &datagram, plain),
                     KD_E_TOO_LONG);
    kdnet_crypto_close(own.crypto);
}

static void other_keys_are_refused(void **state)
{
    (void)state;
    struct own own;
    struct kdnet_key other_key, session;
    struct kdnet_datagram datagram;
    uint8_t plain[KDNET_DATAGRAM_MAX];
    make_own(&own, 100);
    assert_int_equal(kdnet_key_generate(&session), KD_OK);

    struct kdnet_crypto *other = open_crypto("3lg.1.z.3w5e11264sgse", &other_key);
    assert_int_equal(kdnet_unprotect(other, own.bytes, own.size, &datagram, plain),
                     KD_E_NO_SESSION);
    kdnet_crypto_set_session(other, &session);
    assert_int_equal(kdnet_unprotect(other, own.bytes, own.size, &datagram, plain),
                     KD_E_NOT_AUTHENTIC);
    kdnet_crypto_close(other);

    /* the right control key, but a session that is over */
    kdnet_crypto_set_session(own.crypto, &session);
    assert_int_equal(kdnet_unprotect(own.crypto, own.bytes, own.size, &datagram, plain),
                     KD_E_NOT_AUTHENTIC);
    kdnet_crypto_set_session(own.crypto, NULL);
    assert_int_equal(kdnet_unprotect(own.crypto, own.bytes, own.size, &datagram, plain),
                     KD_E_NO_SESSION);
    assert_int_equal(kdnet_protect(own.crypto, &datagram, own.bytes), KD_E_NO_SESSION);
    kdnet_crypto_close(own.crypto);
}

/* The smallest there is, and what cannot be written. */
static void impossible_datagrams_are_not_made(void **state)
{
    (void)state;
    struct kdnet_key key;
    struct kdnet_crypto *crypto = open_crypto("1.1.1.1", &key);
    struct kdnet_datagram datagram = {.channel = KDNET_CONTROL, .payload_size = 0};
    uint8_t bytes[KDNET_DATAGRAM_MAX], plain[KDNET_DATAGRAM_MAX];
    assert_int_equal(kdnet_protect(crypto, &datagram, bytes), KDNET_DATAGRAM_MIN);
    assert_int_equal(kdnet_unprotect(crypto, bytes, KDNET_DATAGRAM_MIN, &datagram, plain), KD_OK);
    assert_int_equal(datagram.payload_size, 0);
    datagram.payload_size = KDNET_PAYLOAD_MAX + 1;
    assert_int_equal(kdnet_protect(crypto, &datagram, bytes), KD_E_TOO_LONG);
    datagram.payload_size = 0;
    datagram.sequence = KDNET_SEQUENCE_MAX + 1;
    assert_int_equal(kdnet_protect(crypto, &datagram, bytes), KD_E_ARGUMENT);
    kdnet_crypto_close(crypto);
}

static void control_payloads_are_told_apart(void **state)
{
    (void)state;
    struct kdnet_poke poke = {.host = {.port = 0}}, read;
    struct kdnet_key key;
    uint8_t payload[KDNET_POKE_SIZE];
    memset(poke.client_key, 7, sizeof(poke.client_key));
    poke.host.port = 50000;
    poke.host.ip[15] = 9;
    kdnet_poke_put(payload, &poke);
    assert_int_equal(payload[86] << 8 | payload[87], 50000);
    assert_int_equal(kdnet_poke_get(&read, payload, KDNET_POKE_SIZE), KD_OK);
    assert_memory_equal(&read, &poke, sizeof(read));
    assert_int_equal(kdnet_poke_get(&read, payload, KDNET_POKE_SIZE_SHORT), KD_OK);
    assert_int_equal(read.host.port, 0);
    assert_int_equal(kdnet_poke_get(&read, payload, KDNET_POKE_SIZE - 1), KD_E_FORMAT);
    assert_int_equal(kdnet_poke_get(&read, payload, 0), KD_E_FORMAT);
    assert_null(kdnet_response_client_key(payload, KDNET_RESPONSE_SIZE));
    assert_int_equal(kdnet_session_key(&key, &key, payload, KDNET_RESPONSE_SIZE), KD_E_FORMAT);
    kdnet_response_put(payload, poke.client_key, poke.client_key);
    assert_int_equal(kdnet_poke_get(&read, payload, KDNET_POKE_SIZE), KD_E_FORMAT);
    assert_memory_equal(kdnet_response_client_key(payload, KDNET_RESPONSE_SIZE), poke.client_key,
                        KDNET_KEY_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_2_vectors_hold),
        cmocka_unit_test(version_4_session_key_holds),
        cmocka_unit_test(the_whole_real_session_is_reproduced),
        cmocka_unit_test(every_payload_size_survives),
        cmocka_unit_test(any_changed_bit_is_noticed),
        cmocka_unit_test(cut_and_stretched_datagrams_are_refused),
        cmocka_unit_test(other_keys_are_refused),
        cmocka_unit_test(impossible_datagrams_are_not_made),
        cmocka_unit_test(control_payloads_are_told_apart),
    };
    return cmocka_run_group_tests_name("kdnet-datagram", tests, NULL, NULL);
}
