/* SPDX-License-Identifier: BSD-2-Clause */
#include "real.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/capture.h"

enum { PATH_SIZE = 4096, CHUNK = 1 << 20, FILE_SIZE_MAX = 1 << 20 };

static const char *folder(void)
{
    const char *from = getenv("KDWIRE_CAPTURES");
    return from ? from : KDWIRE_CAPTURES_DEFAULT;
}

static void take(struct real_session *session, const struct capture_record *record)
{
    if (record->content != CAPTURE_CONTENT_KDNET || session->count == REAL_DATAGRAMS)
        return;
    struct real_datagram *datagram = &session->datagrams[session->count++];
    datagram->time_ns = record->time_ns;
    datagram->size = record->payload_size;
    datagram->bytes = malloc(record->payload_size);
    if (!datagram->bytes)
        abort();
    memcpy(datagram->bytes, record->payload, record->payload_size);
}

static void read_all(struct real_session *session, FILE *pipe)
{
    static uint8_t chunk[CHUNK];
    struct capture_reader *reader = capture_reader_new(NULL);
    struct capture_record record;
    size_t size;

    while ((size = fread(chunk, 1, sizeof(chunk), pipe)) > 0) {
        const uint8_t *at = chunk;
        while (capture_reader_next(reader, &at, &size, &record) == 1)
            take(session, &record);
    }
    capture_reader_free(reader);
}

bool real_load(struct real_session *session)
{
    char path[PATH_SIZE], command[PATH_SIZE + 32];

    memset(session, 0, sizeof(*session));
    snprintf(path, sizeof(path), "%s/windbg-uncut.pcapng.gz", folder());
    FILE *file = fopen(path, "rb");
    if (!file) {
        printf("no capture %s: set KDWIRE_CAPTURES to test with it\n", path);
        return false;
    }
    fclose(file);
    snprintf(command, sizeof(command), "gzip -dc '%s'", path);
    FILE *pipe = popen(command, "r");
    if (!pipe)
        return false;
    read_all(session, pipe);
    return pclose(pipe) == 0;
}

void real_free(struct real_session *session)
{
    for (size_t i = 0; i < session->count; i++)
        free(session->datagrams[i].bytes);
    session->count = 0;
}

uint8_t *real_file(const char *name, size_t *size)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof(path), "%s/windows-kdnet/%s", folder(), name);
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    uint8_t *bytes = malloc(FILE_SIZE_MAX);
    *size = bytes ? fread(bytes, 1, FILE_SIZE_MAX, file) : 0;
    fclose(file);
    return bytes;
}
