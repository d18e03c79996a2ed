/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Wireshark's external capture interface: what it asks a program in its extcap folder (installed as
 * kdwire-extcap), and the capture itself. The options are Wireshark's, see its extcap(4).
 *
 *   asked                        answer
 *   ---------------------------  ------------------------------------------------------------
 *   --extcap-interfaces          two interfaces; the toolbar of the first
 *   --extcap-dlts                link type 252
 *   --extcap-config              the options of an interface, for its dialog
 *   --extcap-capture-filter F    nothing: any filter is taken (KD has none)
 *   --capture --fifo PATH        the recording goes to PATH until nobody reads it any more
 *
 * While capturing, bytes go from one endpoint to another: from a relay that is started for this
 * (interface kdwire) or runs already (kdwire-observe), to the FIFO. The stream is followed block by
 * block, so that a note from the toolbar can be put between two blocks.
 *
 *   state    event                      next     what happens
 *   waiting  Wireshark opens the FIFO   running  the relay is started, or its observer port opened
 *   running  bytes                      running  to the FIFO; notes behind the block they end
 *   running  silence after a packet     running  blocks that make Wireshark look, see WAKES
 *   running  Wireshark closes it        ending   all is closed; exit 0
 *   running  the relay ends             ending   the same, exit 1 if it says why
 *   any      SIGTERM, SIGINT            ending   the same, exit 0
 */
#include "extcap.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "capture/capture.h"
#include "cli.h"
#include "io/clock.h"
#include "io/endpoint.h"
#include "platform.h"

enum {
    COMMAND_MAX = 4 * ENDPOINT_TEXT_MAX, /* a relay's command line: two endpoints and two paths */
    BLOCK_HEADER = 8,                    /* type and length of a pcapng block */
    /* A message of Wireshark's toolbar: 'T', 3 bytes of length, control, command, text. */
    CONTROL_HEADER = 6,
    CONTROL_MAX = CONTROL_HEADER + 4096, /* longer texts than a remark in a capture can be */
    NOTES_MAX = 16,                      /* notes that wait for a block to end */
    BLOCK_PACKET = 6,                    /* the type of a pcapng block with a packet */
    /* Before 4.4 Wireshark's capture program tells of new packets twice a second, and looks at the
     * clock only when bytes come or a quarter of a second passed without any: mostly it is a
     * quarter or a half of a second late. Blocks that say nothing make it look, until it must have
     * told. */
    WAKE_MS = 20,
    WAKES = 540 / WAKE_MS,
};

/* The toolbar's controls, and what Wireshark sends of them. */
enum { CONTROL_TEXT, CONTROL_ADD, CONTROL_BREAK_IN };
enum { COMMAND_SET = 1 };

static const char relay_interface[] = "kdwire", observe_interface[] = "kdwire-observe";

struct arguments {
    const char *interface, *fifo, *control_in;
    const char *debugger, *target, *record, *key_file, *observe;
    bool interfaces, dlts, config, filter, capture;
};

struct capture {
    const struct arguments *arguments;
    uv_loop_t *loop;
    struct endpoint source, sink;
    bool has_source, ending;
    int status;
    uv_signal_t signals[2];
    /* the block that is going by */
    uint8_t header[BLOCK_HEADER];
    size_t header_size, rest;
    bool packet_came; /* since `wake` was started */
    uv_timer_t wake;
    unsigned wakes; /* to come */
    struct capture_writer writer;
    char *notes[NOTES_MAX];
    unsigned note_count;
    /* the toolbar */
    uv_pipe_t control;
    bool has_control;
    uint8_t message[CONTROL_MAX];
    size_t message_size;
    char text[CAPTURE_TEXT_MAX];
    char read_buffer[4096];
};

/* ---- questions ---- */

static int say_interfaces(void)
{
    printf("extcap {version=%s}{display=kdwire}{help=https://www.wireshark.org/docs/}\n",
           KDWIRE_VERSION);
    printf("interface {value=%s}{display=KD session (relay)}\n", relay_interface);
    printf("interface {value=%s}{display=KD session (observe a running relay)}\n",
           observe_interface);
    printf("control {number=%d}{type=string}{display=Note}{tooltip=A remark for the capture}\n",
           CONTROL_TEXT);
    printf("control {number=%d}{type=button}{display=Add note}"
           "{tooltip=Put the remark into the capture}\n",
           CONTROL_ADD);
    printf("control {number=%d}{type=button}{display=Mark break-in}"
           "{tooltip=Say in the capture: here I pressed Ctrl-Break}\n",
           CONTROL_BREAK_IN);
    return CLI_DONE;
}

static int say_dlts(void)
{
    printf("dlt {number=%d}{name=WIRESHARK_UPPER_PDU}{display=KD packets}\n",
           CAPTURE_LINK_UPPER_PDU);
    return CLI_DONE;
}

static void say_argument(unsigned number, const char *call, const char *display,
                         const char *type_and_more, const char *tooltip)
{
    printf("arg {number=%u}{call=%s}{display=%s}%s{tooltip=%s}\n", number, call, display,
           type_and_more, tooltip);
}

static int say_config(const char *interface)
{
    if (!strcmp(interface, observe_interface)) {
        say_argument(0, "--observe", "Relay's observer port",
                     "{type=string}{default=tcp:127.0.0.1:19000}{required=true}",
                     "The other side of kdwire relay --observe: tcp:HOST:PORT or unix:PATH");
        return CLI_DONE;
    }
    say_argument(0, "--debugger", "Debugger",
                 "{type=string}{default=tcp-listen:127.0.0.1:7101}{required=true}",
                 "Where the debugger comes from: tcp-listen:PORT, unix-listen:PATH, "
                 "kdnet-target:host=HOST,port=PORT ...");
    say_argument(1, "--target", "Target",
                 "{type=string}{default=tcp:127.0.0.1:7001}{required=true}",
                 "Where the target is: tcp:HOST:PORT, unix:PATH, serial:/dev/ttyS0,baud=115200, "
                 "kdnet-host:port=PORT ...");
    say_argument(2, "--key-file", "KDNET key file", "{type=fileselect}{mustexist=true}",
                 "The key of a KDNET end, alone in a file");
    say_argument(3, "--record", "Record to", "{type=fileselect}{mustexist=false}",
                 "A file that gets the same recording and stays when Wireshark ends");
    return CLI_DONE;
}

/* ---- the end ---- */

static void on_control_closed(uv_handle_t *handle)
{
    (void)handle;
}

static void end(struct capture *capture, int status)
{
    if (capture->ending)
        return;
    capture->ending = true;
    capture->status = status;
    if (capture->has_source)
        endpoint_close(&capture->source, NULL);
    endpoint_close(&capture->sink, NULL);
    if (capture->has_control)
        uv_close((uv_handle_t *)&capture->control, on_control_closed);
    uv_close((uv_handle_t *)&capture->wake, NULL);
    for (unsigned i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&capture->signals[i], NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    end(handle->data, CLI_DONE);
}

/* ---- making Wireshark look ---- */

static bool between_blocks(const struct capture *capture)
{
    return capture->header_size == 0 && capture->rest == 0;
}

static void on_wake(uv_timer_t *timer)
{
    struct capture *capture = timer->data;
    uint8_t block[CAPTURE_WAKE_SIZE];
    if (--capture->wakes == 0)
        uv_timer_stop(timer);
    if (!between_blocks(capture) || endpoint_queued(&capture->sink))
        return; /* there are bytes that wake it */
    capture_write_wake(clock_wall_ns(), block);
    (void)endpoint_write(&capture->sink, block, sizeof(block));
}

static void start_waking(struct capture *capture)
{
    capture->packet_came = false;
    capture->wakes = WAKES;
    (void)uv_timer_start(&capture->wake, on_wake, WAKE_MS, WAKE_MS);
}

/* ---- notes ---- */

/* Between two blocks. */
static void write_notes(struct capture *capture)
{
    uint8_t block[CAPTURE_TEXT_MAX + 512];
    if (capture->note_count)
        start_waking(capture);
    for (unsigned i = 0; i < capture->note_count; i++) {
        struct capture_packet packet = {.direction = CAPTURE_FROM_DEBUGGER,
                                        .time_ns = clock_wall_ns(),
                                        .comment = capture->notes[i]};
        int size = capture_write(&capture->writer, &packet, block, sizeof(block));
        if (size > 0)
            (void)endpoint_write(&capture->sink, block, (size_t)size);
        free(capture->notes[i]);
    }
    capture->note_count = 0;
}

static void add_note(struct capture *capture, const char *text)
{
    char *copy = capture->note_count < NOTES_MAX ? strdup(text) : NULL;
    if (!copy)
        return;
    capture->notes[capture->note_count++] = copy;
    if (between_blocks(capture) && endpoint_is_up(&capture->sink))
        write_notes(capture);
}

/* ---- the stream ---- */

/* How many of SIZE bytes belong to the block that is going by; the header says how long it is. */
static size_t follow_block(struct capture *capture, const uint8_t *bytes, size_t size)
{
    if (capture->rest == 0) {
        size_t missing = BLOCK_HEADER - capture->header_size;
        size_t take = missing < size ? missing : size;
        memcpy(capture->header + capture->header_size, bytes, take);
        capture->header_size += take;
        if (capture->header_size == BLOCK_HEADER) {
            uint32_t whole = kd_get_u32(capture->header + 4);
            capture->packet_came |= kd_get_u32(capture->header) == BLOCK_PACKET;
            capture->rest = whole > BLOCK_HEADER ? whole - BLOCK_HEADER : 0;
            capture->header_size = 0;
        }
        return take;
    }
    size_t take = capture->rest < size ? capture->rest : size;
    capture->rest -= take;
    return take;
}

static void on_data(struct endpoint *endpoint, const uint8_t *bytes, size_t size)
{
    struct capture *capture = endpoint->context;
    while (size && !capture->ending) {
        size_t piece = 0;
        do
            piece += follow_block(capture, bytes + piece, size - piece);
        while (piece < size && !(capture->note_count && between_blocks(capture)));
        int waiting = endpoint_write(&capture->sink, bytes, piece);
        if (waiting < 0) {
            cli_error("Wireshark does not take the capture any more: %s", kd_error_text(waiting));
            end(capture, CLI_FAILED);
            return;
        }
        if (waiting > ENDPOINT_QUEUE_HIGH)
            endpoint_pause(&capture->source);
        bytes += piece;
        size -= piece;
        if (between_blocks(capture))
            write_notes(capture);
    }
    if (capture->packet_came && !capture->ending)
        start_waking(capture);
}

static void on_drained(struct endpoint *endpoint)
{
    struct capture *capture = endpoint->context;
    if (capture->has_source)
        endpoint_resume(&capture->source);
}

static void on_source_gone(struct endpoint *endpoint, const char *reason, size_t unsent)
{
    struct capture *capture = endpoint->context;
    (void)unsent;
    if (!capture->ending)
        cli_error("the recording ended: %s", reason);
    end(capture, CLI_FAILED);
}

static void on_source_notice(struct endpoint *endpoint, enum endpoint_notice what, const char *text)
{
    (void)endpoint;
    if (what == ENDPOINT_RETRYING || what == ENDPOINT_WARNING)
        cli_error("%s", text);
}

static void add_option(char *out, size_t room, const char *option, const char *value)
{
    size_t size = strlen(out);
    if (!value || !*value)
        return;
    (void)snprintf(out + size, room - size, " %s ", option);
    platform_quote(out, room, value);
}

/* What starts the relay: ourselves. False: too long. */
static bool relay_command(const struct arguments *arguments, char *out, size_t room)
{
    char self[ENDPOINT_TEXT_MAX];
    size_t size = sizeof(self);
    if (uv_exepath(self, &size) < 0)
        return false;
    (void)snprintf(out, room, "exec:%s", platform_shell_start());
    platform_quote(out, room, self);
    add_option(out, room, "relay --quiet --observe stdio --debugger", arguments->debugger);
    add_option(out, room, "--target", arguments->target);
    add_option(out, room, "--key-file", arguments->key_file);
    add_option(out, room, "--record", arguments->record);
    return strlen(out) < ENDPOINT_TEXT_MAX - 1;
}

static void open_source(struct capture *capture)
{
    const struct arguments *arguments = capture->arguments;
    static const struct endpoint_callbacks callbacks = {
        .data = on_data, .down = on_source_gone, .notice = on_source_notice};
    struct endpoint_spec spec;
    char command[COMMAND_MAX] = "", message[ENDPOINT_MESSAGE_MAX];
    const char *text = arguments->observe;
    if (!strcmp(arguments->interface, relay_interface)) {
        text = command;
        if (!relay_command(arguments, command, sizeof(command))) {
            cli_error("the endpoints and paths are too long together; choose shorter paths");
            end(capture, CLI_FAILED);
            return;
        }
    }
    int code = endpoint_parse(&spec, text, message);
    if (code == KD_OK) {
        endpoint_init(capture->loop, &capture->source, &spec, &callbacks, capture);
        capture->has_source = true;
        code = endpoint_open(&capture->source, message);
    }
    if (code < 0) {
        cli_error("%s", message);
        end(capture, CLI_FAILED);
    }
}

static void on_sink_up(struct endpoint *endpoint, const char *peer)
{
    struct capture *capture = endpoint->context;
    (void)peer;
    if (!capture->has_source)
        open_source(capture);
}

static void on_sink_down(struct endpoint *endpoint, const char *reason, size_t unsent)
{
    (void)reason;
    (void)unsent;
    end(endpoint->context, CLI_DONE); /* the capture was stopped */
}

/* ---- the toolbar ---- */

static void on_control(struct capture *capture, uint8_t control, uint8_t command,
                       const uint8_t *text, size_t size)
{
    if (command != COMMAND_SET)
        return;
    switch (control) {
    case CONTROL_TEXT:
        size = size < sizeof(capture->text) - 1 ? size : sizeof(capture->text) - 1;
        memcpy(capture->text, text, size);
        capture->text[size] = 0;
        break;
    case CONTROL_ADD:
        if (capture->text[0])
            add_note(capture, capture->text);
        break;
    case CONTROL_BREAK_IN:
        add_note(capture, "break-in: marked by the user");
        break;
    default:
        break;
    }
}

/* Whole messages from the front of what came. */
static void take_messages(struct capture *capture)
{
    const uint8_t *bytes = capture->message;
    size_t size = capture->message_size, at = 0;
    while (size - at >= CONTROL_HEADER) {
        size_t length = (size_t)bytes[at + 1] << 16 | (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        if (bytes[at] != 'T' || length < 2 || length > CONTROL_MAX - 4) {
            at = size; /* not what Wireshark sends: begin anew */
            break;
        }
        if (size - at < 4 + length)
            break;
        on_control(capture, bytes[at + 4], bytes[at + 5], bytes + at + CONTROL_HEADER, length - 2);
        at += 4 + length;
    }
    capture->message_size = size - at;
    memmove(capture->message, bytes + at, capture->message_size);
}

static void control_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct capture *capture = handle->data;
    (void)suggested;
    *buffer = uv_buf_init(capture->read_buffer, sizeof(capture->read_buffer));
}

static void control_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct capture *capture = stream->data;
    if (size < 0) {
        uv_read_stop(stream);
        return;
    }
    for (size_t used = 0; used < (size_t)size;) {
        size_t room = sizeof(capture->message) - capture->message_size;
        size_t take = (size_t)size - used < room ? (size_t)size - used : room;
        memcpy(capture->message + capture->message_size, buffer->base + used, take);
        capture->message_size += take;
        used += take;
        take_messages(capture);
    }
}

static void open_control(struct capture *capture)
{
    uv_fs_t request;
    if (!capture->arguments->control_in)
        return;
    /* for both ways, so that it does not end when Wireshark opens it late */
    int fd = uv_fs_open(NULL, &request, capture->arguments->control_in,
                        UV_FS_O_RDWR | UV_FS_O_NONBLOCK, 0, NULL);
    uv_fs_req_cleanup(&request);
    if (fd < 0) {
        cli_error("%s: the toolbar's pipe cannot be opened: %s", capture->arguments->control_in,
                  uv_strerror(fd));
        return;
    }
    (void)uv_pipe_init(capture->loop, &capture->control, 0);
    capture->control.data = capture;
    capture->has_control = true;
    if (uv_pipe_open(&capture->control, fd) == 0)
        (void)uv_read_start((uv_stream_t *)&capture->control, control_buffer, control_read);
}

/* ---- the capture ---- */

static int run_capture(const struct arguments *arguments)
{
    static struct capture capture;
    static const struct endpoint_callbacks callbacks = {
        .up = on_sink_up, .down = on_sink_down, .drained = on_drained};
    static const struct capture_writer_config writer = {.format = CAPTURE_PCAPNG,
                                                        .framing = CAPTURE_UPPER_PDU};
    static const int numbers[] = {SIGINT, SIGTERM};
    struct endpoint_spec spec;
    char message[ENDPOINT_MESSAGE_MAX];
    memset(&spec, 0, sizeof(spec));
    capture.arguments = arguments;
    capture.loop = uv_default_loop();
    (void)capture_writer_init(&capture.writer, &writer);
    if (endpoint_parse_viewer(&spec, arguments->fifo, message) < 0)
        return cli_usage_error("--fifo: %s", message);
    endpoint_init(capture.loop, &capture.sink, &spec, &callbacks, &capture);
    for (unsigned i = 0; i < 2; i++) {
        (void)uv_signal_init(capture.loop, &capture.signals[i]);
        capture.signals[i].data = &capture;
        (void)uv_signal_start(&capture.signals[i], on_signal, numbers[i]);
    }
    (void)uv_timer_init(capture.loop, &capture.wake);
    capture.wake.data = &capture;
    open_control(&capture);
    if (endpoint_open(&capture.sink, message) < 0) {
        cli_error("%s", message);
        end(&capture, CLI_FAILED);
    }
    (void)uv_run(capture.loop, UV_RUN_DEFAULT);
    for (unsigned i = 0; i < capture.note_count; i++)
        free(capture.notes[i]);
    return capture.status;
}

/* ---- arguments ---- */

/* Wireshark passes options of its own as they come; those we do not know are left alone. */
static void take_argument(struct arguments *arguments, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **value;
    } texts[] = {
        {"--extcap-interface", &arguments->interface},
        {"--fifo", &arguments->fifo},
        {"--extcap-control-in", &arguments->control_in},
        {"--debugger", &arguments->debugger},
        {"--target", &arguments->target},
        {"--record", &arguments->record},
        {"--key-file", &arguments->key_file},
        {"--observe", &arguments->observe},
    };
    const struct {
        const char *name;
        bool *value;
    } flags[] = {
        {"--extcap-interfaces", &arguments->interfaces}, {"--extcap-dlts", &arguments->dlts},
        {"--extcap-config", &arguments->config},         {"--capture", &arguments->capture},
        {"--extcap-capture-filter", &arguments->filter},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!strcmp(name, texts[i].name) && value)
            *texts[i].value = value;
    }
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (!strcmp(name, flags[i].name))
            *flags[i].value = true;
    }
}

static void parse(struct arguments *arguments, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *name = argv[i], *value = strchr(name, '=');
        if (strncmp(name, "--", 2) != 0)
            continue; /* the value of the option before it */
        if (value)
            *value++ = 0;
        else if (i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0)
            value = argv[i + 1];
        take_argument(arguments, name, value);
    }
}

bool is_extcap(int argc, char **argv)
{
    static const char prefix[] = "--extcap-";
    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], prefix, sizeof(prefix) - 1))
            return true;
    }
    return false;
}

int run_extcap(int argc, char **argv)
{
    struct arguments arguments = {.debugger = "tcp-listen:127.0.0.1:7101",
                                  .target = "tcp:127.0.0.1:7001",
                                  .observe = "tcp:127.0.0.1:19000"};
    parse(&arguments, argc, argv);
    if (arguments.interfaces)
        return say_interfaces();
    bool known = arguments.interface && (!strcmp(arguments.interface, relay_interface) ||
                                         !strcmp(arguments.interface, observe_interface));
    if (!known)
        return cli_usage_error("this is what Wireshark calls: --extcap-interfaces lists the "
                               "interfaces, --extcap-interface NAME chooses one");
    if (arguments.dlts)
        return say_dlts();
    if (arguments.config)
        return say_config(arguments.interface);
    if (arguments.capture && arguments.fifo)
        return run_capture(&arguments);
    if (arguments.filter)
        return CLI_DONE;
    return cli_usage_error("--capture needs --fifo PATH");
}
