/* SPDX-License-Identifier: BSD-2-Clause */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "io/output.h"
#include "key.h"
#include "platform.h"
#include "relay_report.h"

enum {
    STATUS_MS = 500, /* between redraws of the status line */
};

static const char help_text[] =
    "usage: kdwire relay --debugger END --target END [OPTION]...\n"
    "Joins a debugger (WinDbg, kdwire debug) and a target over any two endpoints. Either may be\n"
    "absent, vanish and return.\n"
    "\n"
    "  -d, --debugger END     where the debugger is\n"
    "  -t, --target END       where the target is\n"
    "  -r, --record FILE      record every byte; exists already: an error, see --overwrite\n"
    "      --overwrite        replace FILE\n"
    "      --format FORMAT    pcapng (default), or pcap-udp for kdnet.lua and other old tools\n"
    "      --framing FRAMING  of pcapng records: pdu (default), user0, or raw chunks\n"
    "      --rotate-size N    begin a new file after N bytes (K, M, G may follow)\n"
    "      --rotate-time N    begin a new file after N seconds (m, h may follow)\n"
    "      --keep N           of rotated files keep the newest N\n"
    "      --record-datagrams FILE  record the datagrams of KDNET ends as they are on the wire;\n"
    "                         encrypted; kdwire decode and Wireshark read them with the key\n"
    "      --record-key       put the key into that file: whoever gets it can read it\n"
    "  -l, --live FIFO        a named pipe with the recording for Wireshark (may be repeated)\n"
    "  -o, --observe END      give the recording to whoever reads at END (may be repeated), e.g.\n"
    "                         tcp-listen:19000 for wireshark -k -i TCP@127.0.0.1:19000\n"
    "  -p, --pace RATE        to a slow target: BYTES (a second) or BYTES/MICROSECONDS\n"
    "  -e, --events json      one JSON object per event on standard output\n"
    "      --key-file FILE    the key of KDNET ends (else KDWIRE_KDNET_KEY, or you are asked)\n"
    "  -1, --once             end when both ends have come and gone\n"
    "  -q, --quiet            say errors only\n"
    "  -v, --verbose          say stops, resends and resets too\n"
    "      --no-status        no status line on a terminal\n"
    "      --help             this text\n"
    "\n"
    "END is one of\n"
    "  tcp:HOST:PORT          tcp-listen:[ADDRESS:]PORT (ADDRESS is 127.0.0.1 unless given)\n"
    "  unix:PATH              unix-listen:PATH           (not on Windows)\n"
    "  pipe:NAME              pipe-listen:NAME[,access=admins|everyone]   (Windows)\n"
    "  serial:DEVICE[,baud=115200][,rtscts]\n"
    "  pty:LINK               exec:COMMAND               stdio\n"
    "  kdnet-host:port=N[,bind=ADDRESS]      KDNET: a target (Windows) comes to us\n"
    "  kdnet-target:host=HOST,port=N         KDNET: WinDbg (net:port=N,key=...) waits there\n"
    "and options after commas: nodelay=off keepalive=SECONDS retry=SECONDS\n"
    "replace=dead|newest|never mode=OCTAL data=7 parity=even stop=2 key-file=FILE.\n"
    "See kdwire-relay(1).\n"
    "\n"
    "Examples:\n"
    "  kdwire relay -d tcp-listen:4555 -t unix:/run/vm/com1.sock -r session.pcapng\n"
    "  kdwire relay -d pty:/tmp/com1 -t tcp:xen-host:7001 -o tcp-listen:19000\n"
    "\n"
    "A KD port is full control of the target: listeners take connections from this machine only\n"
    "unless told otherwise.\n";

struct relay_options {
    const char *ends[2];
    const char *key_file;
    const char *record, *datagrams;
    bool record_key;
    struct capture_file_config datagrams_file;
    struct capture_file_config file;
    struct capture_writer_config writer;
    struct endpoint_spec observers[OBSERVER_ENDS_MAX];
    size_t observer_count;
    struct pace pace;
    bool once, no_status, help;
    bool shaped; /* --format or --framing was given */
    struct relay_report report;
};

/* Everything of one run; static because the recorder and the observers are large. */
static struct run {
    struct relay relay;
    struct relay_report report;
    struct end_signals signals;
    uv_timer_t status;
    int exit_code;
} run;

/* ---- options ---- */

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

static int parse_size(const char *text, uint64_t *bytes)
{
    static const uint64_t factors[] = {1000, 1000000, 1000000000};
    if (parse_amount(text, "KMG", factors, bytes))
        return 0;
    return cli_usage_error("--rotate-size '%s': write a number of bytes, for example 100M", text);
}

static int parse_time(const char *text, uint64_t *ns)
{
    static const uint64_t factors[] = {1, 60, 3600};
    uint64_t seconds = 0;
    if (!parse_amount(text, "smh", factors, &seconds) || seconds > UINT64_MAX / 1000000000)
        return cli_usage_error("--rotate-time '%s': write a time, for example 600 or 10m", text);
    *ns = seconds * 1000000000;
    return 0;
}

static int parse_format(struct relay_options *options, const char *text)
{
    options->shaped = true;
    if (!strcmp(text, "pcapng"))
        options->writer.format = CAPTURE_PCAPNG;
    else if (!strcmp(text, "pcap-udp"))
        options->writer.format = CAPTURE_PCAP_UDP;
    else
        return cli_usage_error("--format '%s': there are pcapng and pcap-udp", text);
    return 0;
}

static int parse_framing(struct relay_options *options, const char *text)
{
    options->shaped = true;
    if (!strcmp(text, "pdu"))
        options->writer.framing = CAPTURE_UPPER_PDU;
    else if (!strcmp(text, "user0"))
        options->writer.framing = CAPTURE_USER0;
    else if (!strcmp(text, "raw"))
        options->writer.framing = CAPTURE_RAW;
    else
        return cli_usage_error("--framing '%s': there are pdu, user0 and raw", text);
    return 0;
}

static int add_observer(struct relay_options *options, const char *text, bool fifo)
{
    char message[ENDPOINT_MESSAGE_MAX];
    if (options->observer_count == OBSERVER_ENDS_MAX)
        return cli_usage_error("at most %d --observe and --live options", OBSERVER_ENDS_MAX);
    struct endpoint_spec *spec = &options->observers[options->observer_count++];
    if (fifo && endpoint_parse_live(spec, text, message) < 0)
        return cli_usage_error("--live: %s", message);
    if (!fifo && endpoint_parse(spec, text, message) < 0)
        return cli_usage_error("--observe: %s", message);
    return 0;
}

static int parse_keep(const char *text, unsigned *keep)
{
    uint64_t number = 0;
    if (!parse_amount(text, "", NULL, &number) || number > 1000000)
        return cli_usage_error("--keep '%s': write how many files to keep, for example 10", text);
    *keep = (unsigned)number;
    return 0;
}

enum {
    OPTION_OVERWRITE = 256,
    OPTION_FORMAT,
    OPTION_FRAMING,
    OPTION_ROTATE_SIZE,
    OPTION_ROTATE_TIME,
    OPTION_KEEP,
    OPTION_KEY_FILE,
    OPTION_DATAGRAMS,
    OPTION_RECORD_KEY,
    OPTION_NO_STATUS,
    OPTION_HELP,
};

static const struct option long_options[] = {
    {"debugger", required_argument, NULL, 'd'},
    {"target", required_argument, NULL, 't'},
    {"record", required_argument, NULL, 'r'},
    {"overwrite", no_argument, NULL, OPTION_OVERWRITE},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"framing", required_argument, NULL, OPTION_FRAMING},
    {"rotate-size", required_argument, NULL, OPTION_ROTATE_SIZE},
    {"rotate-time", required_argument, NULL, OPTION_ROTATE_TIME},
    {"keep", required_argument, NULL, OPTION_KEEP},
    {"live", required_argument, NULL, 'l'},
    {"observe", required_argument, NULL, 'o'},
    {"pace", required_argument, NULL, 'p'},
    {"events", required_argument, NULL, 'e'},
    {"once", no_argument, NULL, '1'},
    {"quiet", no_argument, NULL, 'q'},
    {"verbose", no_argument, NULL, 'v'},
    {"record-datagrams", required_argument, NULL, OPTION_DATAGRAMS},
    {"record-key", no_argument, NULL, OPTION_RECORD_KEY},
    {"key-file", required_argument, NULL, OPTION_KEY_FILE},
    {"no-status", no_argument, NULL, OPTION_NO_STATUS},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static int parse_option(struct relay_options *options, int option, const char *value)
{
    switch (option) {
    case 'd':
        options->ends[RELAY_DEBUGGER] = value;
        return 0;
    case 't':
        options->ends[RELAY_TARGET] = value;
        return 0;
    case 'r':
        options->record = value;
        return 0;
    case OPTION_DATAGRAMS:
        options->datagrams = value;
        return 0;
    case OPTION_RECORD_KEY:
        options->record_key = true;
        return 0;
    case OPTION_OVERWRITE:
        options->file.replace = options->datagrams_file.replace = true;
        return 0;
    case OPTION_FORMAT:
        return parse_format(options, value);
    case OPTION_FRAMING:
        return parse_framing(options, value);
    case OPTION_ROTATE_SIZE:
        return parse_size(value, &options->file.rotate_size);
    case OPTION_ROTATE_TIME:
        return parse_time(value, &options->file.rotate_time_ns);
    case OPTION_KEEP:
        return parse_keep(value, &options->file.keep);
    case 'l':
        return add_observer(options, value, true);
    case 'o':
        return add_observer(options, value, false);
    case 'p':
        if (pace_parse(&options->pace, value))
            return 0;
        return cli_usage_error("--pace '%s': write bytes per second, for example 11520, or "
                               "BYTES/MICROSECONDS, for example 16/5000",
                               value);
    case 'e':
        options->report.json = true;
        return strcmp(value, "json") != 0 ? cli_usage_error("--events '%s': there is json", value)
                                          : 0;
    case OPTION_KEY_FILE:
        options->key_file = value;
        return 0;
    case '1':
        options->once = true;
        return 0;
    case 'q':
        options->report.quiet = true;
        return 0;
    case 'v':
        options->report.verbose = true;
        return 0;
    case OPTION_NO_STATUS:
        options->no_status = true;
        return 0;
    case OPTION_HELP:
        options->help = true;
        return 0;
    default: /* getopt has said what is wrong */
        fprintf(stderr, "Try 'kdwire relay --help'.\n");
        return CLI_USAGE;
    }
}

static int parse_options(struct relay_options *options, int argc, char **argv)
{
    int option, rc = 0;
    static char name[] = "kdwire relay"; /* what getopt_long puts before its messages */
    argv[0] = name;
    while (!rc && (option = getopt_long(argc, argv, "d:t:r:l:o:p:e:1qv", long_options, NULL)) != -1)
        rc = parse_option(options, option, optarg);
    if (!rc && optind < argc)
        rc = cli_usage_error("'%s' is not expected here", argv[optind]);
    return rc;
}

static int parse_ends(const struct relay_options *options, struct relay_config *config)
{
    static const char *const names[] = {"debugger", "target"};
    char message[ENDPOINT_MESSAGE_MAX];
    for (int i = 0; i < 2; i++) {
        if (!options->ends[i])
            return cli_usage_error("--%s END is missing; it says where the %s is", names[i],
                                   names[i]);
        if (endpoint_parse(&config->ends[i], options->ends[i], message) < 0)
            return cli_usage_error("--%s: %s", names[i], message);
        enum cli_end end = i == RELAY_DEBUGGER ? CLI_END_DEBUGGER : CLI_END_TARGET;
        int rc = cli_find_key(&config->ends[i], end, options->key_file);
        if (rc != CLI_DONE)
            return rc;
    }
    int stdio = config->ends[0].kind == ENDPOINT_STDIO;
    stdio += config->ends[1].kind == ENDPOINT_STDIO;
    for (size_t i = 0; i < options->observer_count; i++)
        stdio += options->observers[i].kind == ENDPOINT_STDIO;
    if (stdio > 1)
        return cli_usage_error("only one end can be stdio");
    if (stdio && options->report.json)
        return cli_usage_error("--events json writes on standard output, which stdio uses too");
    return 0;
}

/* Options that would do nothing: the user means a recording and would not get one. */
static int check_recording(const struct relay_options *options, const struct relay_config *config)
{
    bool kdnet =
        endpoint_spec_needs_key(&config->ends[0]) || endpoint_spec_needs_key(&config->ends[1]);
    if (options->datagrams && !kdnet)
        return cli_usage_error("--record-datagrams needs a KDNET end");
    if (options->record_key && !options->datagrams)
        return cli_usage_error("--record-key needs --record-datagrams FILE");
    bool rotates = options->file.rotate_size || options->file.rotate_time_ns;
    if (options->file.keep && !rotates)
        return cli_usage_error("--keep needs --rotate-size or --rotate-time");
    if (rotates && !options->record)
        return cli_usage_error("--rotate-size and --rotate-time need --record FILE");
    if (options->file.replace && !options->record && !options->datagrams)
        return cli_usage_error("--overwrite needs --record FILE");
    if (options->shaped && !options->record && !options->observer_count)
        return cli_usage_error("--format and --framing need --record, --live or --observe");
    return 0;
}

/* ---- the run ---- */

static void on_event(struct relay *relay, const struct relay_event *event)
{
    relay_report_event(&run.report, relay, event);
    if (event->kind == RELAY_EVENT_RECORD_FAILED)
        run.exit_code = CLI_FAILED;
}

static void on_stopped(struct relay *relay)
{
    end_signals_close(&run.signals);
    uv_close((uv_handle_t *)&run.status, NULL);
    if (relay->failed)
        run.exit_code = CLI_FAILED;
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)handle, (void)number;
    if (run.relay.stopping)
        _Exit(CLI_FAILED); /* asked twice: do not wait for anybody */
    relay_stop(&run.relay);
}

static void on_status(uv_timer_t *timer)
{
    (void)timer;
    relay_report_status(&run.report, &run.relay);
}

static bool is_open_to_all(const struct endpoint_spec *spec)
{
    bool own = !strcmp(spec->host, "127.0.0.1") || !strcmp(spec->host, "::1") ||
               !strcmp(spec->host, "localhost");
    return spec->kind == ENDPOINT_TCP_LISTEN && !own;
}

static void warn_of_open_listeners(const struct relay_config *config)
{
    bool open = is_open_to_all(&config->ends[0]) || is_open_to_all(&config->ends[1]);
    for (size_t i = 0; i < config->observer_count; i++)
        open |= is_open_to_all(&config->observers[i]);
    if (open && !run.report.quiet)
        cli_error("warning: other machines can reach this listener, there is no password, and a "
                  "KD connection is full control of the target; let a firewall decide who may");
}

static void start_handles(uv_loop_t *loop)
{
    end_signals_start(loop, &run.signals, on_signal, NULL);
    uv_timer_init(loop, &run.status);
    if (run.report.status)
        uv_timer_start(&run.status, on_status, STATUS_MS, STATUS_MS);
}

static int run_relay(const struct relay_config *config)
{
    char message[ENDPOINT_MESSAGE_MAX];
    uv_loop_t loop;
    int rc = uv_loop_init(&loop);
    if (rc < 0) {
        cli_error("cannot start: %s", uv_strerror(rc));
        return CLI_FAILED;
    }
    rc = relay_init(&loop, &run.relay, config);
    if (rc < 0) {
        cli_error("cannot start: %s", kd_error_text(rc));
        uv_loop_close(&loop);
        return CLI_FAILED;
    }
    start_handles(&loop);
    bool opened = relay_open(&run.relay, message) >= 0;
    if (opened) {
        warn_of_open_listeners(config);
    } else {
        cli_error("%s", message);
        relay_stop(&run.relay);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    if (opened)
        relay_report_summary(&run.report, &run.relay);
    uv_loop_close(&loop);
    return run.exit_code;
}

/* The keys of the ends, for the file of their datagrams. */
static const char *secret_of(const struct relay_config *config, char secret[CAPTURE_SECRET_MAX])
{
    size_t size = 0;
    secret[0] = '\0';
    for (int i = 0; i < 2; i++) {
        char text[KDNET_KEY_TEXT_MAX];
        if (config->ends[i].has_key)
            size += (size_t)snprintf(secret + size, CAPTURE_SECRET_MAX - size, "key=%s\n",
                                     kdnet_key_text(&config->ends[i].key, text));
    }
    return secret;
}

int cmd_relay(int argc, char **argv)
{
    static struct relay_options options; /* large: the observers' specifications */
    char names[2][ENDPOINT_TEXT_MAX + ENDPOINT_HOST_MAX];
    int rc = parse_options(&options, argc, argv);
    if (rc)
        return rc;
    if (options.help) {
        fputs(help_text, stdout);
        return CLI_DONE;
    }
    struct relay_config config = {
        .observers = options.observers,
        .observer_count = options.observer_count,
        .writer = options.writer,
        .record = options.record ? &options.file : NULL,
        .datagrams = options.datagrams ? &options.datagrams_file : NULL,
        .pace = options.pace,
        .once = options.once,
        .event = on_event,
        .stopped = on_stopped,
    };
    rc = parse_ends(&options, &config);
    if (!rc)
        rc = check_recording(&options, &config);
    if (rc)
        return rc;
    options.file.path = options.record;
    options.datagrams_file.path = options.datagrams;
    options.file.create = options.datagrams_file.create = output_create_private;
    char secret[CAPTURE_SECRET_MAX];
    if (options.record_key)
        config.writer.secret = secret_of(&config, secret);
    config.writer.program = "kdwire " KDWIRE_VERSION;
    config.writer.debugger_name = endpoint_spec_text(&config.ends[0], names[0], sizeof(names[0]));
    config.writer.target_name = endpoint_spec_text(&config.ends[1], names[1], sizeof(names[1]));
    run.report = options.report;
    run.report.status =
        !options.no_status && !options.report.quiet && uv_guess_handle(fileno(stderr)) == UV_TTY;
    return run_relay(&config);
}
