/* SPDX-License-Identifier: BSD-2-Clause */
/* kdwire sim: a simulated machine on any endpoint, with a bad wire if wanted. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "cli.h"
#include "fault.h"
#include "io/endpoint.h"
#include "key.h"
#include "platform.h"
#include "session.h"

enum {
    TICK_MS = 5, /* how often the machine gets its share: short against a human, and few wake-ups */
    /* Largest share saved up while stopped: a machine that was held for an hour does not race. */
    SAVED_US = 50000,
    /* A machine that cannot keep its speed is slower: the line must not wait for it. */
    SLICE_US = 10000,
    PIECE = 10000,         /* instructions between two looks at the clock */
    IMAGE_MAX = 256 << 20, /* a memory image above this was surely named by mistake */
    FAULT_READ_MAX = 4096,
    SPEED_DEFAULT = 1000000,
    PRINT_EVERY_DEFAULT = 50000,
    FAULT_TEXT_MAX = 1024,
};

#define IMAGE_BASE_DEFAULT 0x10000000u

static const char usage[] =
    "usage: kdwire sim [OPTION]... END\n"
    "Be a target: a simulated machine that a debugger can attach to. END is an endpoint, as in\n"
    "kdwire relay: tcp-listen:7001, tcp:HOST:PORT, unix-listen:PATH, pty:LINK, stdio,\n"
    "kdnet-target:host=HOST,port=N (where WinDbg waits) ...\n"
    "\n"
    "  --cpu N              processors (1)\n"
    "  --image FILE[@ADDR]  map FILE's bytes at ADDR (hexadecimal; 10000000)\n"
    "  --entry ADDR         let the first processor start at ADDR instead of the built-in program\n"
    "  --boot-stop          report the modules at start and break there, waiting for a debugger\n"
    "  --kernel             say to be a Windows kernel instead of a boot debugger\n"
    "  --no-context-ex      refuse GetContextEx, as real boot debuggers do\n"
    "  --speed N            instructions per second (1000000)\n"
    "  --print-every N      loops of the built-in program between two prints (50000; 0 = never)\n"
    "  --prompt-every N     the same, between two questions to the debugger's user (0)\n"
    "  --load-every N       the same, between loading and unloading a driver (0)\n"
    "  --ask-file PATH      ask the debugger for this file once it is attached (.kdfiles)\n"
    "  --fault KIND=PPM     spoil the wire, both directions: drop, lose, payload, trailer, "
    "header,\n"
    "                       duplicate, delay, split or all (without header); in parts per million\n"
    "                       per packet, or with %; may be repeated\n"
    "  --seed N             of the faults (1)\n"
    "  --key-file FILE      the key of a KDNET end (else KDWIRE_KDNET_KEY, or you are asked)\n"
    "  --json               events as JSON lines on standard output\n"
    "  --quiet              no text on standard error but errors\n"
    "\n"
    "A KD connection is full control of the (simulated) machine. Exit status: 0 done, 1 failed,\n"
    "2 wrong usage.\n";

struct simulator {
    struct sim_session session;
    struct sim_session_config config;
    struct sim_fault_config fault_config;
    bool faulty;
    struct sim_fault *to_target, *to_debugger;
    uint64_t speed;
    double share;        /* instructions the machine may still execute now */
    uint64_t last_share; /* µs */
    const char *key_file;
    bool json, quiet;
    uint8_t *image;
    struct endpoint endpoint;
    uv_timer_t timer;
    struct end_signals signals;
    uint64_t started;
    int result;
    bool closing;
};

/* ---- Options ---- */

static bool parse_number(const char *text, int base, uint64_t max, uint64_t *value)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, base);
    *value = number;
    return *text && *text != '-' && !*end && !errno && number <= max;
}

static bool take_u32(const char *option, const char *text, uint32_t *value)
{
    uint64_t number;
    if (!parse_number(text, 10, UINT32_MAX, &number)) {
        cli_usage_error("--%s needs a number from 0 to 4294967295, not '%s'", option, text);
        return false;
    }
    *value = (uint32_t)number;
    return true;
}

static bool read_file(FILE *file, const char *path, uint8_t **bytes, size_t *size)
{
    enum { STEP = 1 << 16 };
    size_t room = 0;
    for (;;) {
        if (*size == room) {
            if (room >= IMAGE_MAX) {
                cli_error("'%s' is larger than 256 MiB; that is no memory image", path);
                return false;
            }
            room = room ? room * 2 : STEP;
            uint8_t *larger = realloc(*bytes, room);
            if (!larger) {
                cli_error("no memory for '%s'", path);
                return false;
            }
            *bytes = larger;
        }
        size_t n = fread(*bytes + *size, 1, room - *size, file);
        *size += n;
        if (!n)
            break;
    }
    if (ferror(file) || !*size) {
        cli_error("cannot read '%s': %s", path, ferror(file) ? strerror(errno) : "it is empty");
        return false;
    }
    return true;
}

/* FILE or FILE@ADDRESS. */
static bool take_image(struct simulator *s, char *text)
{
    uint64_t base = IMAGE_BASE_DEFAULT;
    char *at = strrchr(text, '@');
    if (at && parse_number(at + 1, 16, UINT64_MAX, &base))
        *at = 0;
    else
        base = IMAGE_BASE_DEFAULT;
    FILE *file = fopen(text, "rb");
    if (!file) {
        cli_error("cannot open '%s': %s", text, strerror(errno));
        return false;
    }
    bool done = read_file(file, text, &s->image, &s->config.image_size);
    (void)fclose(file);
    s->config.image = s->image;
    s->config.image_base = base;
    return done;
}

/* Appends ",KIND=PPM" to what sim_fault_parse takes. */
static bool take_fault(char *faults, const char *text)
{
    struct sim_fault_config test;
    const char *where;
    size_t used = strlen(faults);
    if (sim_fault_parse(&test, text, &where) < 0) {
        cli_usage_error("--fault '%s' is not understood at '%s'; it looks like drop=1%% or "
                        "payload=500",
                        text, where);
        return false;
    }
    int n = snprintf(faults + used, FAULT_TEXT_MAX - used, "%s%s", used ? "," : "", text);
    if (n < 0 || (size_t)n >= FAULT_TEXT_MAX - used) {
        cli_usage_error("too many --fault options");
        return false;
    }
    return true;
}

enum option_number {
    OPTION_CPU = 256,
    OPTION_IMAGE,
    OPTION_ENTRY,
    OPTION_BOOT_STOP,
    OPTION_KERNEL,
    OPTION_NO_CONTEXT_EX,
    OPTION_SPEED,
    OPTION_PRINT,
    OPTION_PROMPT,
    OPTION_LOAD,
    OPTION_FILE,
    OPTION_FAULT,
    OPTION_SEED,
    OPTION_KEY_FILE,
    OPTION_JSON,
    OPTION_QUIET,
    OPTION_HELP,
};

static const struct option options[] = {
    {"cpu", required_argument, NULL, OPTION_CPU},
    {"image", required_argument, NULL, OPTION_IMAGE},
    {"entry", required_argument, NULL, OPTION_ENTRY},
    {"boot-stop", no_argument, NULL, OPTION_BOOT_STOP},
    {"kernel", no_argument, NULL, OPTION_KERNEL},
    {"no-context-ex", no_argument, NULL, OPTION_NO_CONTEXT_EX},
    {"speed", required_argument, NULL, OPTION_SPEED},
    {"print-every", required_argument, NULL, OPTION_PRINT},
    {"prompt-every", required_argument, NULL, OPTION_PROMPT},
    {"load-every", required_argument, NULL, OPTION_LOAD},
    {"ask-file", required_argument, NULL, OPTION_FILE},
    {"fault", required_argument, NULL, OPTION_FAULT},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"key-file", required_argument, NULL, OPTION_KEY_FILE},
    {"json", no_argument, NULL, OPTION_JSON},
    {"quiet", no_argument, NULL, OPTION_QUIET},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static bool take_cpus(struct simulator *s, const char *text)
{
    uint64_t number;
    if (!parse_number(text, 10, SIM_CPUS_MAX, &number) || !number) {
        cli_usage_error("--cpu needs a number from 1 to %d, not '%s'", SIM_CPUS_MAX, text);
        return false;
    }
    s->config.machine.cpus = (uint32_t)number;
    return true;
}

static bool take_entry(struct simulator *s, const char *text)
{
    s->config.has_entry = parse_number(text, 16, UINT64_MAX, &s->config.entry);
    if (!s->config.has_entry)
        cli_usage_error("--entry needs a hexadecimal address, not '%s'", text);
    return s->config.has_entry;
}

static bool take_speed(struct simulator *s, const char *text)
{
    bool done = parse_number(text, 10, UINT32_MAX, &s->speed) && s->speed;
    if (!done)
        cli_usage_error("--speed needs instructions per second, 1 to 4294967295, not '%s'", text);
    return done;
}

static bool take_option(struct simulator *s, int option, char *argument, char *faults,
                        uint64_t *seed)
{
    struct sim_config *machine = &s->config.machine;
    switch (option) {
    case OPTION_CPU:
        return take_cpus(s, argument);
    case OPTION_IMAGE:
        return take_image(s, argument);
    case OPTION_ENTRY:
        return take_entry(s, argument);
    case OPTION_SPEED:
        return take_speed(s, argument);
    case OPTION_PRINT:
        return take_u32("print-every", argument, &machine->print_every);
    case OPTION_PROMPT:
        return take_u32("prompt-every", argument, &machine->prompt_every);
    case OPTION_LOAD:
        return take_u32("load-every", argument, &machine->load_every);
    case OPTION_FAULT:
        s->faulty = true;
        return take_fault(faults, argument);
    case OPTION_SEED:
        if (parse_number(argument, 0, UINT64_MAX, seed))
            return true;
        cli_usage_error("--seed needs a number, not '%s'", argument);
        return false;
    case OPTION_BOOT_STOP:
        s->config.boot_stop = true;
        return true;
    case OPTION_KERNEL:
        machine->windows_kernel = true;
        s->config.target.processor_level = 6;
        return true;
    case OPTION_NO_CONTEXT_EX:
        s->config.target.refuse_context_ex = true;
        return true;
    case OPTION_FILE:
        s->config.file = argument;
        return true;
    case OPTION_KEY_FILE:
        s->key_file = argument;
        return true;
    case OPTION_JSON:
        s->json = true;
        return true;
    default:
        s->quiet = true;
        return true;
    }
}

/* CLI_DONE with *END set, or what to return; *END stays NULL after --help. */
static int parse_arguments(struct simulator *s, int argc, char **argv, const char **end)
{
    char faults[FAULT_TEXT_MAX] = "";
    const char *where;
    uint64_t seed = 1;
    int option;
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (option == OPTION_HELP) {
            (void)fputs(usage, stdout);
            return CLI_DONE;
        }
        if (option == ':')
            return cli_usage_error("%s needs a value", argv[optind - 1]);
        if (option == '?')
            return cli_usage_error("there is no option %s", argv[optind - 1]);
        if (!take_option(s, option, optarg, faults, &seed))
            return option == OPTION_IMAGE ? CLI_FAILED : CLI_USAGE;
    }
    if (optind != argc - 1)
        return cli_usage_error(optind == argc
                                   ? "one endpoint is needed, for example tcp-listen:7001"
                                   : "one endpoint only, please");
    (void)sim_fault_parse(&s->fault_config, faults, &where);
    s->fault_config.seed = seed;
    *end = argv[optind];
    return CLI_DONE;
}

/* ---- Telling ---- */

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
}

static void put_json_text(const char *text, size_t size)
{
    (void)putchar('"');
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            (void)printf("\\%c", c);
        else if (c < 0x20 || c >= 0x7F) /* bytes of an unknown code page: as Latin-1 */
            (void)printf("\\u%04x", c);
        else
            (void)putchar(c);
    }
    (void)putchar('"');
}

static void tell_json(struct simulator *s, const char *event, const struct sim_story *story,
                      const char *text)
{
    if (!s->json)
        return;
    (void)printf("{\"time\":%.6f,\"event\":\"%s\"", (double)(now_us() - s->started) / 1e6, event);
    if (story)
        (void)printf(",\"cpu\":%" PRIu32 ",\"address\":\"0x%" PRIx64 "\"", story->cpu,
                     story->address);
    if (story && story->code)
        (void)printf(",\"code\":\"0x%08" PRIx32 "\"", story->code);
    (void)printf(",\"text\":");
    put_json_text(text ? text : story->text, text ? strlen(text) : story->text_size);
    (void)printf("}\n");
    (void)fflush(stdout);
}

/* One line of the machine's text: control characters do not reach the terminal. */
static void put_plain(const char *text, size_t size)
{
    while (size && (text[size - 1] == '\n' || text[size - 1] == '\r'))
        size--;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        (void)fputc(c >= 0x20 && c < 0x7F ? c : '.', stderr);
    }
}

static void tell_line(struct simulator *s, const char *event, const char *text)
{
    tell_json(s, event, NULL, text);
    if (!s->quiet)
        (void)fprintf(stderr, "kdwire sim: %s%s%s\n", event, *text ? ": " : "", text);
}

static void on_story(void *context, const struct sim_story *story)
{
    static const char *const events[] = {
        [SIM_TOLD_STOP] = "stop",          [SIM_TOLD_GO] = "go",
        [SIM_TOLD_LOAD] = "load",          [SIM_TOLD_UNLOAD] = "unload",
        [SIM_TOLD_PRINT] = "print",        [SIM_TOLD_PROMPT] = "prompt",
        [SIM_TOLD_ANSWER] = "answer",      [SIM_TOLD_REBOOT] = "reboot",
        [SIM_TOLD_BUG_CHECK] = "bugcheck", [SIM_TOLD_ATTACHED] = "attached",
        [SIM_TOLD_LOST] = "lost",
    };
    struct simulator *s = context;
    const char *event = events[story->what];
    tell_json(s, event, story, NULL);
    if (s->quiet)
        return;
    (void)fprintf(stderr, "kdwire sim: %s", event);
    if (story->what == SIM_TOLD_STOP || story->what == SIM_TOLD_LOAD ||
        story->what == SIM_TOLD_UNLOAD)
        (void)fprintf(stderr, " cpu %" PRIu32 " at %016" PRIx64, story->cpu, story->address);
    if (story->text_size)
        (void)fputs(": ", stderr);
    put_plain(story->text, story->text_size);
    (void)fputc('\n', stderr);
}

static void tell_faults(struct simulator *s)
{
#define FAULT_WORD(name, word, text) word,
    static const char *const words[] = {SIM_FAULT_MAP(FAULT_WORD)};
    char text[FAULT_TEXT_MAX] = "";
    size_t used = 0;
    for (size_t i = 0; s->faulty && i < SIM_FAULT_KINDS && used < sizeof text; i++) {
        uint64_t in = sim_fault_count(s->to_target, (enum sim_fault_kind)i);
        uint64_t out = sim_fault_count(s->to_debugger, (enum sim_fault_kind)i);
        if (in + out)
            used += (size_t)snprintf(text + used, sizeof text - used,
                                     "%s%s %" PRIu64 " in %" PRIu64 " out", used ? ", " : "",
                                     words[i], in, out);
    }
    if (s->faulty)
        tell_line(s, "faults", used ? text : "none");
}

/* ---- The wire ---- */

/* False when the endpoint takes no more for now. */
static bool write_out(struct simulator *s, const uint8_t *bytes, size_t size)
{
    if (!endpoint_is_up(&s->endpoint))
        return true; /* a line with nobody at its end: the bytes are gone */
    return endpoint_write(&s->endpoint, bytes, size) != KD_E_NO_SPACE;
}

static void flush_faulty(struct simulator *s, uint64_t now)
{
    uint8_t piece[FAULT_READ_MAX];
    size_t size;
    while ((size = sim_fault_read(s->to_debugger, now, piece, sizeof piece)) != 0)
        if (!write_out(s, piece, size))
            tell_line(s, "warning", "the debugger reads too slowly; bytes to it are lost");
}

static void flush_output(struct simulator *s, uint64_t now)
{
    const uint8_t *bytes;
    size_t size;
    while ((size = sim_session_output(&s->session, &bytes)) != 0) {
        if (s->faulty) {
            if (sim_fault_write(s->to_debugger, now, bytes, size) < 0)
                break;
        } else if (!write_out(s, bytes, size)) {
            break;
        }
        sim_session_written(&s->session, now, size);
    }
    if (s->faulty)
        flush_faulty(s, now);
}

static void feed_faulty(struct simulator *s, uint64_t now)
{
    uint8_t piece[FAULT_READ_MAX];
    size_t size;
    while ((size = sim_fault_read(s->to_target, now, piece, sizeof piece)) != 0)
        sim_session_feed(&s->session, now, piece, size);
}

/* Whether the machine has run. */
static bool run_piece(struct simulator *s, uint64_t now, uint64_t instructions)
{
    uint64_t retired = s->session.machine.cpus[0].retired;
    sim_session_run(&s->session, now, instructions);
    return s->session.machine.cpus[0].retired != retired;
}

static void run_machine(struct simulator *s, uint64_t now)
{
    uint64_t end = now + SLICE_US;
    do {
        /* A single step need not wait. */
        uint64_t piece = s->share < 1 ? 1 : s->share < PIECE ? (uint64_t)s->share : PIECE;
        if (!run_piece(s, now, piece))
            return;
        s->share = s->share > (double)piece ? s->share - (double)piece : 0;
        now = now_us();
    } while (s->share >= 1 && now < end);
    s->share = s->share < PIECE ? s->share : 0; /* what it did not reach is forgotten */
}

/* Lets time work: late bytes, time-outs, the machine's share of instructions. */
static void advance(struct simulator *s)
{
    uint64_t now = now_us();
    uint64_t passed = now - s->last_share;
    s->last_share = now;
    if (passed > SAVED_US)
        passed = SAVED_US;
    s->share += (double)passed * (double)s->speed / 1e6;
    double most = (double)s->speed * SAVED_US / 1e6;
    if (s->share > most)
        s->share = most;
    if (s->faulty)
        feed_faulty(s, now);
    flush_output(s, now); /* the acknowledgement leaves before the machine goes on */
    run_machine(s, now);
    flush_output(s, now);
}

static void on_up(struct endpoint *endpoint, const char *peer)
{
    struct simulator *s = endpoint->context;
    tell_line(s, "up", peer);
    sim_session_line(&s->session, now_us(), true);
    advance(s);
}

static void on_down(struct endpoint *endpoint, const char *reason, size_t unsent)
{
    struct simulator *s = endpoint->context;
    (void)unsent;
    tell_line(s, "down", reason);
    sim_session_line(&s->session, now_us(), false);
}

static void on_data(struct endpoint *endpoint, const uint8_t *bytes, size_t size)
{
    struct simulator *s = endpoint->context;
    uint64_t now = now_us();
    if (!s->faulty)
        sim_session_feed(&s->session, now, bytes, size);
    else if (sim_fault_write(s->to_target, now, bytes, size) < 0)
        tell_line(s, "warning", "the faulty wire is full; bytes from the debugger are lost");
    advance(s);
}

static void on_drained(struct endpoint *endpoint)
{
    advance(endpoint->context);
}

static void on_notice(struct endpoint *endpoint, enum endpoint_notice what, const char *text)
{
    tell_line(endpoint->context, what == ENDPOINT_LISTENING ? "listening" : "notice", text);
}

/* ---- Life ---- */

static void close_all(struct simulator *s)
{
    if (s->closing)
        return;
    s->closing = true;
    endpoint_close(&s->endpoint, NULL);
    uv_close((uv_handle_t *)&s->timer, NULL);
    end_signals_close(&s->signals);
}

static void on_ended(struct endpoint *endpoint, const char *reason)
{
    struct simulator *s = endpoint->context;
    tell_line(s, "ended", reason);
    close_all(s);
}

static void on_timer(uv_timer_t *timer)
{
    advance(timer->data);
}

static void on_signal(uv_signal_t *signal, int number)
{
    (void)number;
    close_all(signal->data);
}

static void start_handles(struct simulator *s, uv_loop_t *loop)
{
    (void)uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    (void)uv_timer_start(&s->timer, on_timer, TICK_MS, TICK_MS);
    end_signals_start(loop, &s->signals, on_signal, s);
}

static int serve(struct simulator *s, const struct endpoint_spec *spec)
{
    static const struct endpoint_callbacks callbacks = {
        .up = on_up,
        .down = on_down,
        .data = on_data,
        .drained = on_drained,
        .notice = on_notice,
        .ended = on_ended,
    };
    char message[ENDPOINT_MESSAGE_MAX];
    uv_loop_t loop;
    if (uv_loop_init(&loop) < 0) {
        cli_error("cannot start an event loop");
        return CLI_FAILED;
    }
    endpoint_init(&loop, &s->endpoint, spec, &callbacks, s);
    start_handles(s, &loop);
    if (endpoint_open(&s->endpoint, message) < 0) {
        cli_error("%s", message);
        s->result = CLI_FAILED;
        close_all(s);
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    if (s->result == CLI_DONE)
        tell_faults(s);
    return s->result;
}

static int start_session(struct simulator *s)
{
    int error;
    s->config.tell = on_story;
    s->config.context = s;
    s->started = s->last_share = now_us();
    if (s->faulty) {
        s->to_target = sim_fault_new(&s->fault_config);
        s->fault_config.seed++; /* the two directions are independent */
        s->to_debugger = sim_fault_new(&s->fault_config);
        if (!s->to_target || !s->to_debugger) {
            cli_error("no memory for the faulty wire");
            return CLI_FAILED;
        }
    }
    error = sim_session_init(&s->session, &s->config);
    if (error < 0) {
        cli_error("cannot set up the machine: %s%s", kd_error_text(error),
                  error == KD_E_EXISTS ? " at the image's address; give another with FILE@ADDRESS"
                                       : "");
        return CLI_FAILED;
    }
    return CLI_DONE;
}

int cmd_sim(int argc, char **argv)
{
    const char *end = NULL;
    char message[ENDPOINT_MESSAGE_MAX];
    struct endpoint_spec spec;
    struct simulator *s = calloc(1, sizeof *s);
    if (!s) {
        cli_error("no memory");
        return CLI_FAILED;
    }
    s->speed = SPEED_DEFAULT;
    s->config.machine.print_every = PRINT_EVERY_DEFAULT;
    int result = parse_arguments(s, argc, argv, &end);
    if (result == CLI_DONE && end) {
        if (endpoint_parse(&spec, end, message) < 0)
            result = cli_usage_error("%s", message);
        else if (spec.kind == ENDPOINT_STDIO && s->json)
            result = cli_usage_error("--json and the endpoint stdio both want standard output; "
                                     "use another endpoint, for example unix-listen:PATH");
        else if ((result = cli_find_key(&spec, CLI_END_DEBUGGER, s->key_file)) == CLI_DONE &&
                 (result = start_session(s)) == CLI_DONE)
            result = serve(s, &spec);
    }
    sim_session_close(&s->session);
    sim_fault_free(s->to_target);
    sim_fault_free(s->to_debugger);
    free(s->image);
    free(s);
    return result;
}
