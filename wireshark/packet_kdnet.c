/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KDNET datagrams: keys, decryption (src/kdnet), control payloads; what is in a data datagram is
 * packet_kd.c's.
 *
 *   datagram          | key                                          | then
 *   ------------------+----------------------------------------------+----------------------------
 *   control, poke     | each control key that the preferences, the   | it is this conversation's
 *                     | key file or the capture give for these ports |
 *   control, response | the same                                     | a new session key
 *   data              | the newest session key of this conversation, | the frame keeps its key
 *                     | else any other of the file                   |
 *
 * On a second look at a frame all session keys of the file are known, also later ones: one response
 * anywhere in the capture is enough.
 */
#include "kd.h"

#include <errno.h>
#include <string.h>

#if WIRESHARK_AT_LEAST(4, 4)
#include <epan/secrets.h>
#endif

#include "kdwire/error.h"
#include "kdwire/kdnet.h"

enum {
    /* Session keys tried for a datagram whose own is not known: a capture with more restarts of
     * targets than this is still read from front to back. */
    SESSIONS_TRIED = 32,
    KEY_LINE_MAX = 256, /* of a key file: a port, a key and a remark */
};

static int proto_kdnet = -1;
static dissector_handle_t kdnet_handle;
static int ett_kdnet = -1, ett_payload = -1;

#define FIELDS(X)                                                                                  \
    X(MAGIC, "kdnet.magic", "Magic", FT_STRING, BASE_NONE, NULL)                                   \
    X(VERSION, "kdnet.version", "Version", FT_UINT8, BASE_DEC, NULL)                               \
    X(CHANNEL, "kdnet.channel", "Channel", FT_UINT8, BASE_DEC, VALS(channels))                     \
    X(ENCRYPTED, "kdnet.encrypted", "Encrypted", FT_BYTES, BASE_NONE, NULL)                        \
    X(TAG, "kdnet.tag", "Authenticator", FT_BYTES, BASE_NONE, NULL)                                \
    X(AUTHENTIC, "kdnet.authentic", "Authentic", FT_BOOLEAN, BASE_NONE, NULL)                      \
    X(SEQUENCE, "kdnet.sequence", "Sequence number", FT_UINT64, BASE_DEC, NULL)                    \
    X(DIRECTION, "kdnet.direction", "Direction", FT_UINT8, BASE_DEC, VALS(senders))                \
    X(PAD_SIZE, "kdnet.padding_length", "Length of the padding", FT_UINT8, BASE_DEC, NULL)         \
    X(PADDING, "kdnet.padding", "Padding", FT_BYTES, BASE_NONE, NULL)                              \
    X(PAYLOAD, "kdnet.payload", "Payload", FT_BYTES, BASE_NONE, NULL)                              \
    X(CONTROL_first, "kdnet.control.first", "First byte", FT_UINT8, BASE_DEC, NULL)                \
    X(CONTROL_kind, "kdnet.control.kind", "Kind", FT_UINT8, BASE_DEC, VALS(kinds))                 \
    X(CONTROL_client_key, "kdnet.control.client_key", "Client key", FT_BYTES, BASE_NONE, NULL)     \
    X(CONTROL_host_key, "kdnet.control.host_key", "Host key", FT_BYTES, BASE_NONE, NULL)           \
    X(CONTROL_source, "kdnet.control.source", "Source address", FT_IPv6, BASE_NONE, NULL)          \
    X(CONTROL_source_port, "kdnet.control.source_port", "Source port", FT_UINT16, BASE_DEC, NULL)  \
    X(CONTROL_destination, "kdnet.control.destination", "Destination address", FT_IPv6, BASE_NONE, \
      NULL)                                                                                        \
    X(CONTROL_destination_port, "kdnet.control.destination_port", "Destination port", FT_UINT16,   \
      BASE_DEC, NULL)                                                                              \
    X(CONTROL_host, "kdnet.control.host", "Address of the debugger it is bound to", FT_IPv6,       \
      BASE_NONE, NULL)                                                                             \
    X(CONTROL_host_port, "kdnet.control.host_port", "Port of the debugger it is bound to",         \
      FT_UINT16, BASE_DEC, NULL)                                                                   \
    X(CONTROL_zeros, "kdnet.control.zeros", "Zeros", FT_BYTES, BASE_NONE, NULL)                    \
    X(CHECK_zeros, "kdnet.check.zeros", "Zeros", FT_BYTES, BASE_NONE, NULL)                        \
    X(CHECK_host, "kdnet.check.host", "Debugger's address", FT_IPv4, BASE_NONE, NULL)              \
    X(SESSION_IN, "kdnet.session_in", "Session key made in", FT_FRAMENUM, BASE_NONE, NULL)

static const value_string channels[] = {
    {KDNET_DATA, "data"}, {KDNET_CONTROL, "control"}, {0, NULL}};
static const value_string senders[] = {
    {0, "target to debugger"},
    {1, "debugger to target"},
    {0, NULL},
};
static const value_string kinds[] = {{KDNET_POKE, "poke"}, {KDNET_RESPONSE, "response"}, {0, NULL}};

enum {
#define FIELD_INDEX(name, filter, title, type, display, strings) FIELD_##name,
    FIELDS(FIELD_INDEX) FIELD_COUNT
};
static int hf[FIELD_COUNT];

#define EXPERTS(X)                                                                                 \
    X(NO_KEY, "kdnet.expert.no_key", PI_DECRYPTION, PI_NOTE,                                       \
      "Encrypted: set a key in Preferences > Protocols > KDNET (or -o kdnet.key:w.x.y.z)")         \
    X(WRONG_KEY, "kdnet.expert.wrong_key", PI_DECRYPTION, PI_WARN,                                 \
      "No key fits: the authenticator is not right under any of the keys that are set")            \
    X(NO_SESSION, "kdnet.expert.no_session", PI_DECRYPTION, PI_NOTE,                               \
      "No session key yet: the debugger's response that makes it is not before this datagram")     \
    X(NOT_AUTHENTIC, "kdnet.expert.not_authentic", PI_DECRYPTION, PI_WARN,                         \
      "Not authentic under any session key of this capture: damaged, forged, or of a session "     \
      "whose beginning was not captured")                                                          \
    X(BAD_KEY, "kdnet.expert.bad_key", PI_DECRYPTION, PI_ERROR, "A key that is set is not valid")  \
    X(REPLAY, "kdnet.expert.replay", PI_SEQUENCE, PI_WARN,                                         \
      "The sequence number does not rise: a receiver drops this datagram")

enum {
#define EXPERT_INDEX(name, filter, group, severity, text) EXPERT_##name,
    EXPERTS(EXPERT_INDEX) EXPERT_COUNT
};
static expert_field expert_of[EXPERT_COUNT];

/* ---- keys ---- */

struct known_key {
    guint port;    /* a control key: of which datagrams; 0: any */
    guint32 frame; /* a session key: of the response that made it */
    struct kdnet_key key;
    struct kdnet_crypto *crypto;
};

static struct known_key *key_at(GArray *keys, guint index)
{
    return &g_array_index(keys, struct known_key, index);
}

/* Wipes all of them; the list is made when there is none. */
static void forget_all(GArray **keys)
{
    if (!*keys)
        *keys = g_array_new(FALSE, TRUE, sizeof(struct known_key));
    for (guint i = 0; i < (*keys)->len; i++) {
        kdnet_crypto_close(key_at(*keys, i)->crypto);
        kdnet_key_wipe(&key_at(*keys, i)->key);
    }
    g_array_set_size(*keys, 0);
}

/* ---- control keys ---- */

/* A line of the table in the preferences. */
struct key_entry {
    guint port;
    char *key;
};

static GArray *control_keys; /* struct known_key; from the preferences and files */
static GString *key_problem; /* what is wrong with a key; empty: nothing */
static const char *key_text, *key_file;
static struct key_entry *key_entries;
static guint key_entry_count;
static guint key_generation = 1; /* grows when the keys change */

UAT_DEC_CB_DEF(key_entries, port, struct key_entry)
UAT_CSTRING_CB_DEF(key_entries, key, struct key_entry)

static bool known_key(const struct kdnet_key *key, guint port)
{
    for (guint i = 0; i < control_keys->len; i++) {
        const struct known_key *known = key_at(control_keys, i);
        if (known->port == port && !memcmp(&known->key, key, sizeof(*key)))
            return true;
    }
    return false;
}

static void add_key(const char *text, guint port, const char *where)
{
    struct known_key key = {.port = port};
    const char *problem = NULL;
    if (kdnet_key_parse(&key.key, text, &problem) < 0) {
        if (!key_problem->len)
            g_string_printf(key_problem, "A key %s is not valid: %s", where, problem);
        return;
    }
    if (!known_key(&key.key, port) && kdnet_crypto_open(&key.crypto, &key.key) == KD_OK)
        g_array_append_val(control_keys, key);
}

/* Keys between blanks, commas or lines, with or without "key=" as in capture files; a number alone
 * is the port of the key behind it; '#' and what follows it is a remark. */
static void add_keys(const char *text, const char *where)
{
    gchar **lines = g_strsplit_set(text, "\r\n", -1);
    for (gchar **line = lines; *line; line++) {
        guint port = 0;
        gchar *remark = strchr(*line, '#');
        if (remark)
            *remark = 0;
        gchar **words = g_strsplit_set(*line, " \t,;", -1);
        for (gchar **word = words; *word; word++) {
            if (!**word)
                continue;
            bool number = strspn(*word, "0123456789") == strlen(*word);
            if (number) {
                port = (guint)g_ascii_strtoull(*word, NULL, 10);
                continue;
            }
            bool named = g_str_has_prefix(*word, KDNET_SECRETS_KEY);
            add_key(*word + (named ? strlen(KDNET_SECRETS_KEY) : 0), port, where);
            port = 0;
        }
        g_strfreev(words);
    }
    g_strfreev(lines);
}

static void add_key_file(const char *path)
{
    gchar *text = NULL;
    GError *error = NULL;
    if (!g_file_get_contents(path, &text, NULL, &error)) {
        g_string_printf(key_problem, "The key file cannot be read: %s", error->message);
        g_error_free(error);
        return;
    }
    add_keys(text, "in the key file");
    g_free(text);
}

/* Preferences were read or changed. */
static void read_keys(void)
{
    if (!key_problem)
        key_problem = g_string_new(NULL);
    g_string_truncate(key_problem, 0);
    forget_all(&control_keys);
    for (guint i = 0; i < key_entry_count; i++)
        add_key(key_entries[i].key, key_entries[i].port, "in the table of keys");
    if (key_text)
        add_keys(key_text, "in the preferences");
    if (key_file && *key_file)
        add_key_file(key_file);
    key_generation++;
}

#if WIRESHARK_AT_LEAST(4, 4)
/* A decryption secrets block of the capture file: text, as in a key file. */
static void read_secrets(const void *secrets, unsigned size)
{
    gchar *text = g_strndup(secrets, size);
    add_keys(text, "in the capture file");
    g_free(text);
    key_generation++;
}
#endif

/* ---- session keys ---- */

static GArray *session_keys; /* struct known_key; of the open file */

static void forget_sessions(void)
{
    forget_all(&session_keys);
}

struct kdnet_conversation {
    guint control;          /* its control key's index + 1, 0 = not known */
    guint generation;       /* of the keys when that was found */
    guint session;          /* its newest session key's index + 1 */
    guint64 sequence[2][2]; /* the highest so far, by channel and direction; + 1 */
};

/* What a frame keeps: by which key it opens. */
struct kdnet_frame {
    guint generation;
    guint key; /* index + 1 of the control or session key that fits; 0 = none did */
    bool replay;
};

static struct kdnet_conversation *kdnet_conversation_of(packet_info *pinfo)
{
    conversation_t *found = find_or_create_conversation(pinfo);
    struct kdnet_conversation *conversation = conversation_get_proto_data(found, proto_kdnet);
    if (!conversation) {
        conversation = wmem_new0(wmem_file_scope(), struct kdnet_conversation);
        conversation_add_proto_data(found, proto_kdnet, conversation);
    }
    return conversation;
}

/* A response makes a session key; the frame shows it again and again. */
static void add_session(struct kdnet_conversation *conversation, packet_info *pinfo,
                        const struct kdnet_key *control, const struct kdnet_datagram *datagram)
{
    struct known_key session = {.frame = pinfo->num};
    if (kdnet_session_key(&session.key, control, datagram->payload, datagram->payload_size) < 0)
        return;
    for (guint i = 0; i < session_keys->len; i++) {
        struct known_key *known = key_at(session_keys, i);
        if (!memcmp(&known->key, &session.key, sizeof(session.key)))
            return;
    }
    if (kdnet_crypto_open(&session.crypto, control) < 0)
        return;
    kdnet_crypto_set_session(session.crypto, &session.key);
    g_array_append_val(session_keys, session);
    if (conversation->session)
        kd_conversation_restart(kd_conversation_of(pinfo));
    conversation->session = session_keys->len;
    memset(conversation->sequence[KDNET_DATA], 0, sizeof(conversation->sequence[KDNET_DATA]));
}

/* ---- opening a datagram ---- */

struct opened {
    const guint8 *bytes;
    size_t size;
    struct kdnet_datagram datagram;
    guint8 *plain; /* clear bytes, data header, payload, padding */
    guint key;
};

static bool opens(struct opened *opened, struct kdnet_crypto *crypto, guint key)
{
    opened->key = key;
    return kdnet_unprotect(crypto, opened->bytes, opened->size, &opened->datagram, opened->plain) ==
           KD_OK;
}

static bool open_control(struct kdnet_conversation *conversation, packet_info *pinfo,
                         struct opened *opened)
{
    if (conversation->generation != key_generation)
        conversation->control = 0;
    guint first = conversation->control;
    if (first && opens(opened, key_at(control_keys, first - 1)->crypto, first))
        return true;
    for (guint i = 0; i < control_keys->len; i++) {
        const struct known_key *key = key_at(control_keys, i);
        if (key->port && key->port != pinfo->srcport && key->port != pinfo->destport)
            continue;
        if (!opens(opened, key->crypto, i + 1))
            continue;
        conversation->control = i + 1;
        conversation->generation = key_generation;
        return true;
    }
    return false;
}

static bool open_data(struct kdnet_conversation *conversation, const struct kdnet_frame *frame,
                      struct opened *opened)
{
    guint likely = frame->key ? frame->key : conversation->session;
    if (likely && likely <= session_keys->len &&
        opens(opened, key_at(session_keys, likely - 1)->crypto, likely))
        return true;
    for (guint i = session_keys->len, tries = 0; i > 0 && tries < SESSIONS_TRIED; i--, tries++) {
        if (i != likely && opens(opened, key_at(session_keys, i - 1)->crypto, i))
            return true;
    }
    return false;
}

static struct kdnet_frame *frame_of(packet_info *pinfo)
{
    struct kdnet_frame *frame = p_get_proto_data(wmem_file_scope(), pinfo, proto_kdnet, 0);
    if (!frame) {
        frame = wmem_new0(wmem_file_scope(), struct kdnet_frame);
        p_add_proto_data(wmem_file_scope(), pinfo, proto_kdnet, 0, frame);
    }
    return frame;
}

static void count_sequence(struct kdnet_conversation *conversation, struct kdnet_frame *frame,
                           const struct kdnet_datagram *datagram)
{
    guint64 *highest = &conversation->sequence[datagram->channel][datagram->from_debugger];
    frame->replay = datagram->sequence < *highest;
    *highest = MAX(*highest, datagram->sequence + 1);
}

static bool open_datagram(struct kdnet_conversation *conversation, packet_info *pinfo,
                          struct opened *opened)
{
    struct kdnet_frame *frame = frame_of(pinfo);
    bool control = kdnet_is_control(opened->bytes);
    if (frame->generation != key_generation)
        frame->key = 0;
    bool good = control ? open_control(conversation, pinfo, opened)
                        : open_data(conversation, frame, opened);
    if (!good)
        return false;
    frame->key = opened->key;
    frame->generation = key_generation;
    if (control && opened->datagram.from_debugger) {
        const struct kdnet_key *key = &key_at(control_keys, opened->key - 1)->key;
        add_session(conversation, pinfo, key, &opened->datagram);
    }
    if (!PINFO_FD_VISITED(pinfo))
        count_sequence(conversation, frame, &opened->datagram);
    return true;
}

/* ---- payloads ---- */

struct layout {
    int field, size;
};

/* What a payload is made of, in order. The last one has all the rest. */
#define CONTROL_FIELD(name, offset, size) {FIELD_CONTROL_##name, size},
#define CHECK_FIELD(name, offset, size)   {FIELD_CHECK_##name, size},
static const struct layout poke_layout[] = {KDNET_POKE_MAP(CONTROL_FIELD){0, 0}};
static const struct layout response_layout[] = {KDNET_RESPONSE_MAP(CONTROL_FIELD){0, 0}};
static const struct layout check_layout[] = {KDNET_CHECK_MAP(CHECK_FIELD){0, 0}};
static const struct layout unknown_layout[] = {{0, 0}};

static void add_layout(proto_tree *tree, tvbuff_t *tvb, int at, int size,
                       const struct layout *layout, guint encoding)
{
    for (; layout->size && layout->size <= size; layout++) {
        proto_tree_add_item(tree, hf[layout->field], tvb, at, layout->size, encoding);
        at += layout->size;
        size -= layout->size;
    }
    if (size > 0)
        proto_tree_add_item(tree, hf[FIELD_PAYLOAD], tvb, at, size, ENC_NA);
}

static void add_control(proto_tree *tree, tvbuff_t *tvb, packet_info *pinfo, int at, int size,
                        const struct kdnet_datagram *datagram)
{
    int kind = size >= 2 ? datagram->payload[1] : 0;
    struct kdnet_poke poke;
    const struct layout *layout = unknown_layout;
    if (kdnet_response_client_key(datagram->payload, datagram->payload_size)) {
        layout = response_layout;
        col_set_str(pinfo->cinfo, COL_INFO, "response to a poke: a session begins");
    } else if (kdnet_poke_get(&poke, datagram->payload, datagram->payload_size) == KD_OK) {
        layout = poke_layout;
        col_set_str(pinfo->cinfo, COL_INFO,
                    poke.host.port ? "poke: the target is there, bound to a debugger"
                                   : "poke: the target looks for its debugger");
    } else {
        col_add_fstr(pinfo->cinfo, COL_INFO, "control, kind %d, %d bytes", kind, size);
    }
    add_layout(tree, tvb, at, size, layout, ENC_BIG_ENDIAN);
}

/* The first data datagram of a target's session: not a KD packet. */
static bool is_connection_check(const struct kdnet_datagram *datagram)
{
    static const guint8 zeros[KDNET_CONNECTION_CHECK_SIZE - 4];
    return datagram->payload_size == KDNET_CONNECTION_CHECK_SIZE && !datagram->from_debugger &&
           !memcmp(datagram->payload, zeros, sizeof(zeros));
}

static void add_connection_check(proto_tree *tree, tvbuff_t *tvb, packet_info *pinfo, int at)
{
    col_set_str(pinfo->cinfo, COL_INFO, "connection check: the target's session begins");
    add_layout(tree, tvb, at, KDNET_CONNECTION_CHECK_SIZE, check_layout, ENC_LITTLE_ENDIAN);
}

/* ---- a datagram ---- */

static void add_plain(proto_tree *tree, proto_tree *root, tvbuff_t *tvb, packet_info *pinfo,
                      const struct opened *opened)
{
    const struct kdnet_datagram *datagram = &opened->datagram;
    guint whole = (guint)opened->size - KDNET_CLEAR_SIZE - KDNET_TAG_SIZE;
    int at = KDNET_DATA_HEADER_SIZE, size = (int)datagram->payload_size;
    tvbuff_t *plain =
        tvb_new_child_real_data(tvb, opened->plain + KDNET_CLEAR_SIZE, whole, (gint)whole);
    add_new_data_source(pinfo, plain, "Decrypted KDNET");
    proto_tree_add_item(tree, hf[FIELD_SEQUENCE], plain, 0, 7, ENC_BIG_ENDIAN);
    proto_tree_add_uint(tree, hf[FIELD_DIRECTION], plain, 7, 1, datagram->from_debugger);
    proto_tree_add_uint(tree, hf[FIELD_PAD_SIZE], plain, 7, 1, whole - (guint)(at + size));
    if (datagram->channel == KDNET_DATA) {
        guint32 frame = key_at(session_keys, opened->key - 1)->frame;
        proto_item_set_generated(
            proto_tree_add_uint(tree, hf[FIELD_SESSION_IN], plain, 0, 0, frame));
    }
    if (whole > (guint)(at + size))
        proto_tree_add_item(tree, hf[FIELD_PADDING], plain, at + size, (int)whole - at - size,
                            ENC_NA);
    if (datagram->channel == KDNET_CONTROL) {
        add_control(tree, plain, pinfo, at, size, datagram);
    } else if (is_connection_check(datagram)) {
        add_connection_check(tree, plain, pinfo, at);
    } else if (size > 0) {
        kd_dissect_datagram(tvb_new_subset_length(plain, at, size), pinfo, root,
                            kd_conversation_of(pinfo),
                            datagram->from_debugger ? KD_TO_TARGET : KD_TO_DEBUGGER);
    }
}

static void tell_failure(proto_item *top, packet_info *pinfo,
                         const struct kdnet_conversation *conversation, bool control)
{
    unsigned expert = control ? EXPERT_WRONG_KEY : EXPERT_NOT_AUTHENTIC;
    if (!control_keys->len)
        expert = EXPERT_NO_KEY;
    else if (!control && !session_keys->len)
        expert = conversation->control ? EXPERT_NO_SESSION : EXPERT_WRONG_KEY;
    static const char *const words[] = {
        [EXPERT_NO_KEY] = "encrypted, no key is set",
        [EXPERT_WRONG_KEY] = "encrypted, no key fits",
        [EXPERT_NO_SESSION] = "encrypted, no session key yet",
        [EXPERT_NOT_AUTHENTIC] = "not authentic",
    };
    col_add_fstr(pinfo->cinfo, COL_INFO, "%s: %s", control ? "control" : "data", words[expert]);
    expert_add_info(pinfo, top, &expert_of[expert]);
}

static int dissect_kdnet(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data)
{
    (void)data;
    int size = (int)tvb_captured_length(tvb);
    struct opened opened = {.size = (size_t)size};
    if (tvb_reported_length(tvb) != (guint)size)
        return 0; /* cut by the capture: cannot be opened */
    opened.bytes = tvb_get_ptr(tvb, 0, size);
    if (kdnet_check_clear(opened.bytes, opened.size) < 0)
        return 0;
    struct kdnet_conversation *conversation = kdnet_conversation_of(pinfo);
    bool control = kdnet_is_control(opened.bytes);
    opened.plain = wmem_alloc(pinfo->pool, KDNET_DATAGRAM_MAX);
    col_set_str(pinfo->cinfo, COL_PROTOCOL, "KDNET");
    col_clear(pinfo->cinfo, COL_INFO);

    proto_item *top = proto_tree_add_item(tree, proto_kdnet, tvb, 0, size, ENC_NA);
    proto_tree *own = proto_item_add_subtree(top, ett_kdnet);
    int text = size - KDNET_CLEAR_SIZE - KDNET_TAG_SIZE;
    proto_tree_add_item(own, hf[FIELD_MAGIC], tvb, 0, 4, ENC_ASCII);
    proto_tree_add_item(own, hf[FIELD_VERSION], tvb, 4, 1, ENC_NA);
    proto_tree_add_item(own, hf[FIELD_CHANNEL], tvb, 5, 1, ENC_NA);
    proto_tree_add_item(own, hf[FIELD_ENCRYPTED], tvb, KDNET_CLEAR_SIZE, text, ENC_NA);
    proto_tree_add_item(own, hf[FIELD_TAG], tvb, size - KDNET_TAG_SIZE, KDNET_TAG_SIZE, ENC_NA);
    if (key_problem->len)
        expert_add_info_format(pinfo, top, &expert_of[EXPERT_BAD_KEY], "%s", key_problem->str);
    bool good = open_datagram(conversation, pinfo, &opened);
    if (good || control_keys->len)
        proto_item_set_generated(proto_tree_add_boolean(own, hf[FIELD_AUTHENTIC], tvb, 0, 0, good));
    if (!good) {
        tell_failure(top, pinfo, conversation, control);
        return size;
    }
    if (frame_of(pinfo)->replay)
        expert_add_info(pinfo, top, &expert_of[EXPERT_REPLAY]);
    add_plain(own, tree, tvb, pinfo, &opened);
    return size;
}

static ws_bool is_kdnet(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data)
{
    if (tvb_captured_length(tvb) < 4 || tvb_memeql(tvb, 0, (const guint8 *)KDNET_MAGIC, 4) != 0)
        return FALSE;
    return dissect_kdnet(tvb, pinfo, tree, data) > 0;
}

/* ---- registration ---- */

static void register_fields(void)
{
    static hf_register_info fields[] = {
#define FIELD_ENTRY(name, filter, title, type, display, strings)                                   \
    {&hf[FIELD_##name], {title, filter, type, display, strings, 0, NULL, HFILL}},
        FIELDS(FIELD_ENTRY)};
    static int *etts[] = {&ett_kdnet, &ett_payload};
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        hf[i] = -1;
    proto_register_field_array(proto_kdnet, fields, (int)G_N_ELEMENTS(fields));
    proto_register_subtree_array(etts, (int)G_N_ELEMENTS(etts));
    static ei_register_info experts[] = {
#define EXPERT_FIELD(name, filter, group, severity, text)                                          \
    {&expert_of[EXPERT_##name], {filter, group, severity, text, EXPFILL}},
        EXPERTS(EXPERT_FIELD)};
    for (unsigned i = 0; i < EXPERT_COUNT; i++)
        expert_of[i] = (expert_field)EI_INIT;
    expert_register_field_array(expert_register_protocol(proto_kdnet), experts,
                                (int)G_N_ELEMENTS(experts));
}

static void *copy_entry(void *to, const void *from, size_t size)
{
    struct key_entry *copy = to;
    const struct key_entry *entry = from;
    (void)size;
    copy->port = entry->port;
    copy->key = g_strdup(entry->key);
    return copy;
}

static void free_entry(void *entry)
{
    g_free(((struct key_entry *)entry)->key);
}

static void register_preferences(void)
{
    static uat_field_t fields[] = {
        UAT_FLD_DEC(key_entries, port, "Port", "UDP port of either end; 0: any"),
        UAT_FLD_CSTRING(key_entries, key, "Key", "w.x.y.z, as bcdedit /dbgsettings shows it"),
        UAT_END_FIELDS};
    uat_t *table = uat_new("KDNET keys", sizeof(struct key_entry), "kdnet_keys", TRUE, &key_entries,
                           &key_entry_count, UAT_AFFECTS_DISSECTION, NULL, copy_entry, NULL,
                           free_entry, read_keys, NULL, fields);
    module_t *module = prefs_register_protocol(proto_kdnet, read_keys);
    prefs_register_string_preference(
        module, "key", "Keys",
        "w.x.y.z as bcdedit /dbgsettings shows it; several are separated by blanks. Anyone who "
        "reads the preferences file can read them.",
        &key_text);
    prefs_register_uat_preference(module, "keys", "Keys by port", "For several targets", table);
    prefs_register_filename_preference(
        module, "key_file", "Key file",
        "One key on a line, with its port before it if it has one: \"50000 1.2.3.4\"; # begins a "
        "remark",
        &key_file, FALSE);
}

void kdnet_register(void)
{
    proto_kdnet = proto_register_protocol("Kernel Debugger over Network", "KDNET", "kdnet");
    register_fields();
    register_preferences();
    register_init_routine(forget_sessions);
    kdnet_handle = register_dissector("kdnet", dissect_kdnet, proto_kdnet);
#if WIRESHARK_AT_LEAST(4, 4)
    secrets_register_type(KDNET_SECRETS_TYPE, read_secrets);
#endif
}

void kdnet_handoff(void)
{
    read_keys();
    dissector_add_for_decode_as_with_preference("udp.port", kdnet_handle);
    heur_dissector_add("udp", is_kdnet, "KDNET", "kdnet_udp", proto_kdnet, HEURISTIC_ENABLE);
}
