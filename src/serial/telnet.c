/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An option, for each side (RFC 1143 without taking back, which we never do):
 *   state   the peer agrees                     the peer refuses
 *   no      we can: agree, yes; else refuse     -
 *   asked   yes                                 no
 *   yes     -                                   confirm, no
 *
 * What is received:
 *   state    byte                   next     what happens
 *   data     IAC                    iac
 *   data     CR, lines              cr       CR is data
 *   data     any other              data     it is data
 *   cr       NUL                    data     left out
 *   cr       any other              as data
 *   iac      IAC                    data     FF is data
 *   iac      WILL WONT DO DONT      verb
 *   iac      SB                     sub
 *   iac      BRK                    data     break
 *   iac      any other              data     left out
 *   verb     any                    data     the option's table above
 *   sub      IAC                    sub iac
 *   sub      any other              sub      collected
 *   sub iac  IAC                    sub      FF is collected
 *   sub iac  SE                     data     the collected is obeyed
 *   sub iac  any other              as iac   no SE came: what was collected is left out
 */
#include "serial/telnet.h"

#include <string.h>

#include "serial/codes.h"

/* RFC 854 */
enum { SE = 240, BRK = 243, SB = 250, WILL = 251, WONT = 252, DO = 253, DONT = 254, IAC = 255 };
enum { NUL = 0, CR = 13 };

enum state { STATE_DATA, STATE_CR, STATE_IAC, STATE_VERB, STATE_SUB, STATE_SUB_IAC };

/* RFC 2217: commands; the serving side's are 100 higher. */
enum {
    SIGNATURE,
    SET_BAUDRATE,
    SET_DATASIZE,
    SET_PARITY,
    SET_STOPSIZE,
    SET_CONTROL,
    NOTIFY_LINESTATE,
    NOTIFY_MODEMSTATE,
    FLOWCONTROL_SUSPEND,
    FLOWCONTROL_RESUME,
    SET_LINESTATE_MASK,
    SET_MODEMSTATE_MASK,
    PURGE_DATA,
    FROM_SERVER = 100,
};

/* SET_CONTROL's values; each group begins with the question for its state. */
enum {
    CONTROL_FLOW = 0, /* enum telnet_flow follows */
    CONTROL_BREAK = 4,
    CONTROL_DTR = 7,
    CONTROL_RTS = 10,
    CONTROL_FLOW_IN = 13,
    CONTROL_FLOW_IN_NONE = 14,
    CONTROL_ON = 1, /* after a question; off is one more */
    CONTROL_OFF = 2,
};

/* NOTIFY_LINESTATE: overrun, parity, framing, break. */
enum { LINE_OVERRUN = 2, LINE_PARITY = 4, LINE_FRAMING = 8, LINE_BREAK = 16, LINE_ALL = 30 };

static const uint8_t option_codes[TELNET_OPTIONS] = {0, 1, 3, 44};

static void put(struct telnet *t, const uint8_t *bytes, size_t size)
{
    if (size > sizeof(t->output) - t->output_size)
        return; /* cannot be: telnet_decode and telnet_set keep TELNET_STEP_MAX free */
    memcpy(t->output + t->output_size, bytes, size);
    t->output_size += size;
}

static void put_verb(struct telnet *t, uint8_t verb, int option)
{
    const uint8_t bytes[] = {IAC, verb, option_codes[option]};
    put(t, bytes, sizeof(bytes));
}

/* One COM port command; COMMAND as the asking side numbers them. */
static void put_command(struct telnet *t, uint8_t command, const uint8_t *value, size_t size)
{
    uint8_t base = t->role == TELNET_SERVES ? FROM_SERVER : 0;
    const uint8_t head[] = {IAC, SB, option_codes[TELNET_COM_PORT], (uint8_t)(command + base)};
    const uint8_t tail[] = {IAC, SE};
    put(t, head, sizeof(head));
    for (size_t i = 0; i < size; i++) {
        const uint8_t pair[] = {value[i], IAC};
        put(t, pair, value[i] == IAC ? 2 : 1);
    }
    put(t, tail, sizeof(tail));
}

static void put_byte(struct telnet *t, uint8_t command, uint8_t value)
{
    put_command(t, command, &value, 1);
}

static void put_baud(struct telnet *t, uint32_t baud)
{
    const uint8_t value[] = {(uint8_t)(baud >> 24), (uint8_t)(baud >> 16), (uint8_t)(baud >> 8),
                             (uint8_t)baud};
    put_command(t, SET_BAUDRATE, value, sizeof(value));
}

bool telnet_has_com_port(const struct telnet *t)
{
    const struct telnet_option *option = &t->options[TELNET_COM_PORT];
    return (t->role == TELNET_ASKS ? option->ours : option->theirs) == TELNET_YES;
}

void telnet_start(struct telnet *t, enum telnet_role role, bool com_port)
{
    static const int both[] = {TELNET_BINARY, TELNET_GO_AHEAD};
    memset(t, 0, sizeof(*t));
    t->role = role;
    t->modem = SERIAL_MODEM_CTS | SERIAL_MODEM_DSR | SERIAL_MODEM_DCD; /* until it tells */
    for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++) {
        t->options[both[i]] = (struct telnet_option){TELNET_ASKED, TELNET_ASKED};
        put_verb(t, WILL, both[i]);
        put_verb(t, DO, both[i]);
    }
    if (!com_port)
        return;
    if (role == TELNET_ASKS)
        t->options[TELNET_COM_PORT].ours = TELNET_ASKED;
    else
        t->options[TELNET_COM_PORT].theirs = TELNET_ASKED;
    put_verb(t, role == TELNET_ASKS ? WILL : DO, TELNET_COM_PORT);
}

/* Our settings to the peer */

static uint8_t stop_code(uint8_t stop)
{
    static const uint8_t codes[] = {1, 3, 2}; /* 1, 1.5, 2 stop bits */
    return stop < sizeof(codes) ? codes[stop] : 1;
}

static uint8_t switch_code(int group, bool on)
{
    return (uint8_t)(group + (on ? CONTROL_ON : CONTROL_OFF));
}

/* Null modem: our DTR is the peer's DSR and carrier, our RTS its CTS. */
static uint8_t crossed(const struct telnet_line *line)
{
    return (uint8_t)((line->dtr ? SERIAL_MODEM_DSR | SERIAL_MODEM_DCD : 0) |
                     (line->rts ? SERIAL_MODEM_CTS : 0));
}

static void notify_modem(struct telnet *t, uint8_t before)
{
    uint8_t now = crossed(&t->line);
    uint8_t changed = (uint8_t)((before ^ now) >> 4);
    if ((before ^ now) & t->modem_mask)
        put_byte(t, NOTIFY_MODEMSTATE, (uint8_t)((now & t->modem_mask) | changed));
}

static void tell_all(struct telnet *t)
{
    const struct telnet_line *line = &t->line;
    if (t->role == TELNET_SERVES) {
        t->modem_mask = 0xFF;
        put_byte(t, NOTIFY_MODEMSTATE, crossed(line));
        return;
    }
    put_byte(t, SET_LINESTATE_MASK, LINE_ALL);
    put_byte(t, SET_MODEMSTATE_MASK, 0xFF);
    put_baud(t, line->baud);
    put_byte(t, SET_DATASIZE, line->bits);
    put_byte(t, SET_PARITY, (uint8_t)(line->parity + 1));
    put_byte(t, SET_STOPSIZE, stop_code(line->stop));
    put_byte(t, SET_CONTROL, line->flow);
    put_byte(t, SET_CONTROL, switch_code(CONTROL_DTR, line->dtr));
    put_byte(t, SET_CONTROL, switch_code(CONTROL_RTS, line->rts));
}

static void tell_changes(struct telnet *t, const struct telnet_line *before)
{
    const struct telnet_line *line = &t->line;
    if (line->baud != before->baud)
        put_baud(t, line->baud);
    if (line->bits != before->bits)
        put_byte(t, SET_DATASIZE, line->bits);
    if (line->parity != before->parity)
        put_byte(t, SET_PARITY, (uint8_t)(line->parity + 1));
    if (line->stop != before->stop)
        put_byte(t, SET_STOPSIZE, stop_code(line->stop));
    if (line->flow != before->flow)
        put_byte(t, SET_CONTROL, line->flow);
    if (line->dtr != before->dtr)
        put_byte(t, SET_CONTROL, switch_code(CONTROL_DTR, line->dtr));
    if (line->rts != before->rts)
        put_byte(t, SET_CONTROL, switch_code(CONTROL_RTS, line->rts));
}

static void tell_break(struct telnet *t)
{
    const uint8_t bytes[] = {IAC, BRK};
    bool on = t->line.breaking;
    if (telnet_has_com_port(t) && t->role == TELNET_ASKS)
        put_byte(t, SET_CONTROL, switch_code(CONTROL_BREAK, on));
    else if (telnet_has_com_port(t) && on && (t->line_mask & LINE_BREAK))
        put_byte(t, NOTIFY_LINESTATE, LINE_BREAK);
    else if (on)
        put(t, bytes, sizeof(bytes));
}

void telnet_set(struct telnet *t, const struct telnet_line *line)
{
    struct telnet_line before = t->line;
    if (sizeof(t->output) - t->output_size < TELNET_STEP_MAX)
        return; /* the peer takes nothing; the next call tells it */
    t->line = *line;
    if (telnet_has_com_port(t)) {
        if (t->role == TELNET_ASKS)
            tell_changes(t, &before);
        else
            notify_modem(t, crossed(&before));
    }
    if (line->breaking != before.breaking)
        tell_break(t);
}

/* The peer's side */

static enum telnet_event agree(struct telnet *t, int option)
{
    if (option != TELNET_COM_PORT || !telnet_has_com_port(t))
        return TELNET_NOTHING;
    tell_all(t);
    return TELNET_AGREED;
}

static bool can(int option, bool ours)
{
    switch (option) {
    case TELNET_BINARY:
    case TELNET_GO_AHEAD:
        return true;
    case TELNET_ECHO: /* terminal servers insist; what comes back is what the line sends */
        return !ours;
    default: /* only where it was asked for, and then there is nothing to agree to */
        return false;
    }
}

static enum telnet_event negotiate(struct telnet *t, uint8_t verb, uint8_t code)
{
    int option = 0;
    bool ours = verb == DO || verb == DONT;
    bool yes = verb == DO || verb == WILL;
    while (option < TELNET_OPTIONS && option_codes[option] != code)
        option++;
    if (option == TELNET_OPTIONS) {
        const uint8_t refusal[] = {IAC, ours ? WONT : DONT, code};
        if (yes)
            put(t, refusal, sizeof(refusal));
        return TELNET_NOTHING;
    }
    uint8_t *answer = ours ? &t->options[option].ours : &t->options[option].theirs;
    uint8_t before = *answer;
    bool agreed = yes && (before != TELNET_NO || can(option, ours));
    *answer = agreed ? TELNET_YES : TELNET_NO;
    if (option == TELNET_BINARY)
        *(ours ? &t->lines_out : &t->lines_in) = !agreed;
    if (before == TELNET_NO && yes)
        put_verb(t, ours ? (agreed ? WILL : WONT) : (agreed ? DO : DONT), option);
    if (before == TELNET_YES && !yes)
        put_verb(t, ours ? WONT : DONT, option);
    return agreed && before != TELNET_YES ? agree(t, option) : TELNET_NOTHING;
}

static uint32_t errors_of(uint8_t state)
{
    return (state & LINE_OVERRUN ? (uint32_t)SERIAL_ERROR_OVERRUN : 0) |
           (state & LINE_PARITY ? (uint32_t)SERIAL_ERROR_PARITY : 0) |
           (state & LINE_FRAMING ? (uint32_t)SERIAL_ERROR_FRAMING : 0) |
           (state & LINE_BREAK ? (uint32_t)SERIAL_ERROR_BREAK : 0);
}

static enum telnet_event set_modem(struct telnet *t, uint32_t lines)
{
    if (t->modem == lines)
        return TELNET_NOTHING;
    t->modem = lines;
    return TELNET_MODEM;
}

static enum telnet_event obey_server(struct telnet *t, uint8_t command, uint8_t value)
{
    switch (command) {
    case NOTIFY_LINESTATE:
        t->errors = errors_of(value);
        return t->errors ? TELNET_ERRORS : TELNET_NOTHING;
    case NOTIFY_MODEMSTATE:
        return set_modem(t, value & SERIAL_MODEM_LINES);
    default:
        return TELNET_NOTHING; /* what it made of our settings; there is nothing we could do */
    }
}

static enum telnet_event set_line(struct telnet *t, uint32_t lines, bool up)
{
    return set_modem(t, up ? t->modem | lines : t->modem & ~lines);
}

/* The peer's SET_CONTROL; answered with the state that holds now. */
static enum telnet_event obey_control(struct telnet *t, uint8_t value)
{
    enum telnet_event event = TELNET_NOTHING;
    const uint32_t dtr = SERIAL_MODEM_DSR | SERIAL_MODEM_DCD;
    const uint32_t rts = SERIAL_MODEM_CTS;
    uint8_t state = value;
    if (value == CONTROL_FLOW)
        state = TELNET_FLOW_NONE;
    else if (value == CONTROL_BREAK)
        state = CONTROL_BREAK + CONTROL_OFF;
    else if (value == CONTROL_DTR)
        state = switch_code(CONTROL_DTR, t->modem & SERIAL_MODEM_DSR);
    else if (value == CONTROL_RTS)
        state = switch_code(CONTROL_RTS, t->modem & rts);
    else if (value == CONTROL_FLOW_IN)
        state = CONTROL_FLOW_IN_NONE;
    else if (value == CONTROL_BREAK + CONTROL_ON)
        event = TELNET_BREAK;
    else if (value == CONTROL_DTR + CONTROL_ON || value == CONTROL_DTR + CONTROL_OFF)
        event = set_line(t, dtr, value == CONTROL_DTR + CONTROL_ON);
    else if (value == CONTROL_RTS + CONTROL_ON || value == CONTROL_RTS + CONTROL_OFF)
        event = set_line(t, rts, value == CONTROL_RTS + CONTROL_ON);
    put_byte(t, SET_CONTROL, state);
    return event;
}

/* A virtual line has every rate and size; 0 asks for ours. */
static enum telnet_event obey_client(struct telnet *t, uint8_t command, const uint8_t *value,
                                     size_t size)
{
    static const uint8_t name[] = "kdwire";
    uint8_t now[PURGE_DATA + 1] = {0};
    now[SET_DATASIZE] = t->line.bits;
    now[SET_PARITY] = (uint8_t)(t->line.parity + 1);
    now[SET_STOPSIZE] = stop_code(t->line.stop);
    if (command == SIGNATURE && !size)
        put_command(t, SIGNATURE, name, sizeof(name) - 1);
    if (!size)
        return TELNET_NOTHING;
    switch (command) {
    case SET_BAUDRATE:
        if (size < 4)
            break;
        if (value[0] | value[1] | value[2] | value[3])
            put_command(t, SET_BAUDRATE, value, 4);
        else
            put_baud(t, t->line.baud);
        break;
    case SET_CONTROL:
        return obey_control(t, value[0]);
    case SET_LINESTATE_MASK:
        t->line_mask = value[0];
        put_byte(t, command, value[0]);
        break;
    case SET_MODEMSTATE_MASK:
        t->modem_mask = value[0];
        put_byte(t, command, value[0]);
        break;
    case SET_DATASIZE:
    case SET_PARITY:
    case SET_STOPSIZE:
    case PURGE_DATA: /* nothing waits on our side of the wire */
        put_byte(t, command, value[0] ? value[0] : now[command]);
        break;
    default:
        break;
    }
    return TELNET_NOTHING;
}

/*
 * A peer that uses the option has agreed to it, even if it never said so: python3-serial's client
 * takes our question, if that comes early, for the answer to its own, which it then never sends.
 */
static bool agrees_by_use(struct telnet *t)
{
    struct telnet_option *option = &t->options[TELNET_COM_PORT];
    uint8_t *answer = t->role == TELNET_ASKS ? &option->ours : &option->theirs;
    if (*answer == TELNET_ASKED) {
        *answer = TELNET_YES;
        tell_all(t);
    }
    return *answer == TELNET_YES;
}

static enum telnet_event obey(struct telnet *t)
{
    if (t->sub_size < 2 || t->sub[0] != option_codes[TELNET_COM_PORT] || !agrees_by_use(t))
        return TELNET_NOTHING;
    uint8_t base = t->role == TELNET_ASKS ? FROM_SERVER : 0;
    if (t->sub[1] < base || t->sub[1] - base > PURGE_DATA)
        return TELNET_NOTHING;
    uint8_t command = (uint8_t)(t->sub[1] - base);
    if (command == FLOWCONTROL_SUSPEND || command == FLOWCONTROL_RESUME)
        t->suspended = command == FLOWCONTROL_SUSPEND;
    if (t->role == TELNET_SERVES)
        return obey_client(t, command, t->sub + 2, t->sub_size - 2);
    return t->sub_size > 2 ? obey_server(t, command, t->sub[2]) : TELNET_NOTHING;
}

static void collect(struct telnet *t, uint8_t byte)
{
    if (t->sub_size < sizeof(t->sub))
        t->sub[t->sub_size++] = byte;
}

static enum telnet_event take_command(struct telnet *t, uint8_t byte)
{
    t->state = STATE_DATA;
    if (byte >= WILL && byte <= DONT) {
        t->verb = byte;
        t->state = STATE_VERB;
    } else if (byte == SB) {
        t->sub_size = 0;
        t->state = STATE_SUB;
    }
    return byte == BRK ? TELNET_BREAK : TELNET_NOTHING;
}

/* One byte; true: it is data. */
static bool take(struct telnet *t, uint8_t byte, enum telnet_event *event)
{
    switch (t->state) {
    case STATE_IAC:
        if (byte != IAC) {
            *event = take_command(t, byte);
            return false;
        }
        t->state = STATE_DATA;
        return true;
    case STATE_VERB:
        t->state = STATE_DATA;
        *event = negotiate(t, t->verb, byte);
        return false;
    case STATE_SUB:
        if (byte == IAC)
            t->state = STATE_SUB_IAC;
        else
            collect(t, byte);
        return false;
    case STATE_SUB_IAC:
        if (byte == IAC) {
            collect(t, byte);
            t->state = STATE_SUB;
        } else if (byte == SE) {
            t->state = STATE_DATA;
            *event = obey(t);
        } else {
            *event = take_command(t, byte);
        }
        return false;
    default: {
        bool after_cr = t->state == STATE_CR;
        t->state = byte == IAC ? STATE_IAC : byte == CR && t->lines_in ? STATE_CR : STATE_DATA;
        return byte != IAC && !(after_cr && byte == NUL);
    }
    }
}

/* Most bytes are data and nothing else: how many from the first on. */
static size_t plain_run(const struct telnet *t, const uint8_t *in, size_t size)
{
    if (t->state != STATE_DATA || t->lines_in)
        return 0;
    const uint8_t *iac = memchr(in, IAC, size);
    return iac ? (size_t)(iac - in) : size;
}

size_t telnet_decode(struct telnet *t, const uint8_t *in, size_t size, uint8_t *out, size_t *data,
                     enum telnet_event *event)
{
    size_t at = 0;
    *data = 0;
    *event = TELNET_NOTHING;
    while (at < size && *event == TELNET_NOTHING) {
        size_t run = plain_run(t, in + at, size - at);
        memmove(out + *data, in + at, run);
        *data += run;
        at += run;
        if (at == size || sizeof(t->output) - t->output_size < TELNET_STEP_MAX)
            break;
        uint8_t byte = in[at++];
        if (take(t, byte, event))
            out[(*data)++] = byte;
    }
    return at;
}

size_t telnet_output(const struct telnet *t, const uint8_t **bytes)
{
    *bytes = t->output;
    return t->output_size;
}

void telnet_sent(struct telnet *t, size_t size)
{
    t->output_size -= size;
    memmove(t->output, t->output + size, t->output_size);
}

static size_t encoded_size(const struct telnet *t, uint8_t byte)
{
    return byte == IAC || (byte == CR && t->lines_out) ? 2 : 1;
}

size_t telnet_encode(const struct telnet *t, const uint8_t *in, size_t size, uint8_t *out)
{
    size_t at = 0;
    for (size_t i = 0; i < size; i++) {
        out[at++] = in[i];
        if (encoded_size(t, in[i]) == 2)
            out[at++] = in[i] == IAC ? IAC : NUL;
    }
    return at;
}

size_t telnet_plain(struct telnet *t, const uint8_t *in, size_t size, size_t sent)
{
    size_t i = 0;
    while (i < size && sent) {
        size_t need = encoded_size(t, in[i]);
        if (need > sent) { /* a pair is cut: its second half goes out before anything else */
            const uint8_t rest = in[i] == IAC ? IAC : NUL;
            put(t, &rest, 1);
            sent = need;
        }
        sent -= need;
        i++;
    }
    return i;
}
