/* SPDX-License-Identifier: BSD-2-Clause */
#include "framing.h"

#include <string.h>

#include "kdwire/wire.h"

#define DATA_END  0x87283679u
#define ACK_MAGIC 0x15957899u
#define ACK_END   0x36133574u

enum {
    AT_MAGIC = 0,
    AT_FLAG = 4,
    AT_LENGTH = 8,
    AT_NUMBER = 12,
    AT_CHECKSUM = 16,
    AT_END = 20,
    FLAG_DATA = 1,
    FLAG_ACK_TO_GUEST = 2,
    FLAG_ACK_TO_HOST = 3,
    FIRST_GUEST = 2,
    FIRST_HOST = 0x5687,
};

static uint32_t xor_words(const uint8_t *bytes, size_t size)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum ^= (uint32_t)bytes[i] << (8 * (i % 4));
    return sum;
}

static void make_header(uint8_t *header, uint32_t magic, uint32_t flag, size_t length,
                        uint32_t number, uint32_t end)
{
    kd_put_u32(header + AT_MAGIC, magic);
    kd_put_u32(header + AT_FLAG, flag);
    kd_put_u32(header + AT_LENGTH, (uint32_t)length);
    kd_put_u32(header + AT_NUMBER, number);
    kd_put_u32(header + AT_CHECKSUM, 0);
    kd_put_u32(header + AT_END, end);
}

void vmbus_framing_init(struct vmbus_framing *framing, enum vmbus_framing_role role,
                        bool acknowledge)
{
    memset(framing, 0, sizeof *framing);
    framing->role = role;
    framing->acknowledge = acknowledge;
    framing->out_number = role == VMBUS_FRAMING_GUEST ? FIRST_GUEST : FIRST_HOST;
}

void vmbus_framing_take_back(struct vmbus_framing *framing)
{
    framing->waiting = false;
    framing->out_number--;
}

size_t vmbus_framing_send(struct vmbus_framing *framing, uint64_t now_us, const uint8_t *bytes,
                          size_t size, const uint8_t **out, uint32_t *checksum)
{
    uint32_t sum;

    if (framing->waiting || size == 0)
        return 0;
    if (size > VMBUS_FRAMING_PAYLOAD)
        size = VMBUS_FRAMING_PAYLOAD;
    make_header(framing->kept, VMBUS_FRAMING_MAGIC, FLAG_DATA, size, framing->out_number++,
                DATA_END);
    memcpy(framing->kept + VMBUS_FRAMING_HEADER, bytes, size);
    framing->kept_size = VMBUS_FRAMING_HEADER + size;
    sum = xor_words(framing->kept, framing->kept_size);
    kd_put_u32(framing->kept + AT_CHECKSUM, sum);
    framing->waiting = framing->acknowledge;
    framing->tries = 1;
    framing->sent_at = now_us;
    if (checksum != NULL)
        *checksum = sum;
    *out = framing->kept;
    return framing->kept_size;
}

size_t vmbus_framing_due(struct vmbus_framing *framing, uint64_t now_us,
                         uint8_t answer[VMBUS_FRAMING_HEADER], const uint8_t **out)
{
    if (framing->answer_owed) {
        framing->answer_owed = false;
        make_header(answer, ACK_MAGIC,
                    framing->role == VMBUS_FRAMING_GUEST ? FLAG_ACK_TO_HOST : FLAG_ACK_TO_GUEST, 0,
                    framing->answer_number, ACK_END);
        kd_put_u32(answer + AT_CHECKSUM, xor_words(answer, VMBUS_FRAMING_HEADER));
        *out = answer;
        return VMBUS_FRAMING_HEADER;
    }
    if (!framing->waiting || now_us - framing->sent_at < VMBUS_FRAMING_RESEND_US)
        return 0;
    if (framing->tries == VMBUS_FRAMING_TRIES_MAX) {
        framing->waiting = false;
        framing->given_up++;
        return 0;
    }
    framing->tries++;
    framing->sent_at = now_us;
    *out = framing->kept;
    return framing->kept_size;
}

static void drop_bytes(struct vmbus_framing *framing, size_t count)
{
    framing->in_size -= count;
    memmove(framing->in, framing->in + count, framing->in_size);
}

/* Whether a header may begin with what is there; the bytes before the next such place go. */
static void find_header(struct vmbus_framing *framing)
{
    static const uint32_t magics[] = {VMBUS_FRAMING_MAGIC, ACK_MAGIC};
    size_t at;

    for (at = 0; at < framing->in_size; at++) {
        bool fits = false;

        for (unsigned m = 0; m < sizeof magics / sizeof magics[0]; m++) {
            uint8_t magic[4];
            size_t n = framing->in_size - at < 4 ? framing->in_size - at : 4;

            kd_put_u32(magic, magics[m]);
            fits = fits || memcmp(framing->in + at, magic, n) == 0;
        }
        if (fits)
            break;
    }
    framing->damaged += at;
    if (at != 0)
        drop_bytes(framing, at);
}

static bool header_is_right(const uint8_t *header)
{
    bool data = kd_get_u32(header + AT_MAGIC) == VMBUS_FRAMING_MAGIC;
    uint32_t length = kd_get_u32(header + AT_LENGTH);

    if (kd_get_u32(header + AT_END) != (data ? DATA_END : ACK_END))
        return false;
    return data ? length != 0 && length <= VMBUS_FRAMING_PAYLOAD : length == 0;
}

/* What is done with a whole chunk that is right: data stays to be read, the rest goes. */
static void take_chunk(struct vmbus_framing *framing, size_t length)
{
    uint32_t number = kd_get_u32(framing->in + AT_NUMBER);

    if (kd_get_u32(framing->in + AT_MAGIC) == ACK_MAGIC) {
        if (framing->waiting && number == framing->out_number - 1)
            framing->waiting = false;
        drop_bytes(framing, VMBUS_FRAMING_HEADER);
        return;
    }
    framing->answer_owed = framing->acknowledge;
    framing->answer_number = number;
    if (framing->acknowledge && framing->in_seen && number == framing->in_number) {
        framing->repeated++;
        drop_bytes(framing, VMBUS_FRAMING_HEADER + length);
        return;
    }
    framing->in_seen = true;
    framing->in_number = number;
    drop_bytes(framing, VMBUS_FRAMING_HEADER);
    framing->chunk_left = length;
}

/* Looks at what has come until payload is there or more bytes are needed. */
static void look(struct vmbus_framing *framing)
{
    while (framing->chunk_left == 0) {
        uint32_t length;

        find_header(framing);
        if (framing->in_size < VMBUS_FRAMING_HEADER)
            return;
        length = kd_get_u32(framing->in + AT_LENGTH);
        if (!header_is_right(framing->in)) {
            framing->damaged++;
            drop_bytes(framing, 1);
            continue;
        }
        if (framing->in_size - VMBUS_FRAMING_HEADER < length)
            return;
        /* The XOR over everything, the checksum's own word included, is zero. */
        if (xor_words(framing->in, VMBUS_FRAMING_HEADER + length) != 0) {
            framing->damaged++;
            drop_bytes(framing, 1);
            continue;
        }
        take_chunk(framing, length);
    }
}

size_t vmbus_framing_feed(struct vmbus_framing *framing, const uint8_t *bytes, size_t size)
{
    size_t taken = 0;

    while (taken < size) {
        size_t n = sizeof framing->in - framing->in_size;

        if (n == 0)
            break; /* payload waits to be read */
        if (n > size - taken)
            n = size - taken;
        memcpy(framing->in + framing->in_size, bytes + taken, n);
        framing->in_size += n;
        taken += n;
        look(framing);
    }
    return taken;
}

size_t vmbus_framing_read(struct vmbus_framing *framing, uint8_t *to, size_t size)
{
    size_t done = 0;

    while (done < size && framing->chunk_left != 0) {
        size_t n = framing->chunk_left < size - done ? framing->chunk_left : size - done;

        memcpy(to + done, framing->in, n);
        done += n;
        framing->chunk_left -= n;
        drop_bytes(framing, n);
        look(framing);
    }
    return done;
}

bool vmbus_framing_ready(const struct vmbus_framing *framing)
{
    return framing->chunk_left != 0;
}
