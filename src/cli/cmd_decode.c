/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "capture/capture.h"
#include "cli.h"
#include "decode_stats.h"
#include "kdnet/overhear.h"
#include "kdwire/decode.h"
#include "kdwire/error.h"
#include "key.h"
#include "platform.h"

enum {
    /* One read of the input; also how far into a raw stream a packet must be found, so that a file
     * of another kind is refused instead of shown as junk. */
    READ_SIZE = 1 << 20,
    /* Names in --api: more than there are messages. */
    FILTERS_MAX = 128,
    /* What a live stream may begin with before its first packet; a file must show one at once. */
    LIVE_PATIENCE = 4096,
    OUTPUT_BUFFER = 1 << 18,
};

#define NO_TIME UINT64_MAX

static const char help_text[] =
    "usage: kdwire decode [OPTION]... FILE|-\n"
    "Shows a recording (pcapng, pcap) or a raw KD byte stream, packet by packet.\n"
    "\n"
    "  -v, --verbose            all fields of each packet, and its data\n"
    "  -j, --json               one JSON object per line\n"
    "  -s, --stats              counts and times of the whole session instead of packets\n"
    "  -a, --api NAME[,NAME]    only these messages, e.g. ReadVirtualMemory, Exception,\n"
    "                           RESET, break-in, junk, or numbers such as 0x3130\n"
    "  -d, --direction WHERE    only what goes to-target or to-debugger\n"
    "  -r, --relative           times in seconds since the first packet\n"
    "      --framing FORM       serial (a trailer byte ends data packets) or kdnet (none);\n"
    "                           without this option the first data packet decides\n"
    "      --key-file FILE      decrypt KDNET with the key in FILE; without this option, with the\n"
    "                           one in KDWIRE_KDNET_KEY, or that the recording brings along\n"
    "      --key KEY            the same with this key (others see it in the list of processes)\n"
    "      --raw                FILE is a raw byte stream, whatever it begins with\n"
    "      --sender WHO         who sent a raw stream: debugger or target; without this\n"
    "                           option requests and replies are told apart by contents\n"
    "  -h, --help               this text\n"
    "\n"
    "Reads standard input for '-'. A cut file is shown as far as it goes.\n"
    "Exit status: 0 done, 1 the input could not be read to its end, 2 wrong usage.\n";

struct options {
    const char *input; /* the argument */
    const char *path;  /* for messages */
    bool verbose, json, stats, relative, raw, has_framing;
    const char *key, *key_file;
    enum kd_framing framing;
    enum kd_direction direction; /* UNKNOWN = both */
    enum capture_direction sender;
    const char *filters[FILTERS_MAX]; /* into argv */
    size_t filter_count;
};

/* The bytes of one direction. */
struct lane {
    struct kd_stream stream;
    uint64_t time_ns; /* of the first byte that is held */
    /* What may be the first data packet, while the framing is not known. */
    uint8_t start[KD_PACKET_MAX + KD_HEADER_SIZE];
    size_t start_size;
};

struct decoder {
    const struct options *options;
    const struct capture_reader *reader;
    struct lane lanes[3]; /* by enum kd_direction */
    bool framing_known;
    struct kd_decode_session session;
    struct decode_stats *stats; /* with --stats */
    uint64_t first_ns, record;
    uint64_t found;              /* packets and break-ins */
    uint64_t encrypted, foreign; /* records that hold no KD bytes */
    struct kdnet_overhear overhear;
    bool has_key;
    uint64_t decrypted;
    uint64_t missing; /* bytes the capturing program cut off */
};

/* ---- what to show ---- */

static bool is_filter(const struct options *options, const char *name)
{
    for (size_t i = 0; name && i < options->filter_count; i++) {
        if (!strcasecmp(options->filters[i], name))
            return true;
    }
    return false;
}

static bool is_filter_number(const struct options *options, uint32_t number)
{
    for (size_t i = 0; i < options->filter_count; i++) {
        char *end;
        unsigned long value = strtoul(options->filters[i], &end, 0);
        if (end != options->filters[i] && !*end && value == number)
            return true;
    }
    return false;
}

static bool is_wanted(const struct options *options, enum kd_direction direction,
                      const struct kd_item *item, const struct kd_message *message)
{
    if (options->direction != KD_DIRECTION_UNKNOWN && direction != options->direction)
        return false;
    if (!options->filter_count)
        return true;
    if (item->kind == KD_ITEM_BREAK_IN)
        return is_filter(options, "break-in");
    if (item->kind == KD_ITEM_JUNK)
        return is_filter(options, "junk");
    if (is_filter(options, message->name) ||
        is_filter(options, kd_packet_type_name(item->header.type)))
        return true;
    return message->api && is_filter_number(options, message->api);
}

static void print_piece(void *context, const char *text, size_t size)
{
    (void)context;
    fwrite(text, 1, size, stdout);
}

static const struct kd_sink print_sink = {print_piece, NULL};

static void print_time(const struct decoder *decoder, uint64_t ns)
{
    if (ns == NO_TIME)
        return;
    if (decoder->options->relative) {
        double seconds = ns >= decoder->first_ns ? (double)(ns - decoder->first_ns) / 1e9
                                                 : -(double)(decoder->first_ns - ns) / 1e9;
        printf("%12.6f ", seconds);
        return;
    }
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm local;
    char text[32];
    if (!localtime_r(&seconds, &local) || !strftime(text, sizeof(text), "%H:%M:%S", &local))
        snprintf(text, sizeof(text), "??:??:??");
    printf("%s.%06u ", text, (unsigned)(ns % 1000000000 / 1000));
}

static const char *sender_text(enum kd_direction direction)
{
    switch (direction) {
    case KD_TO_TARGET:
        return "debugger > target: ";
    case KD_TO_DEBUGGER:
        return "target > debugger: ";
    default:
        return "";
    }
}

/* The decoder's object comes with its '{'; time and record number are put in front of it. */
struct json_sink {
    bool begun;
};

static void print_json_piece(void *context, const char *text, size_t size)
{
    struct json_sink *json = context;
    if (!json->begun && size) {
        json->begun = true;
        text++;
        size--;
    }
    fwrite(text, 1, size, stdout);
}

static void print_json_start(const struct decoder *decoder, uint64_t ns)
{
    putchar('{');
    if (ns != NO_TIME)
        printf("\"time\":\"%llu.%09u\",", (unsigned long long)(ns / 1000000000),
               (unsigned)(ns % 1000000000));
    printf("\"record\":%llu,", (unsigned long long)decoder->record);
}

static void print_item(struct decoder *decoder, enum kd_direction direction, uint64_t ns,
                       const struct kd_item *item)
{
    if (decoder->options->json) {
        struct json_sink state = {false};
        struct kd_sink sink = {print_json_piece, &state};
        print_json_start(decoder, ns);
        kd_decode_json(&decoder->session, direction, item, &sink);
        putchar('\n');
        return;
    }
    print_time(decoder, ns);
    fputs(sender_text(direction), stdout);
    kd_decode_summary(&decoder->session, direction, item, &print_sink);
    putchar('\n');
    if (decoder->options->verbose)
        kd_decode_text(&decoder->session, direction, item, 4, &print_sink);
}

static void take_item(struct decoder *decoder, enum kd_direction direction, uint64_t ns,
                      const struct kd_item *item)
{
    struct kd_message message;
    if (decoder->first_ns == NO_TIME)
        decoder->first_ns = ns;
    decoder->found += item->kind != KD_ITEM_JUNK;
    kd_decode_message(direction, item, &message);
    bool wanted = is_wanted(decoder->options, direction, item, &message);
    if (decoder->stats) {
        if (wanted)
            decode_stats_item(decoder->stats, direction, ns, item, &message);
    } else if (wanted) {
        print_item(decoder, direction, ns, item);
    } else {
        kd_decode_learn(&decoder->session, direction, item);
    }
}

/* ---- from records to items ---- */

static bool has_data_header(const uint8_t *bytes, size_t size)
{
    if (size < KD_HEADER_SIZE || kd_get_u32(bytes) != KD_LEADER_DATA)
        return false;
    uint16_t count = kd_get_u16(bytes + 6);
    return kd_get_u16(bytes + 4) < KD_PACKET_TYPE_MAX && count > 0 && count <= KD_BODY_MAX;
}

static bool has_header(const uint8_t *bytes, size_t size)
{
    if (has_data_header(bytes, size))
        return true;
    return size >= KD_HEADER_SIZE && kd_get_u32(bytes) == KD_LEADER_CONTROL &&
           kd_get_u16(bytes + 4) < KD_PACKET_TYPE_MAX && kd_get_u16(bytes + 6) == 0;
}

/*
 * Looks at the first whole data packet of a lane, which may come in pieces: the byte behind it
 * tells the framing. ENDS: a packet ends where BYTES end. Returns whether FRAMING was found.
 */
static bool find_framing(struct lane *lane, const uint8_t *bytes, size_t size, bool ends,
                         enum kd_framing *framing)
{
    do {
        size_t room = sizeof(lane->start) - lane->start_size, at = 0;
        size_t count = size < room ? size : room;
        if (count) /* a cut packet may bring no bytes at all */
            memcpy(lane->start + lane->start_size, bytes, count);
        lane->start_size += count;
        bytes += count;
        size -= count;
        while (lane->start_size - at >= KD_HEADER_SIZE &&
               !has_data_header(lane->start + at, lane->start_size - at))
            at++;
        lane->start_size -= at;
        memmove(lane->start, lane->start + at, lane->start_size);
        if (lane->start_size < KD_HEADER_SIZE)
            continue;
        size_t end = KD_HEADER_SIZE + (size_t)kd_get_u16(lane->start + 6);
        if (lane->start_size > end || (lane->start_size == end && ends && !size)) {
            bool trailer = lane->start_size > end && lane->start[end] == KD_TRAILER;
            *framing = trailer ? KD_FRAMING_SERIAL : KD_FRAMING_KDNET;
            return true;
        }
    } while (size);
    return false;
}

static void flush_lane(struct decoder *decoder, enum kd_direction direction)
{
    struct lane *lane = &decoder->lanes[direction];
    struct kd_item item;
    while (kd_stream_flush(&lane->stream, &item)) {
        if (item.kind != KD_ITEM_NONE)
            take_item(decoder, direction, lane->time_ns, &item);
    }
}

static void feed_lane(struct decoder *decoder, enum kd_direction direction, uint64_t ns,
                      const uint8_t *bytes, size_t size)
{
    struct lane *lane = &decoder->lanes[direction];
    struct kd_item item;
    do {
        size_t used = kd_stream_feed(&lane->stream, bytes, size, &item);
        bytes += used;
        size -= used;
        if (item.kind == KD_ITEM_NONE)
            continue;
        take_item(decoder, direction, lane->time_ns, &item);
        lane->time_ns = ns;
    } while (size || item.kind != KD_ITEM_NONE);
}

/* Both directions of a session have the same framing. Until it is known no data packet was whole,
 * and everything else looks the same in both; what is held is read again. */
static void set_framing(struct decoder *decoder, enum kd_framing framing)
{
    decoder->framing_known = true;
    for (size_t i = 0; i < 3; i++) {
        struct lane *lane = &decoder->lanes[i];
        uint8_t held[sizeof(lane->stream.held)];
        size_t size = lane->stream.size - lane->stream.handed;
        memcpy(held, lane->stream.held + lane->stream.handed, size);
        kd_stream_init(&lane->stream, framing);
        feed_lane(decoder, (enum kd_direction)i, lane->time_ns, held, size);
    }
}

static void take_bytes(struct decoder *decoder, enum kd_direction direction, uint64_t ns,
                       const uint8_t *bytes, size_t size, bool ends)
{
    struct lane *lane = &decoder->lanes[direction];
    enum kd_framing framing;
    if (!decoder->framing_known && find_framing(lane, bytes, size, ends, &framing))
        set_framing(decoder, framing);
    if (!kd_stream_pending(&lane->stream))
        lane->time_ns = ns;
    feed_lane(decoder, direction, ns, bytes, size);
}

static enum kd_direction direction_of(enum capture_direction from)
{
    switch (from) {
    case CAPTURE_FROM_DEBUGGER:
        return KD_TO_TARGET;
    case CAPTURE_FROM_TARGET:
        return KD_TO_DEBUGGER;
    default:
        return KD_DIRECTION_UNKNOWN;
    }
}

/* A line that is no packet; KIND in JSON, MARK before it in text. */
static void print_remark(const struct decoder *decoder, const struct capture_record *record,
                         const char *kind, const char *mark, const char *text, size_t size)
{
    if (decoder->stats || decoder->options->filter_count)
        return;
    uint64_t ns = record->has_time ? record->time_ns : NO_TIME;
    if (decoder->options->json) {
        print_json_start(decoder, ns);
        printf("\"kind\":\"%s\",\"text\":\"", kind);
    } else {
        print_time(decoder, ns);
        fputs(mark, stdout);
    }
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\')
            putchar(c);
        else if (decoder->options->json)
            printf("\\u%04x", c);
        else if (c == '"' || c == '\\')
            putchar(c);
        else
            printf("\\x%02x", c);
    }
    puts(decoder->options->json ? "\"}" : "");
}

static void print_comment(const struct decoder *decoder, const struct capture_record *record)
{
    print_remark(decoder, record, "comment", "# ", record->comment, record->comment_size);
}

/* One record is one packet, so that a cut one is not completed by what follows. */
static bool is_packet_record(const struct capture_record *record)
{
    return record->link_type == CAPTURE_LINK_USER0 || !strcmp(record->dissector, "kd");
}

static bool is_tcp(const struct capture_record *record)
{
    return record->tcp_flags != 0; /* every segment with data acknowledges something */
}

/* Pieces of a stream end anywhere; datagrams (as programs for KDNET write them) do not. */
static bool ends_with_packet(const struct capture_record *record)
{
    return record->link_type != CAPTURE_LINK_NONE && !is_tcp(record) &&
           strcmp(record->dissector, "kd_stream") != 0;
}

static void take_kd(struct decoder *decoder, const struct capture_record *record)
{
    enum kd_direction direction = direction_of(record->direction);
    bool gap = record->missing != 0;
    decoder->missing += record->missing;
    if (gap && is_tcp(record)) /* segments before this one were not captured */
        flush_lane(decoder, direction);
    take_bytes(decoder, direction, record->has_time ? record->time_ns : NO_TIME, record->payload,
               record->payload_size, ends_with_packet(record));
    if (record->payload_size && !is_tcp(record) && (gap || is_packet_record(record)))
        flush_lane(decoder, direction);
}

/* ---- KDNET ---- */

/* A datagram that carries no packet: how a session begins and is kept. */
static void print_kdnet(const struct decoder *decoder, const struct capture_record *record,
                        const struct kdnet_datagram *datagram)
{
    struct kdnet_poke poke;
    const char *what = "an unknown payload";
    char text[160];
    bool control = datagram->channel == KDNET_CONTROL;
    bool is_poke = control && !datagram->from_debugger &&
                   kdnet_poke_get(&poke, datagram->payload, datagram->payload_size) == KD_OK;
    if (is_poke && poke.host.port && !decoder->options->verbose)
        return; /* keep-alives, every three seconds */
    if (is_poke)
        what = poke.host.port ? "poke of a target that has a session"
                              : "poke: a target looks for its debugger";
    else if (control && kdnet_response_client_key(datagram->payload, datagram->payload_size))
        what = "response: a session begins";
    else if (datagram->payload_size == KDNET_CONNECTION_CHECK_SIZE && !datagram->from_debugger)
        what = "connection check";
    snprintf(text, sizeof(text), "KDNET %s %s: version %u, sequence %llu, %s",
             datagram->from_debugger ? "to target" : "to debugger", control ? "control" : "data",
             datagram->version, (unsigned long long)datagram->sequence, what);
    print_remark(decoder, record, "kdnet", "= ", text, strlen(text));
}

static bool holds_kd(const struct kdnet_datagram *datagram)
{
    return datagram->channel == KDNET_DATA &&
           (has_header(datagram->payload, datagram->payload_size) ||
            (datagram->payload_size == 1 && datagram->payload[0] == KD_BREAK_IN_BYTE));
}

static int use_key(struct decoder *decoder, struct kdnet_key *key)
{
    int rc = kdnet_overhear_open(&decoder->overhear, key);
    kdnet_key_wipe(key);
    decoder->has_key = rc >= 0;
    if (rc < 0)
        cli_error("KDNET cannot be decrypted: %s", kd_error_text(rc));
    return rc < 0 ? CLI_FAILED : CLI_DONE;
}

/* The first key that the recording brings along. */
static void use_recorded_key(struct decoder *decoder)
{
    static const char name[] = KDNET_SECRETS_KEY;
    const char *secret = capture_reader_secret(decoder->reader);
    char text[CAPTURE_SECRET_MAX];
    struct kdnet_key key;
    if (strncmp(secret, name, sizeof(name) - 1) != 0)
        return;
    snprintf(text, sizeof(text), "%s", secret + sizeof(name) - 1);
    text[strcspn(text, "\n")] = '\0';
    if (kdnet_key_parse(&key, text, NULL) == KD_OK)
        use_key(decoder, &key);
}

static void take_kdnet(struct decoder *decoder, const struct capture_record *record)
{
    struct kdnet_datagram datagram;
    if (!decoder->has_key)
        use_recorded_key(decoder);
    if (decoder->first_ns == NO_TIME && record->has_time)
        decoder->first_ns = record->time_ns;
    if (!decoder->has_key ||
        kdnet_overhear(&decoder->overhear, record->payload, record->payload_size, &datagram) < 0) {
        decoder->encrypted++;
        return;
    }
    decoder->decrypted++;
    if (!holds_kd(&datagram)) {
        print_kdnet(decoder, record, &datagram);
        return;
    }
    enum kd_direction direction = datagram.from_debugger ? KD_TO_TARGET : KD_TO_DEBUGGER;
    if (!decoder->framing_known)
        set_framing(decoder, KD_FRAMING_KDNET);
    take_bytes(decoder, direction, record->has_time ? record->time_ns : NO_TIME, datagram.payload,
               datagram.payload_size, true);
    flush_lane(decoder, direction); /* a datagram is a whole packet */
}

static void take_record(struct decoder *decoder, const struct capture_record *record)
{
    decoder->record = record->number;
    if (record->comment_size)
        print_comment(decoder, record);
    if (record->content == CAPTURE_CONTENT_KD) {
        take_kd(decoder, record);
    } else if (record->content == CAPTURE_CONTENT_KDNET) {
        take_kdnet(decoder, record);
    } else if (record->payload_size) {
        decoder->foreign++;
    }
}

/* ---- the input ---- */

static int open_input(const char *path)
{
    if (!strcmp(path, "-"))
        return STDIN_FILENO;
    int fd = platform_open(path);
    struct stat status;
    if (fd < 0) {
        cli_error("%s: %s%s", path, strerror(errno),
                  errno == ENOENT ? "; name a recording, or '-' for standard input" : "");
    } else if (!fstat(fd, &status) && S_ISDIR(status.st_mode)) {
        cli_error("%s: is a directory; name a recording in it", path);
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Reads until BUFFER is full or the input ends, so that the first look at a pipe is a long one.
 * LIVE: returns what there is, once something is there. */
static ssize_t read_input(int fd, uint8_t *buffer, size_t room, bool live)
{
    size_t size = 0;
    while (size < room) {
        ssize_t got = read(fd, buffer + size, (unsigned)(room - size));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        size += (size_t)got;
        if (live)
            break;
    }
    return (ssize_t)size;
}

static bool holds_packet(const uint8_t *bytes, size_t size)
{
    for (size_t at = 0; size - at >= KD_HEADER_SIZE; at++) {
        if (has_header(bytes + at, size - at))
            return true;
    }
    return false;
}

static bool is_capture_file(const uint8_t *bytes, size_t size)
{
    static const uint32_t magics[] = {0x0A0D0D0A, 0xA1B2C3D4, 0xA1B23C4D, 0xD4C3B2A1, 0x4D3CB2A1};
    for (size_t i = 0; size >= 4 && i < sizeof(magics) / sizeof(magics[0]); i++) {
        if (kd_get_u32(bytes) == magics[i])
            return true;
    }
    return false;
}

/* Refuses a file of another kind before its bytes are shown as junk. */
static bool accept_input(const struct options *options, bool live, const uint8_t *bytes,
                         size_t size)
{
    if (!size) {
        cli_error("%s: is empty; nothing was recorded", options->path);
        return false;
    }
    if (options->raw || (live && size < LIVE_PATIENCE) || is_capture_file(bytes, size) ||
        holds_packet(bytes, size))
        return true;
    cli_error(
        "%s: is neither a pcapng nor a pcap file, and no KD packet is in its first %zu bytes; "
        "use --raw to show it as a byte stream all the same",
        options->path, size);
    return false;
}

static int decode_chunk(struct decoder *decoder, struct capture_reader *reader,
                        const uint8_t *bytes, size_t size)
{
    struct capture_record record;
    for (;;) {
        int result = capture_reader_next(reader, &bytes, &size, &record);
        if (result <= 0)
            return result;
        take_record(decoder, &record);
    }
}

static void report_problem(const struct options *options, struct capture_reader *reader, int code)
{
    const char *problem = capture_reader_problem(reader);
    if (code == KD_E_TRUNCATED)
        cli_error("%s: ends within a record (it was cut, or is still being written); what comes "
                  "before is shown",
                  options->path);
    else
        cli_error("%s: %s (%s); what comes before is shown", options->path,
                  *problem ? problem : kd_error_text(code), capture_reader_format(reader));
}

/* A pipe is read as it comes once it has said what it is: a live recording can be watched. */
static int decode_input(struct decoder *decoder, struct capture_reader *reader, int fd,
                        uint8_t *buffer)
{
    const struct options *options = decoder->options;
    struct stat status;
    bool live = !fstat(fd, &status) && !S_ISREG(status.st_mode);
    bool first = true;
    for (;;) {
        ssize_t size = read_input(fd, buffer, READ_SIZE, live);
        if (size < 0) {
            cli_error("%s: cannot be read: %s", options->path, strerror(errno));
            return CLI_FAILED;
        }
        if (first && !accept_input(options, live, buffer, (size_t)size))
            return CLI_FAILED;
        first = false;
        if (size == 0)
            break;
        int result = decode_chunk(decoder, reader, buffer, (size_t)size);
        if (result < 0) {
            report_problem(options, reader, result);
            return CLI_FAILED;
        }
        if (live)
            fflush(stdout);
    }
    int result = capture_reader_end(reader);
    if (result < 0)
        report_problem(options, reader, result);
    return result < 0 ? CLI_FAILED : CLI_DONE;
}

static void finish(struct decoder *decoder)
{
    enum kd_framing framing;
    for (int direction = 0; direction < 3; direction++) {
        if (!decoder->framing_known &&
            find_framing(&decoder->lanes[direction], NULL, 0, true, &framing))
            set_framing(decoder, framing);
        flush_lane(decoder, (enum kd_direction)direction);
    }
    if (decoder->stats && decoder->options->json)
        decode_stats_json(decoder->stats, stdout);
    else if (decoder->stats)
        decode_stats_text(decoder->stats, stdout);
}

static int report_end(const struct decoder *decoder)
{
    const char *path = decoder->options->path;
    if (fflush(stdout) || ferror(stdout)) {
        cli_error("standard output cannot be written: %s", strerror(errno));
        return CLI_FAILED;
    }
    if (decoder->missing)
        cli_error("%s: %llu bytes of the traffic are missing in it: they were not captured", path,
                  (unsigned long long)decoder->missing);
    if (decoder->encrypted && decoder->has_key)
        cli_error("%s: %llu KDNET datagrams do not fit the key and are not shown: another key, or "
                  "the beginning of their session (the debugger's response) was not recorded",
                  path, (unsigned long long)decoder->encrypted);
    else if (decoder->encrypted)
        cli_error("%s: %llu records are encrypted KDNET datagrams, which are not shown; give the "
                  "key with --key-file FILE",
                  path, (unsigned long long)decoder->encrypted);
    if (decoder->foreign)
        cli_error("%s: %llu records are not KD and are not shown", path,
                  (unsigned long long)decoder->foreign);
    if (decoder->found || decoder->decrypted || (decoder->encrypted && !decoder->has_key))
        return CLI_DONE;
    if (decoder->encrypted)
        return CLI_FAILED;
    cli_error("%s: no KD packet is in it", path);
    return CLI_FAILED;
}

/* Without a key everything but KDNET is shown; nobody is asked for one. */
static int find_key(struct decoder *decoder)
{
    const struct options *options = decoder->options;
    struct kdnet_key key;
    if (!options->key && !options->key_file && !cli_key_in_environment())
        return CLI_DONE;
    if (cli_read_key(&key, options->key, options->key_file) != CLI_DONE)
        return CLI_FAILED;
    return use_key(decoder, &key);
}

static int decode(const struct options *options)
{
    struct capture_reader_config config = {
        .input = options->raw ? CAPTURE_INPUT_RAW : CAPTURE_INPUT_AUTO,
        .raw_direction = options->sender,
    };
    int result = CLI_FAILED, fd = -1;
    struct decoder *decoder = calloc(1, sizeof(*decoder));
    struct capture_reader *reader = capture_reader_new(&config);
    uint8_t *buffer = malloc(READ_SIZE);
    if (!decoder || !reader || !buffer) {
        cli_error("out of memory");
        goto out;
    }
    decoder->options = options;
    decoder->reader = reader;
    decoder->first_ns = NO_TIME;
    decoder->framing_known = options->has_framing;
    for (size_t i = 0; i < 3; i++) {
        kd_stream_init(&decoder->lanes[i].stream, options->framing);
        decoder->lanes[i].time_ns = NO_TIME;
    }
    if (options->stats && !(decoder->stats = decode_stats_new())) {
        cli_error("out of memory");
        goto out;
    }
    if (find_key(decoder) != CLI_DONE)
        goto out;
    fd = open_input(options->input);
    if (fd < 0)
        goto out;
    result = decode_input(decoder, reader, fd, buffer);
    if (result == CLI_DONE || decoder->found) {
        finish(decoder);
        int end = report_end(decoder);
        if (end != CLI_DONE)
            result = end;
    }
out:
    if (fd > STDIN_FILENO)
        close(fd);
    if (decoder) {
        decode_stats_free(decoder->stats);
        kdnet_overhear_close(&decoder->overhear);
    }
    free(buffer);
    capture_reader_free(reader);
    free(decoder);
    return result;
}

/* ---- the command line ---- */

static bool is_message(const char *name)
{
    static const struct {
        uint16_t type;
        uint32_t first, last;
    } ranges[] = {
        {KD_PACKET_STATE_MANIPULATE, KD_API_FIRST, KD_API_LAST},
        {KD_PACKET_STATE_CHANGE64, KD_STATE_EXCEPTION, KD_STATE_COMMAND_STRING},
        {KD_PACKET_DEBUG_IO, KD_API_PRINT_STRING, KD_API_GET_STRING},
        {KD_PACKET_TRACE_IO, KD_API_PRINT_TRACE, KD_API_PRINT_TRACE},
        {KD_PACKET_CONTROL_REQUEST, KD_API_REQUEST_HARDWARE_BREAKPOINT,
         KD_API_RELEASE_HARDWARE_BREAKPOINT},
        {KD_PACKET_FILE_IO, KD_API_CREATE_FILE, KD_API_CLOSE_FILE},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        for (uint32_t api = ranges[i].first; api <= ranges[i].last; api++) {
            const char *known = kd_message_name(ranges[i].type, api);
            if (known && !strcasecmp(known, name))
                return true;
        }
    }
    for (int type = 0; type < KD_PACKET_TYPE_MAX; type++) {
        if (!strcasecmp(kd_packet_type_name((uint16_t)type), name))
            return true;
    }
    return !strcasecmp(name, "break-in") || !strcasecmp(name, "junk");
}

static bool is_number(const char *text)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 0);
    return *text >= '0' && *text <= '9' && !*end && !errno && value <= UINT32_MAX;
}

/* Splits LIST in place. */
static int parse_filters(struct options *options, char *list)
{
    for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
        if (!is_message(name) && !is_number(name))
            return cli_usage_error("--api: '%s' is no message of the protocol; names are such as "
                                   "ReadVirtualMemory, Exception, PrintString, RESET",
                                   name);
        if (options->filter_count == FILTERS_MAX)
            return cli_usage_error("--api: more than %d names", FILTERS_MAX);
        options->filters[options->filter_count++] = name;
    }
    if (!options->filter_count)
        return cli_usage_error("--api: a name is missing");
    return CLI_DONE;
}

static int parse_direction(struct options *options, const char *text)
{
    if (!strcmp(text, "to-target"))
        options->direction = KD_TO_TARGET;
    else if (!strcmp(text, "to-debugger"))
        options->direction = KD_TO_DEBUGGER;
    else
        return cli_usage_error("--direction: '%s' is neither to-target nor to-debugger", text);
    return CLI_DONE;
}

static int parse_framing(struct options *options, const char *text)
{
    if (!strcmp(text, "serial"))
        options->framing = KD_FRAMING_SERIAL;
    else if (!strcmp(text, "kdnet"))
        options->framing = KD_FRAMING_KDNET;
    else
        return cli_usage_error("--framing: '%s' is neither serial nor kdnet", text);
    options->has_framing = true;
    return CLI_DONE;
}

static int parse_sender(struct options *options, const char *text)
{
    if (!strcmp(text, "debugger"))
        options->sender = CAPTURE_FROM_DEBUGGER;
    else if (!strcmp(text, "target"))
        options->sender = CAPTURE_FROM_TARGET;
    else
        return cli_usage_error("--sender: '%s' is neither debugger nor target", text);
    return CLI_DONE;
}

enum { OPTION_FRAMING = 256, OPTION_RAW, OPTION_SENDER, OPTION_KEY, OPTION_KEY_FILE };

static const struct option long_options[] = {
    {"verbose", no_argument, NULL, 'v'},
    {"json", no_argument, NULL, 'j'},
    {"stats", no_argument, NULL, 's'},
    {"api", required_argument, NULL, 'a'},
    {"direction", required_argument, NULL, 'd'},
    {"relative", no_argument, NULL, 'r'},
    {"framing", required_argument, NULL, OPTION_FRAMING},
    {"key", required_argument, NULL, OPTION_KEY},
    {"key-file", required_argument, NULL, OPTION_KEY_FILE},
    {"raw", no_argument, NULL, OPTION_RAW},
    {"sender", required_argument, NULL, OPTION_SENDER},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int parse_option(struct options *options, int option, char **argv)
{
    switch (option) {
    case 'v':
        options->verbose = true;
        return CLI_DONE;
    case 'j':
        options->json = true;
        return CLI_DONE;
    case 's':
        options->stats = true;
        return CLI_DONE;
    case 'a':
        return parse_filters(options, optarg);
    case 'd':
        return parse_direction(options, optarg);
    case 'r':
        options->relative = true;
        return CLI_DONE;
    case OPTION_FRAMING:
        return parse_framing(options, optarg);
    case OPTION_KEY:
        options->key = optarg;
        return CLI_DONE;
    case OPTION_KEY_FILE:
        options->key_file = optarg;
        return CLI_DONE;
    case OPTION_RAW:
        options->raw = true;
        return CLI_DONE;
    case OPTION_SENDER:
        return parse_sender(options, optarg);
    case ':':
        return cli_usage_error("%s needs a value", argv[optind - 1]);
    default:
        return cli_usage_error("'%s' is no option", argv[optind - 1]);
    }
}

int cmd_decode(int argc, char **argv)
{
    struct options options = {.sender = CAPTURE_FROM_UNKNOWN};
    static char output[OUTPUT_BUFFER];
    int option;
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, ":vjsa:d:rh", long_options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help_text, stdout);
            return CLI_DONE;
        }
        int result = parse_option(&options, option, argv);
        if (result != CLI_DONE)
            return result;
    }
    if (optind == argc)
        return cli_usage_error("name a recording, or '-' for standard input");
    if (argc - optind > 1)
        return cli_usage_error("one recording at a time; '%s' is one too many", argv[optind + 1]);
    options.input = argv[optind];
    options.path = strcmp(options.input, "-") ? options.input : "standard input";
    setvbuf(stdout, output, _IOFBF, sizeof(output));
    return decode(&options);
}
