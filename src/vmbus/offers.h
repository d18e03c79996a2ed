/* SPDX-License-Identifier: BSD-2-Clause */
/* The channels that the host offers and that we could use. */
#ifndef KDWIRE_VMBUS_OFFERS_H
#define KDWIRE_VMBUS_OFFERS_H

#include <stddef.h>

#include "guid.h"

/* More pipes or connections of one type at the same time than anybody makes; further ones are
 * ignored until one is rescinded. */
enum { VMBUS_OFFERS_MAX = 4 };

struct vmbus_offer {
    uint32_t relid;      /* 0: no offer */
    uint32_t connection; /* for signals */
    struct vmbus_guid type, instance;
    uint16_t flags;
};

struct vmbus_offers {
    struct vmbus_offer all[VMBUS_OFFERS_MAX];
};

/* Reads an OFFERCHANNEL message. False: too short, or its channel id is impossible. */
bool vmbus_offer_read(struct vmbus_offer *offer, const uint8_t *message, size_t size);

void vmbus_offers_add(struct vmbus_offers *offers, const struct vmbus_offer *offer);
void vmbus_offers_remove(struct vmbus_offers *offers, uint32_t relid);
/* The oldest; NULL: there is none. */
const struct vmbus_offer *vmbus_offers_first(const struct vmbus_offers *offers);

#endif
