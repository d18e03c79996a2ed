/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The capture reader: pcapng, pcap, raw streams and everything taken apart inside records. Besides
 * memory errors it must give the same records however the file is cut into reads.
 *
 * Input: one byte that chooses the size of the reads, then the file.
 */
#include <stdlib.h>
#include <string.h>

#include "capture/capture.h"
#include "kdwire/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct summary {
    uint64_t records, bytes, hash;
    int code, end;
    bool raw;
};

static void add(struct summary *summary, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < size; i++) /* FNV-1a */
        summary->hash = (summary->hash ^ at[i]) * 0x100000001B3u;
}

static void add_record(struct summary *summary, const struct capture_record *record)
{
    summary->records++;
    summary->bytes += record->payload_size;
    add(summary, record->payload, record->payload_size);
    if (summary->raw)
        return; /* a raw stream has one record per read */
    add(summary, record->comment, record->comment_size);
    add(summary, &record->time_ns, sizeof(record->time_ns));
    add(summary, &record->direction, sizeof(record->direction));
    add(summary, &record->content, sizeof(record->content));
    add(summary, &record->source_port, sizeof(record->source_port));
    add(summary, &record->missing, sizeof(record->missing));
    add(summary, record->interface_name, strlen(record->interface_name));
    add(summary, record->dissector, strlen(record->dissector));
}

static struct summary read_in_pieces(const uint8_t *data, size_t size, size_t piece)
{
    struct summary summary = {0};
    struct capture_reader *reader = capture_reader_new(NULL);
    if (!reader)
        abort();
    for (size_t at = 0; at < size && summary.code >= 0; at += piece) {
        size_t left = size - at < piece ? size - at : piece;
        uint8_t *exact = malloc(left); /* so that reading beyond it is seen */
        if (!exact)
            abort();
        memcpy(exact, data + at, left);
        const uint8_t *next = exact;
        struct capture_record record;
        while ((summary.code = capture_reader_next(reader, &next, &left, &record)) > 0) {
            summary.raw = record.link_type == CAPTURE_LINK_NONE;
            add_record(&summary, &record);
        }
        if (summary.code == 0 && left)
            abort(); /* "feed more" while bytes are left would be an endless loop */
        if ((summary.code < 0) != (capture_reader_problem(reader)[0] != 0))
            abort(); /* an error without a reason, or a reason without an error */
        free(exact);
    }
    summary.end = capture_reader_end(reader);
    capture_reader_free(reader);
    return summary;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1, 3, 16, 61, 256, 4096};
    if (size < 2)
        return 0;
    size_t piece = pieces[data[0] % (sizeof(pieces) / sizeof(pieces[0]))];
    struct summary whole = read_in_pieces(data + 1, size - 1, size - 1);
    struct summary cut = read_in_pieces(data + 1, size - 1, piece);
    if (whole.bytes != cut.bytes || whole.hash != cut.hash || whole.code != cut.code ||
        whole.end != cut.end || (!whole.raw && whole.records != cut.records))
        abort();
    return 0;
}
