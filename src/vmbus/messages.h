/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control messages of VMBus: payload of SynIC messages of type 1. Every one begins with u32 type
 * and u32 0. Sizes are those from which on a message holds what we read; longer ones are accepted,
 * as later versions add fields. (Facts: the Hyper-V firmware's public source, Linux, OpenVMM.)
 */
#ifndef KDWIRE_VMBUS_MESSAGES_H
#define KDWIRE_VMBUS_MESSAGES_H

enum vmbus_message {
    VMBUS_OFFER_CHANNEL = 1,
    VMBUS_RESCIND_OFFER = 2,
    VMBUS_REQUEST_OFFERS = 3,
    VMBUS_ALL_OFFERS_DELIVERED = 4,
    VMBUS_OPEN_CHANNEL = 5,
    VMBUS_OPEN_RESULT = 6,
    VMBUS_CLOSE_CHANNEL = 7, /* no answer */
    VMBUS_GPADL_HEADER = 8,
    VMBUS_GPADL_BODY = 9,
    VMBUS_GPADL_CREATED = 10,
    VMBUS_GPADL_TEARDOWN = 11,
    VMBUS_GPADL_TORNDOWN = 12,
    VMBUS_RELID_RELEASED = 13,
    VMBUS_INITIATE_CONTACT = 14,
    VMBUS_VERSION_RESPONSE = 15,
    VMBUS_UNLOAD = 16,
    VMBUS_UNLOAD_RESPONSE = 17,
    VMBUS_TL_CONNECT = 21,
    VMBUS_TL_RESULT = 23,
};

enum {
    VMBUS_HEADER = 8,
    VMBUS_RELID = 8, /* offset of the channel id in most messages */

    /* INITIATE_CONTACT */
    VMBUS_CONTACT_VERSION = 8,
    VMBUS_CONTACT_VP = 12,
    VMBUS_CONTACT_SINT = 16, /* u8, from 5.0 on; before: u64 interrupt page */
    VMBUS_CONTACT_VTL = 17,
    VMBUS_CONTACT_SIZE = 40,

    /* VERSION_RESPONSE */
    VMBUS_VERSION_SUPPORTED = 8,   /* u8 */
    VMBUS_VERSION_STATE = 9,       /* u8, 0 = fine */
    VMBUS_VERSION_CONNECTION = 12, /* from 5.0 on */
    VMBUS_VERSION_SIZE = 10,       /* what a refusal needs */
    VMBUS_VERSION_SIZE_5 = 16,

    /* OFFERCHANNEL */
    VMBUS_OFFER_TYPE = 8,
    VMBUS_OFFER_INSTANCE = 24,
    VMBUS_OFFER_FLAGS = 56,
    VMBUS_OFFER_PIPE_TYPE = 60, /* u32, 0 byte, 4 message */
    VMBUS_OFFER_FROM_HOST = 64, /* u8, sockets: the host connects to us */
    VMBUS_OFFER_SUBCHANNEL = 180,
    VMBUS_OFFER_RELID = 184,
    VMBUS_OFFER_CONNECTION = 192,
    VMBUS_OFFER_SIZE = 196,
    VMBUS_OFFER_FLAG_PIPE = 0x10,
    VMBUS_OFFER_FLAG_SOCKET = 0x2000,
    VMBUS_RELID_MAX = 2047,

    /* OPENCHANNEL and OPENCHANNEL_RESULT */
    VMBUS_OPEN_ID = 12,
    VMBUS_OPEN_GPADL = 16,
    VMBUS_OPEN_VP = 20,
    VMBUS_OPEN_OFFSET = 24, /* pages before the ring from host to guest */
    VMBUS_OPEN_SIZE = 148,
    VMBUS_OPEN_STATUS = 16,
    VMBUS_OPEN_RESULT_SIZE = 20,

    /* GPADL */
    VMBUS_GPADL_ID = 12,
    VMBUS_GPADL_RANGE_BYTES = 16,
    VMBUS_GPADL_RANGE_COUNT = 18,
    VMBUS_GPADL_BYTE_COUNT = 20,
    VMBUS_GPADL_BYTE_OFFSET = 24,
    VMBUS_GPADL_PFNS = 28,
    VMBUS_GPADL_HEADER_PFNS = 26, /* as many as fit into 240 bytes */
    VMBUS_GPADL_BODY_PFNS = 28,
    VMBUS_GPADL_BODY_AT = 16,
    VMBUS_GPADL_STATUS = 16,
    VMBUS_GPADL_CREATED_SIZE = 20,
    VMBUS_GPADL_TEARDOWN_SIZE = 16,
    VMBUS_TORNDOWN_ID = 8,
    VMBUS_TORNDOWN_SIZE = 12,

    /* TL_CONNECT and its result */
    VMBUS_TL_ENDPOINT = 8,
    VMBUS_TL_SERVICE = 24,
    VMBUS_TL_SIZE = 40,
    VMBUS_TL_SIZE_SILO = 56, /* from 5.2 on */
    VMBUS_TL_STATUS = 40,
    VMBUS_TL_RESULT_SIZE = 44,

    VMBUS_SMALL_SIZE = 12, /* RESCIND, CLOSECHANNEL, RELID_RELEASED */

    VMBUS_CONNECTION_OLD = 1, /* control messages below 5.0 */
    VMBUS_CONNECTION_NEW = 4, /* INITIATE_CONTACT from 5.0 on; without it the host does not look
                                 at the SINT and answers to the firmware */
};

#define VMBUS_VERSION(major, minor) ((uint32_t)(major) << 16 | (uint32_t)(minor))
#define VMBUS_VP_NONE               0xFFFFFFFFu /* OPENCHANNEL: no interrupt wanted */

#endif
