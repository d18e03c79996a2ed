/* SPDX-License-Identifier: BSD-2-Clause */
#include "fault.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kdwire/error.h"
#include "kdwire/stream.h"

enum {
    DEFAULT_DELAY_US = 100000,
    DEFAULT_SPLIT_US = 20000, /* below the byte time-out: a pause, not the end of the packet */
};

/* Bytes that arrive together. */
struct piece {
    struct piece *next;
    uint64_t due;
    size_t at;
    size_t size;
    uint8_t bytes[];
};

struct sim_fault {
    struct sim_fault_config config;
    uint64_t random;
    uint64_t last_due; /* nothing overtakes: due times never go back */
    size_t queued;
    struct piece *first;
    struct piece **end;
    uint64_t counts[SIM_FAULT_KINDS];
    struct kd_stream stream;
};

/* splitmix64: small, and good from the first number on for any seed. */
static uint64_t draw(struct sim_fault *wire)
{
    uint64_t z = wire->random += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* 0 <= result < LIMIT; LIMIT is not 0. */
static size_t draw_below(struct sim_fault *wire, uint64_t limit)
{
    return (size_t)(draw(wire) % limit);
}

static bool strikes(struct sim_fault *wire, enum sim_fault_kind kind)
{
    return draw_below(wire, SIM_FAULT_ALWAYS) < wire->config.ppm[kind];
}

struct sim_fault *sim_fault_new(const struct sim_fault_config *config)
{
    struct sim_fault *wire = calloc(1, sizeof(*wire));
    if (!wire)
        return NULL;
    wire->config = *config;
    wire->random = config->seed;
    wire->end = &wire->first;
    if (!wire->config.delay_us)
        wire->config.delay_us = DEFAULT_DELAY_US;
    if (!wire->config.split_us)
        wire->config.split_us = DEFAULT_SPLIT_US;
    return wire;
}

static void drop_first(struct sim_fault *wire)
{
    struct piece *piece = wire->first;
    wire->first = piece->next;
    if (!wire->first)
        wire->end = &wire->first;
    wire->queued -= piece->size;
    free(piece);
}

void sim_fault_free(struct sim_fault *wire)
{
    if (!wire)
        return;
    while (wire->first)
        drop_first(wire);
    free(wire);
}

static int enqueue(struct sim_fault *wire, uint64_t due, const uint8_t *bytes, size_t size)
{
    if (!size)
        return KD_OK;
    struct piece *piece = malloc(sizeof(*piece) + size);
    if (!piece)
        return KD_E_NO_MEMORY;
    wire->last_due = due > wire->last_due ? due : wire->last_due;
    *piece = (struct piece){.due = wire->last_due, .size = size};
    memcpy(piece->bytes, bytes, size);
    *wire->end = piece;
    wire->end = &piece->next;
    wire->queued += size;
    return KD_OK;
}

static void change(struct sim_fault *wire, enum sim_fault_kind kind, uint8_t *bytes, size_t size)
{
    if (!size || !strikes(wire, kind))
        return;
    bytes[draw_below(wire, size)] ^= (uint8_t)(1 + draw_below(wire, 255));
    wire->counts[kind]++;
}

static size_t damage(struct sim_fault *wire, const struct kd_item *item, uint8_t *bytes)
{
    size_t size = item->raw_size;

    if (item->kind == KD_ITEM_PACKET && size >= KD_HEADER_SIZE) {
        size_t trailer = KD_HEADER_SIZE + item->body_size;
        change(wire, SIM_FAULT_FLIP_HEADER, bytes, KD_HEADER_SIZE);
        change(wire, SIM_FAULT_FLIP_PAYLOAD, bytes + KD_HEADER_SIZE, item->body_size);
        change(wire, SIM_FAULT_FLIP_TRAILER, bytes + trailer, size - trailer);
    }
    if (strikes(wire, SIM_FAULT_LOSE_BYTE)) {
        size_t lost = draw_below(wire, size);
        memmove(bytes + lost, bytes + lost + 1, --size - lost);
        wire->counts[SIM_FAULT_LOSE_BYTE]++;
    }
    return size;
}

static int deliver(struct sim_fault *wire, uint64_t due, const uint8_t *bytes, size_t size)
{
    if (size < 2 || !strikes(wire, SIM_FAULT_SPLIT))
        return enqueue(wire, due, bytes, size);
    size_t cut = 1 + draw_below(wire, size - 1);
    wire->counts[SIM_FAULT_SPLIT]++;
    int error = enqueue(wire, due, bytes, cut);
    if (error)
        return error;
    due = wire->last_due + 1 + draw_below(wire, wire->config.split_us);
    return enqueue(wire, due, bytes + cut, size - cut);
}

static int send_item(struct sim_fault *wire, uint64_t now, const struct kd_item *item)
{
    uint8_t bytes[KD_PACKET_MAX];
    uint64_t due = now;

    if (strikes(wire, SIM_FAULT_DROP)) {
        wire->counts[SIM_FAULT_DROP]++;
        return KD_OK;
    }
    memcpy(bytes, item->raw, item->raw_size);
    size_t size = damage(wire, item, bytes);
    if (strikes(wire, SIM_FAULT_DELAY)) {
        due += 1 + draw_below(wire, wire->config.delay_us);
        wire->counts[SIM_FAULT_DELAY]++;
    }
    int error = deliver(wire, due, bytes, size);
    if (!error && strikes(wire, SIM_FAULT_DUPLICATE)) {
        wire->counts[SIM_FAULT_DUPLICATE]++;
        error = deliver(wire, due, bytes, size);
    }
    return error;
}

int sim_fault_write(struct sim_fault *wire, uint64_t now, const uint8_t *bytes, size_t size)
{
    struct kd_item item;
    int error = KD_OK;

    /* doubled packets may have gone over the bound */
    if (wire->queued > SIM_FAULT_QUEUE_MAX || size > SIM_FAULT_QUEUE_MAX - wire->queued)
        return KD_E_NO_SPACE;
    kd_stream_init(&wire->stream, KD_FRAMING_SERIAL);
    while (!error) {
        size_t used = kd_stream_feed(&wire->stream, bytes, size, &item);
        bytes += used;
        size -= used;
        if (item.kind != KD_ITEM_NONE)
            error = send_item(wire, now, &item);
        else if (!size)
            break;
    }
    while (!error && kd_stream_flush(&wire->stream, &item))
        error = send_item(wire, now, &item);
    return error;
}

size_t sim_fault_read(struct sim_fault *wire, uint64_t now, uint8_t *to, size_t room)
{
    struct piece *piece = wire->first;
    if (!piece || piece->due > now)
        return 0;
    size_t size = piece->size - piece->at;
    size = size < room ? size : room;
    memcpy(to, piece->bytes + piece->at, size);
    piece->at += size;
    if (piece->at == piece->size)
        drop_first(wire);
    return size;
}

uint64_t sim_fault_deadline(const struct sim_fault *wire)
{
    return wire->first ? wire->first->due : UINT64_MAX;
}

uint64_t sim_fault_count(const struct sim_fault *wire, enum sim_fault_kind kind)
{
    return wire->counts[kind];
}

/* ---- specifications ---- */

/* Decimal digits at *TEXT, which is moved behind them; false without any or above LIMIT. */
static bool read_number(const char **text, uint64_t limit, uint64_t *value)
{
    const char *start = *text;

    *value = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        unsigned digit = (unsigned)(**text - '0');
        if (*value > (limit - digit) / 10)
            return false;
        *value = *value * 10 + digit;
    }
    return *text > start;
}

static bool read_probability(const char **text, uint32_t *ppm)
{
    enum { PERCENT = SIM_FAULT_ALWAYS / 100 };
    uint64_t value;

    if (!read_number(text, SIM_FAULT_ALWAYS, &value))
        return false;
    if (**text == '%') {
        (*text)++;
        value *= PERCENT;
    }
    *ppm = (uint32_t)value;
    return value <= SIM_FAULT_ALWAYS;
}

static bool is_word(const char *text, size_t size, const char *word)
{
    return strlen(word) == size && memcmp(text, word, size) == 0;
}

static bool set_all(struct sim_fault_config *config, const char **text)
{
    uint32_t ppm;
    if (!read_probability(text, &ppm))
        return false;
    for (int kind = 0; kind < SIM_FAULT_KINDS; kind++)
        if (kind != SIM_FAULT_FLIP_HEADER)
            config->ppm[kind] = ppm;
    return true;
}

/* One "word=value" of SIZE characters of word; *TEXT is at the value. */
static bool set_part(struct sim_fault_config *config, const char *word, size_t size,
                     const char **text)
{
    static const char *const kinds[] = {
#define SIM_FAULT_WORD(name, word, text) word,
        SIM_FAULT_MAP(SIM_FAULT_WORD)
#undef SIM_FAULT_WORD
    };
    for (size_t kind = 0; kind < SIM_FAULT_KINDS; kind++)
        if (is_word(word, size, kinds[kind]))
            return read_probability(text, &config->ppm[kind]);
    if (is_word(word, size, "all"))
        return set_all(config, text);
    if (is_word(word, size, "seed"))
        return read_number(text, UINT64_MAX, &config->seed);
    if (is_word(word, size, "delay_us"))
        return read_number(text, UINT32_MAX, &config->delay_us);
    if (is_word(word, size, "split_us"))
        return read_number(text, UINT32_MAX, &config->split_us);
    return false;
}

int sim_fault_parse(struct sim_fault_config *config, const char *text, const char **where)
{
    memset(config, 0, sizeof(*config));
    for (;;) {
        const char *value = strchr(text, '=');
        *where = text;
        if (!value)
            return KD_E_FORMAT;
        size_t size = (size_t)(value - text);
        value++;
        if (!set_part(config, text, size, &value))
            return KD_E_FORMAT;
        if (!*value)
            return KD_OK;
        if (*value != ',')
            return KD_E_FORMAT;
        text = value + 1;
    }
}
