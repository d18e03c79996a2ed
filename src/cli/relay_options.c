/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay_options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/output.h"

static int refuse(char *message, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(char *message, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, RELAY_OPTION_MESSAGE_MAX, format, arguments);
    va_end(arguments);
    return KD_E_ARGUMENT;
}

static bool parse_amount(const char *text, const char *units, const uint64_t *factors,
                         uint64_t *value)
{
    char *end = NULL;
    if (*text < '0' || *text > '9')
        return false;
    unsigned long long number = strtoull(text, &end, 10);
    uint64_t factor = 1;
    if (*end) {
        const char *unit = strchr(units, *end);
        if (!unit || end[1])
            return false;
        factor = factors[unit - units];
    }
    if (!number || number > UINT64_MAX / 2 / factor)
        return false;
    *value = number * factor;
    return true;
}

/* ---- one option each ---- */

static int set_debugger(struct relay_options *options, const char *value, char *message)
{
    (void)message;
    options->ends[RELAY_DEBUGGER] = value;
    return KD_OK;
}

static int set_target(struct relay_options *options, const char *value, char *message)
{
    (void)message;
    options->ends[RELAY_TARGET] = value;
    return KD_OK;
}

static int set_record(struct relay_options *options, const char *value, char *message)
{
    (void)message;
    options->record = value;
    return KD_OK;
}

static int set_datagrams(struct relay_options *options, const char *value, char *message)
{
    (void)message;
    options->datagrams = value;
    return KD_OK;
}

static int set_key_file(struct relay_options *options, const char *value, char *message)
{
    (void)message;
    options->key_file = value;
    return KD_OK;
}

static int set_flag(const struct relay_options *options, bool *flag, const char *name,
                    const char *value, char *message)
{
    if (value && strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
        return refuse(message, "%s%s '%.200s': write yes or no", options->dash, name, value);
    *flag = !value || !strcmp(value, "yes");
    return KD_OK;
}

static int set_record_key(struct relay_options *options, const char *value, char *message)
{
    return set_flag(options, &options->record_key, "record-key", value, message);
}

static int set_overwrite(struct relay_options *options, const char *value, char *message)
{
    int code = set_flag(options, &options->file.replace, "overwrite", value, message);
    options->datagrams_file.replace = options->file.replace;
    return code;
}

static int set_format(struct relay_options *options, const char *value, char *message)
{
    options->shaped = true;
    if (!strcmp(value, "pcapng"))
        options->writer.format = CAPTURE_PCAPNG;
    else if (!strcmp(value, "pcap-udp"))
        options->writer.format = CAPTURE_PCAP_UDP;
    else
        return refuse(message, "%sformat '%.200s': there are pcapng and pcap-udp", options->dash,
                      value);
    return KD_OK;
}

static int set_framing(struct relay_options *options, const char *value, char *message)
{
    options->shaped = true;
    if (!strcmp(value, "pdu"))
        options->writer.framing = CAPTURE_UPPER_PDU;
    else if (!strcmp(value, "user0"))
        options->writer.framing = CAPTURE_USER0;
    else if (!strcmp(value, "raw"))
        options->writer.framing = CAPTURE_RAW;
    else
        return refuse(message, "%sframing '%.200s': there are pdu, user0 and raw", options->dash,
                      value);
    return KD_OK;
}

static int set_rotate_size(struct relay_options *options, const char *value, char *message)
{
    static const uint64_t factors[] = {1000, 1000000, 1000000000};
    if (parse_amount(value, "KMG", factors, &options->file.rotate_size))
        return KD_OK;
    return refuse(message, "%srotate-size '%.200s': write a number of bytes, for example 100M",
                  options->dash, value);
}

static int set_rotate_time(struct relay_options *options, const char *value, char *message)
{
    static const uint64_t factors[] = {1, 60, 3600};
    uint64_t seconds = 0;
    if (!parse_amount(value, "smh", factors, &seconds) || seconds > UINT64_MAX / 1000000000)
        return refuse(message, "%srotate-time '%.200s': write a time, for example 600 or 10m",
                      options->dash, value);
    options->file.rotate_time_ns = seconds * 1000000000;
    return KD_OK;
}

static int set_keep(struct relay_options *options, const char *value, char *message)
{
    uint64_t number = 0;
    if (!parse_amount(value, "", NULL, &number) || number > 1000000)
        return refuse(message, "%skeep '%.200s': write how many files to keep, for example 10",
                      options->dash, value);
    options->file.keep = (unsigned)number;
    return KD_OK;
}

static int set_pace(struct relay_options *options, const char *value, char *message)
{
    if (pace_parse(&options->pace, value))
        return KD_OK;
    return refuse(message,
                  "%space '%.200s': write bytes per second, for example 11520, or "
                  "BYTES/MICROSECONDS, for example 16/5000",
                  options->dash, value);
}

static int add_observer(struct relay_options *options, const char *name, const char *value,
                        int (*parse)(struct endpoint_spec *, const char *, char *), char *message)
{
    char why[ENDPOINT_MESSAGE_MAX];
    if (options->observer_count == OBSERVER_ENDS_MAX)
        return refuse(message, "at most %d %sobserve and %slive options", OBSERVER_ENDS_MAX,
                      options->dash, options->dash);
    if (parse(&options->observers[options->observer_count], value, why) < 0)
        return refuse(message, "%s%s: %s", options->dash, name, why);
    options->observer_count++;
    return KD_OK;
}

static int set_live(struct relay_options *options, const char *value, char *message)
{
    return add_observer(options, "live", value, endpoint_parse_live, message);
}

static int set_observe(struct relay_options *options, const char *value, char *message)
{
    return add_observer(options, "observe", value, endpoint_parse, message);
}

static const struct {
    const char *name;
    bool flag; /* may stand without a value */
    int (*set)(struct relay_options *options, const char *value, char *message);
} settings[] = {
    {"debugger", false, set_debugger},
    {"target", false, set_target},
    {"record", false, set_record},
    {"overwrite", true, set_overwrite},
    {"format", false, set_format},
    {"framing", false, set_framing},
    {"rotate-size", false, set_rotate_size},
    {"rotate-time", false, set_rotate_time},
    {"keep", false, set_keep},
    {"record-datagrams", false, set_datagrams},
    {"record-key", true, set_record_key},
    {"live", false, set_live},
    {"observe", false, set_observe},
    {"pace", false, set_pace},
    {"key-file", false, set_key_file},
};

int relay_option_set(struct relay_options *options, const char *name, const char *value,
                     char message[RELAY_OPTION_MESSAGE_MAX])
{
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (strcmp(name, settings[i].name) != 0)
            continue;
        if (value || settings[i].flag)
            return settings[i].set(options, value, message);
        return refuse(message, "%s%s needs a value", options->dash, name);
    }
    size_t size = (size_t)snprintf(message, RELAY_OPTION_MESSAGE_MAX,
                                   "'%.100s' is no setting of a session; there are", name);
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        size += (size_t)snprintf(message + size, RELAY_OPTION_MESSAGE_MAX - size, "%s %s",
                                 i ? "," : "", settings[i].name);
    return KD_E_NOT_FOUND;
}

/* ---- all together ---- */

static int parse_ends(const struct relay_options *options, struct relay_config *config,
                      char *message)
{
    static const char *const names[] = {"debugger", "target"};
    char why[ENDPOINT_MESSAGE_MAX];
    for (int i = 0; i < 2; i++) {
        if (!options->ends[i])
            return refuse(message, "%s%s END is missing; it says where the %s is", options->dash,
                          names[i], names[i]);
        if (endpoint_parse(&config->ends[i], options->ends[i], why) < 0)
            return refuse(message, "%s%s: %s", options->dash, names[i], why);
    }
    return KD_OK;
}

/* Options that would do nothing: the user means a recording and would not get one. */
static int check_recording(const struct relay_options *options, const struct relay_config *config,
                           char *message)
{
    const char *dash = options->dash;
    bool kdnet =
        endpoint_spec_needs_key(&config->ends[0]) || endpoint_spec_needs_key(&config->ends[1]);
    if (options->datagrams && !kdnet)
        return refuse(message, "%srecord-datagrams needs a KDNET end", dash);
    if (options->record_key && !options->datagrams)
        return refuse(message, "%srecord-key needs %srecord-datagrams FILE", dash, dash);
    bool rotates = options->file.rotate_size || options->file.rotate_time_ns;
    if (options->file.keep && !rotates)
        return refuse(message, "%skeep needs %srotate-size or %srotate-time", dash, dash, dash);
    if (rotates && !options->record)
        return refuse(message, "%srotate-size and %srotate-time need %srecord FILE", dash, dash,
                      dash);
    if (options->file.replace && !options->record && !options->datagrams)
        return refuse(message, "%soverwrite needs %srecord FILE", dash, dash);
    if (options->shaped && !options->record && !options->observer_count)
        return refuse(message, "%sformat and %sframing need %srecord, %slive or %sobserve", dash,
                      dash, dash, dash, dash);
    return KD_OK;
}

unsigned relay_config_stdio(const struct relay_config *config)
{
    unsigned count = 0;
    for (int i = 0; i < 2; i++)
        count += config->ends[i].kind == ENDPOINT_STDIO;
    for (size_t i = 0; i < config->observer_count; i++)
        count += config->observers[i].kind == ENDPOINT_STDIO;
    return count;
}

int relay_options_config(struct relay_options *options, struct relay_config *config,
                         char message[RELAY_OPTION_MESSAGE_MAX])
{
    memset(config, 0, sizeof(*config));
    config->observers = options->observers;
    config->observer_count = options->observer_count;
    config->pace = options->pace;
    int code = parse_ends(options, config, message);
    if (code < 0)
        return code;
    if (relay_config_stdio(config) > 1)
        return refuse(message, "only one end can be stdio");
    code = check_recording(options, config, message);
    if (code < 0)
        return code;
    options->file.path = options->record;
    options->datagrams_file.path = options->datagrams;
    options->file.create = options->datagrams_file.create = output_create_private;
    config->record = options->record ? &options->file : NULL;
    config->datagrams = options->datagrams ? &options->datagrams_file : NULL;
    config->writer = options->writer;
    const char *names[2];
    for (int i = 0; i < 2; i++)
        names[i] =
            endpoint_spec_text(&config->ends[i], options->names[i], sizeof(options->names[i]));
    config->writer.debugger_name = names[RELAY_DEBUGGER];
    config->writer.target_name = names[RELAY_TARGET];
    return KD_OK;
}
