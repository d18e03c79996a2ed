/* SPDX-License-Identifier: BSD-2-Clause */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "platform.h"
#include "relay_report.h"
#include "relay_setup.h"
#include "viewer.h"

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
    "      --start-windbg[=PROGRAM]     and WinDbg, which comes to the debugger end (a "
    "pipe-listen:\n"
    "                         or tcp-listen: end); PROGRAM if it is not found by itself\n"
    "      --start-wireshark[=PROGRAM]  and Wireshark, which comes to --live or --observe\n"
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
    "  vmbus:vm=NAME          hvsock:vm=NAME   windbg.efi in a VM of this Hyper-V host (Windows)\n"
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

struct relay_arguments {
    struct relay_options options;
    struct relay_report report;
    struct viewer viewers[VIEWER_COUNT];
    bool start[VIEWER_COUNT]; /* which of them */
    bool once, no_status, help;
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
    OPTION_START_WINDBG,
    OPTION_START_WIRESHARK,
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
    {"start-windbg", optional_argument, NULL, OPTION_START_WINDBG},
    {"start-wireshark", optional_argument, NULL, OPTION_START_WIRESHARK},
    {"no-status", no_argument, NULL, OPTION_NO_STATUS},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

/* An option of the session itself, by its name. */
static int parse_session_option(struct relay_arguments *arguments, int option, const char *value)
{
    char message[RELAY_OPTION_MESSAGE_MAX];
    const struct option *named = long_options;
    while (named->val != option && named->name)
        named++;
    if (!named->name) { /* getopt has said what is wrong */
        fprintf(stderr, "Try 'kdwire relay --help'.\n");
        return CLI_USAGE;
    }
    if (relay_option_set(&arguments->options, named->name, value, message) < 0)
        return cli_usage_error("%s", message);
    return 0;
}

static int add_viewer(struct relay_arguments *arguments, enum viewer_kind kind, const char *program)
{
    struct viewer *viewer = &arguments->viewers[kind];
    arguments->start[kind] = true;
    viewer->kind = kind;
    snprintf(viewer->program, sizeof(viewer->program), "%s", program ? program : "");
    return 0;
}

static int parse_option(struct relay_arguments *arguments, int option, const char *value)
{
    switch (option) {
    case 'e':
        arguments->report.json = true;
        return strcmp(value, "json") != 0 ? cli_usage_error("--events '%s': there is json", value)
                                          : 0;
    case '1':
        arguments->once = true;
        return 0;
    case 'q':
        arguments->report.quiet = true;
        return 0;
    case 'v':
        arguments->report.verbose = true;
        return 0;
    case OPTION_START_WINDBG:
        return add_viewer(arguments, VIEWER_WINDBG, value);
    case OPTION_START_WIRESHARK:
        return add_viewer(arguments, VIEWER_WIRESHARK, value);
    case OPTION_NO_STATUS:
        arguments->no_status = true;
        return 0;
    case OPTION_HELP:
        arguments->help = true;
        return 0;
    default:
        return parse_session_option(arguments, option, value);
    }
}

static int parse_arguments(struct relay_arguments *arguments, int argc, char **argv)
{
    int option, rc = 0;
    static char name[] = "kdwire relay"; /* what getopt_long puts before its messages */
    argv[0] = name;
    while (!rc && (option = getopt_long(argc, argv, "d:t:r:l:o:p:e:1qv", long_options, NULL)) != -1)
        rc = parse_option(arguments, option, optarg);
    if (!rc && optind < argc)
        rc = cli_usage_error("'%s' is not expected here", argv[optind]);
    return rc;
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

static void start_handles(uv_loop_t *loop)
{
    end_signals_start(loop, &run.signals, on_signal, NULL);
    uv_timer_init(loop, &run.status);
    if (run.report.status)
        uv_timer_start(&run.status, on_status, STATUS_MS, STATUS_MS);
}

static int start_viewers(const struct relay_arguments *arguments)
{
    int rc = CLI_DONE;
    for (int kind = 0; kind < VIEWER_COUNT && rc == CLI_DONE; kind++)
        if (arguments->start[kind])
            rc = viewer_start(&arguments->viewers[kind], &run.relay);
    return rc;
}

static int run_relay(const struct relay_arguments *arguments, const struct relay_config *config)
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
        if (!run.report.quiet)
            relay_warn_of_open_listeners(config);
        run.exit_code = start_viewers(arguments);
        if (run.exit_code != CLI_DONE)
            relay_stop(&run.relay);
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

int cmd_relay(int argc, char **argv)
{
    /* large: the observers' specifications */
    static struct relay_arguments arguments = {.options.dash = "--"};
    struct relay_config config;
    int rc = parse_arguments(&arguments, argc, argv);
    if (rc)
        return rc;
    if (arguments.help) {
        fputs(help_text, stdout);
        return CLI_DONE;
    }
    rc = relay_setup(&arguments.options, &config);
    if (rc)
        return rc;
    if (relay_config_stdio(&config) && arguments.report.json)
        return cli_usage_error("--events json writes on standard output, which stdio uses too");
    for (int kind = 0; kind < VIEWER_COUNT && !rc; kind++)
        if (arguments.start[kind])
            rc = viewer_prepare(&arguments.viewers[kind], &config);
    if (rc)
        return rc;
    config.once = arguments.once;
    config.event = on_event;
    config.stopped = on_stopped;
    run.report = arguments.report;
    run.report.status =
        !arguments.no_status && !run.report.quiet && uv_guess_handle(fileno(stderr)) == UV_TTY;
    return run_relay(&arguments, &config);
}
