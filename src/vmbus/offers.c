/* SPDX-License-Identifier: BSD-2-Clause */
#include "offers.h"

#include <string.h>

#include "kdwire/wire.h"
#include "messages.h"

bool vmbus_offer_read(struct vmbus_offer *offer, const uint8_t *message, size_t size)
{
    if (size < VMBUS_OFFER_SIZE)
        return false;
    memcpy(offer->type.bytes, message + VMBUS_OFFER_TYPE, VMBUS_GUID_SIZE);
    memcpy(offer->instance.bytes, message + VMBUS_OFFER_INSTANCE, VMBUS_GUID_SIZE);
    offer->flags = kd_get_u16(message + VMBUS_OFFER_FLAGS);
    offer->relid = kd_get_u32(message + VMBUS_OFFER_RELID);
    offer->connection = kd_get_u32(message + VMBUS_OFFER_CONNECTION);
    return offer->relid != 0 && offer->relid <= VMBUS_RELID_MAX &&
           kd_get_u16(message + VMBUS_OFFER_SUBCHANNEL) == 0;
}

void vmbus_offers_add(struct vmbus_offers *offers, const struct vmbus_offer *offer)
{
    vmbus_offers_remove(offers, offer->relid);
    for (unsigned i = 0; i < VMBUS_OFFERS_MAX; i++) {
        if (offers->all[i].relid == 0) {
            offers->all[i] = *offer;
            return;
        }
    }
}

void vmbus_offers_remove(struct vmbus_offers *offers, uint32_t relid)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < VMBUS_OFFERS_MAX; i++) {
        if (offers->all[i].relid != relid && offers->all[i].relid != 0)
            offers->all[kept++] = offers->all[i];
    }
    while (kept < VMBUS_OFFERS_MAX)
        offers->all[kept++].relid = 0;
}

const struct vmbus_offer *vmbus_offers_first(const struct vmbus_offers *offers)
{
    return offers->all[0].relid != 0 ? &offers->all[0] : NULL;
}
