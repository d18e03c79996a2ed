/* SPDX-License-Identifier: BSD-2-Clause */
/* The file of kdwire serve: any text gives sessions that can be opened, or faults with a line of
 * the file and one line of text each. */
#include <stdlib.h>
#include <string.h>

#include "../src/cli/session_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool condition)
{
    if (!condition)
        abort();
}

struct faults {
    unsigned count, lines;
};

static void on_problem(void *context, unsigned line, const char *message)
{
    struct faults *faults = context;
    faults->count++;
    demand(line >= 1 && line <= faults->lines);
    demand(*message && strlen(message) < RELAY_OPTION_MESSAGE_MAX && !strpbrk(message, "\r\n"));
}

static void check_entry(struct session_entry *entry, const struct session_entry *first)
{
    char message[RELAY_OPTION_MESSAGE_MAX];
    struct relay_config config;
    demand(entry->name[0] && strlen(entry->name) < SESSION_NAME_MAX);
    for (; first != entry; first = first->next)
        demand(strcmp(first->name, entry->name) != 0);
    demand(relay_options_config(&entry->options, &config, message) == KD_OK);
    demand(relay_config_stdio(&config) == 0);
    demand(!config.record || config.record->replace || config.record->rotate_size ||
           config.record->rotate_time_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct faults faults = {0, 1};
    for (size_t i = 0; i < size; i++)
        faults.lines += data[i] == '\n';
    struct session_entry *first = session_file_parse((const char *)data, size, on_problem, &faults);
    demand((first != NULL) == (faults.count == 0));
    for (struct session_entry *entry = first; entry; entry = entry->next)
        check_entry(entry, first);
    session_file_free(first);
    return 0;
}
