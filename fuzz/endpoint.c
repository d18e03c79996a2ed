/* SPDX-License-Identifier: BSD-2-Clause */
/* The endpoint grammar: any text is parsed or refused with one line; what is parsed can be written
 * and parsed again to the same. */
#include <stdlib.h>
#include <string.h>

#include "io/endpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool condition)
{
    if (!condition)
        abort();
}

static void check_message(const char *message)
{
    size_t size = strnlen(message, ENDPOINT_MESSAGE_MAX);
    demand(size > 0 && size < ENDPOINT_MESSAGE_MAX);
    demand(!strpbrk(message, "\r\n\t\x1b"));
}

static void check_round_trip(const struct endpoint_spec *spec)
{
    struct endpoint_spec again;
    char message[ENDPOINT_MESSAGE_MAX];
    /* every character of a path may need a backslash */
    char text[2 * ENDPOINT_TEXT_MAX + ENDPOINT_HOST_MAX];
    endpoint_spec_text(spec, text, sizeof(text));
    if (strlen(text) >= ENDPOINT_TEXT_MAX)
        return; /* grew beyond what is taken */
    demand(endpoint_parse_any(&again, text, message) == KD_OK);
    demand(again.kind == spec->kind && again.port == spec->port);
    demand(!strcmp(again.host, spec->host) && !strcmp(again.path, spec->path));
    demand(again.nodelay == spec->nodelay && again.keepalive == spec->keepalive);
    demand(again.retry == spec->retry && again.replace == spec->replace);
    demand(again.access == spec->access);
    demand(again.mode == spec->mode && again.baud == spec->baud);
    demand(again.data_bits == spec->data_bits && again.parity == spec->parity);
    demand(again.version == spec->version);
    demand(vmbus_guid_equal(&again.type, &spec->type));
    demand(vmbus_guid_equal(&again.instance, &spec->instance));
    demand(again.messages == spec->messages && again.framing == spec->framing);
    demand(again.stop_bits == spec->stop_bits && again.rtscts == spec->rtscts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct endpoint_spec spec;
    char message[ENDPOINT_MESSAGE_MAX];
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (endpoint_parse_any(&spec, text, message) == KD_OK)
        check_round_trip(&spec);
    else
        check_message(message);
    free(text);
    return 0;
}
