/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Wireshark plugin inside libwireshark. An input is records: one byte of kind, two of length
 * (little-endian), then the bytes.
 *
 *   kind & 3   0 a record for "kd"   1 for "kd_stream"   2 a UDP payload   3 a KDNET payload, data
 * or control, which is encrypted under the key that is set, so that it is opened kind & 4   from
 * the target kind & 8   seen a second time
 */
#include "compat.h"

#include <stdlib.h>
#include <string.h>

#include <epan/epan.h>
#include <epan/epan_dissect.h>
#include <wiretap/wtap.h>
#include <wsutil/privileges.h>
#include <wsutil/report_message.h>
#include <wsutil/wslog.h>

#include "kdwire/kdnet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);
void plugin_register(void);

enum {
    RECORDS_MAX = 64, /* enough for a session's state to build up */
    /* Opening a new "file" makes every dissector of Wireshark begin anew, which takes longer than
     * this many inputs; they share one, and its frame numbers. */
    INPUTS_PER_FILE = 100,
    FRAME_MAX = 8192, /* the longest record and what is put before it */
};

/* What a packet leaves for the open file is no leak, but looks like one to libFuzzer, which then
 * has the whole heap searched after every input: that took nine tenths of the time. */
__attribute__((visibility("default"))) const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static epan_t *epan;
static struct kdnet_crypto *crypto;

static const nstime_t *frame_time(struct packet_provider_data *provider, guint32 frame)
{
    static const nstime_t zero = NSTIME_INIT_ZERO;
    (void)provider;
    (void)frame;
    return &zero;
}

static void quiet(const char *format, va_list arguments)
{
    (void)format;
    (void)arguments;
}

static void set_up(void)
{
    static const struct packet_provider_funcs functions = {.get_frame_ts = frame_time};
    static const struct report_message_routines routines = {.vreport_failure = quiet,
                                                            .vreport_warning = quiet};
    struct kdnet_key key, session;
    char *problem = NULL;
    g_setenv("WIRESHARK_DEBUG_WMEM_OVERRIDE", "simple",
             TRUE); /* so that ASan sees each allocation */
    g_setenv("WIRESHARK_PLUGIN_DIR", "/nonexistent", TRUE);
    ws_log_init("fuzz-wireshark", quiet);
    init_process_policies();
    init_report_message("fuzz-wireshark", &routines);
    wtap_init(FALSE);
    plugin_register();
    if (!epan_init(NULL, NULL, FALSE))
        abort();
    prefs_set_pref((char[]){"kdnet.key:1.1.1.1"}, &problem);
    prefs_set_pref((char[]){"ip.use_geoip:FALSE"},
                   &problem); /* its maps are the program's to make */
    prefs_apply_all();
    (void)kdnet_key_parse(&key, "1.1.1.1", NULL);
    memset(&session, 0, sizeof(session));
    if (kdnet_crypto_open(&crypto, &key) < 0)
        abort();
    kdnet_crypto_set_session(crypto, &session);
    epan = epan_new(NULL, &functions);
}

static size_t put_tag(uint8_t *out, uint16_t tag, const void *value, uint16_t size)
{
    out[0] = (uint8_t)(tag >> 8);
    out[1] = (uint8_t)tag;
    out[2] = (uint8_t)(size >> 8);
    out[3] = (uint8_t)size;
    memcpy(out + 4, value, size);
    return 4u + size;
}

static size_t put_record(uint8_t *out, unsigned kind, const uint8_t *bytes, size_t size)
{
    static const char names[2][12] = {"kd", "kd_stream"};
    const uint8_t direction[4] = {0, 0, 0, (kind & 4) != 0};
    const uint8_t ends[2][4] = {{192, 168, 0, 2}, {192, 168, 0, 1}};
    size_t at = put_tag(out, EXP_PDU_TAG_DISSECTOR_NAME, names[kind & 1], 12);
    at += put_tag(out + at, EXP_PDU_TAG_IPV4_SRC, ends[(kind & 4) != 0], 4);
    at += put_tag(out + at, EXP_PDU_TAG_IPV4_DST, ends[(kind & 4) == 0], 4);
    at += put_tag(out + at, EXP_PDU_TAG_P2P_DIRECTION, direction, 4);
    at += put_tag(out + at, EXP_PDU_TAG_END_OF_OPT, direction, 0);
    memcpy(out + at, bytes, size);
    return at + size;
}

static size_t put_udp(uint8_t *out, unsigned kind, const uint8_t *bytes, size_t size)
{
    static const uint8_t ip[28] = {0x45, 0, 0,  0, 0, 0, 0x40, 0,    64,   17,   0, 0, 10, 0,
                                   0,    1, 10, 0, 0, 2, 0xC3, 0x50, 0xC3, 0x50, 0, 0, 0,  0};
    size_t payload = size;
    memcpy(out, ip, sizeof(ip));
    if (kind & 4) {
        out[15] = 2;
        out[19] = 1;
    }
    if ((kind & 3) == 3) {
        struct kdnet_datagram datagram = {.version = 4,
                                          .channel = size && (bytes[0] & 1),
                                          .from_debugger = !(kind & 4),
                                          .sequence = size,
                                          .payload = bytes,
                                          .payload_size = size};
        int made = size <= KDNET_PAYLOAD_MAX ? kdnet_protect(crypto, &datagram, out + 28) : 0;
        payload = made > 0 ? (size_t)made : 0;
    } else {
        memcpy(out + 28, bytes, size);
    }
    size_t whole = 28 + payload, udp = 8 + payload;
    out[2] = (uint8_t)(whole >> 8);
    out[3] = (uint8_t)whole;
    out[24] = (uint8_t)(udp >> 8);
    out[25] = (uint8_t)udp;
    return whole;
}

static void dissect(unsigned kind, const uint8_t *frame, size_t size, uint32_t number, bool again)
{
    wtap_rec rec;
    frame_data data;
    memset(&rec, 0, sizeof(rec));
    rec.rec_type = REC_TYPE_PACKET;
    rec.presence_flags = WTAP_HAS_CAP_LEN;
    rec.rec_header.packet_header.caplen = (guint32)size;
    rec.rec_header.packet_header.len = (guint32)size;
    rec.rec_header.packet_header.pkt_encap =
        (kind & 2) ? WTAP_ENCAP_RAW_IP : WTAP_ENCAP_WIRESHARK_UPPER_PDU;
    frame_data_init(&data, number, &rec, 0, 0);
    for (int pass = 0; pass < (again ? 2 : 1); pass++) {
        epan_dissect_t *edt = epan_dissect_new(epan, TRUE, TRUE);
        epan_dissect_run(edt, WTAP_FILE_TYPE_SUBTYPE_UNKNOWN, &rec,
                         tvb_new_real_data(frame, (guint)size, (gint)size), &data, NULL);
        epan_dissect_free(edt);
        data.visited = 1;
    }
    frame_data_destroy(&data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t frame[FRAME_MAX];
    size_t at = 0;
    if (!epan)
        set_up();
    for (uint32_t number = 1; number <= RECORDS_MAX && size - at >= 3; number++) {
        unsigned kind = data[at];
        size_t length = kd_get_u16(data + at + 1);
        at += 3;
        length = length < size - at ? length : size - at;
        length = length < KDNET_PAYLOAD_MAX ? length : KDNET_PAYLOAD_MAX;
        size_t made = (kind & 2) ? put_udp(frame, kind, data + at, length)
                                 : put_record(frame, kind, data + at, length);
        dissect(kind, frame, made, number, (kind & 8) != 0);
        at += length;
    }
    static unsigned inputs;
    if (++inputs % INPUTS_PER_FILE)
        return 0;
    static const struct packet_provider_funcs functions = {.get_frame_ts = frame_time};
    epan_free(epan); /* forgets conversations, and all memory of the file */
    epan = epan_new(NULL, &functions);
    return 0;
}
