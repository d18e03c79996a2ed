/* SPDX-License-Identifier: BSD-2-Clause */
#include "kdnet/overhear.h"

#include <string.h>

#include "kdwire/error.h"

int kdnet_overhear_open(struct kdnet_overhear *overhear, const struct kdnet_key *control)
{
    memset(overhear, 0, sizeof(*overhear));
    overhear->control = *control;
    return kdnet_crypto_open(&overhear->crypto, control);
}

void kdnet_overhear_close(struct kdnet_overhear *overhear)
{
    kdnet_crypto_close(overhear->crypto);
    overhear->crypto = NULL;
    kdnet_key_wipe(&overhear->control);
    for (size_t i = 0; i < overhear->count; i++)
        kdnet_key_wipe(&overhear->sessions[i]);
    overhear->count = 0;
}

/* Makes KEY the first of the list; it was number AT, or is new (AT = count) and may push out the
 * last. */
static void put_first(struct kdnet_overhear *overhear, const struct kdnet_key *key, size_t at)
{
    struct kdnet_key first = *key;

    if (at == overhear->count && overhear->count < KDNET_OVERHEARD_MAX)
        overhear->count++;
    else if (at == overhear->count)
        at--;
    memmove(overhear->sessions + 1, overhear->sessions, at * sizeof(overhear->sessions[0]));
    overhear->sessions[0] = first;
    kdnet_crypto_set_session(overhear->crypto, &first);
    kdnet_key_wipe(&first);
}

static int try_sessions(struct kdnet_overhear *overhear, const uint8_t *bytes, size_t size,
                        struct kdnet_datagram *datagram)
{
    for (size_t i = 1; i < overhear->count; i++) {
        kdnet_crypto_set_session(overhear->crypto, &overhear->sessions[i]);
        if (kdnet_unprotect(overhear->crypto, bytes, size, datagram, overhear->plain) == KD_OK) {
            put_first(overhear, &overhear->sessions[i], i);
            return KD_OK;
        }
    }
    if (overhear->count)
        kdnet_crypto_set_session(overhear->crypto, &overhear->sessions[0]);
    return KD_E_NOT_AUTHENTIC;
}

int kdnet_overhear(struct kdnet_overhear *overhear, const uint8_t *bytes, size_t size,
                   struct kdnet_datagram *datagram)
{
    struct kdnet_key session;

    int rc = kdnet_unprotect(overhear->crypto, bytes, size, datagram, overhear->plain);
    if (rc == KD_E_NOT_AUTHENTIC && !kdnet_is_control(bytes))
        return try_sessions(overhear, bytes, size, datagram);
    if (rc == KD_OK && datagram->channel == KDNET_CONTROL && datagram->from_debugger &&
        kdnet_session_key(&session, &overhear->control, datagram->payload,
                          datagram->payload_size) == KD_OK) {
        put_first(overhear, &session, overhear->count);
        kdnet_key_wipe(&session);
    }
    return rc;
}
