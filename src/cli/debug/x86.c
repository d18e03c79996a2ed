/* SPDX-License-Identifier: BSD-2-Clause */
#include "debug/x86.h"

#include <stdbool.h>
#include <string.h>

#include "kdwire/error.h"

/* What follows an opcode, one letter per opcode, 16 per row:
 *   .  nothing      m  ModRM            b  imm8         B  ModRM, imm8
 *   z  imm32 (16)   Z  ModRM, imm32     w  imm16        q  imm32, or 64 with REX.W
 *   r  rel32        a  address (64)     e  imm16, imm8  t  ModRM; imm8 if reg is 0 or 1
 *   T  ModRM; imm32 if reg is 0 or 1    -  no instruction in 64-bit mode   p  handled before */
static const char one_byte[] = "mmmmbz--mmmmbz-p" /* 00 */
                               "mmmmbz--mmmmbz--" /* 10 */
                               "mmmmbzp-mmmmbzp-" /* 20 */
                               "mmmmbzp-mmmmbzp-" /* 30 */
                               "pppppppppppppppp" /* 40: REX */
                               "................" /* 50 */
                               "--pmppppzZbB...." /* 60 */
                               "bbbbbbbbbbbbbbbb" /* 70 */
                               "BZ-Bmmmmmmmmmmmm" /* 80 */
                               "..........-....." /* 90 */
                               "aaaa....bz......" /* A0 */
                               "bbbbbbbbqqqqqqqq" /* B0 */
                               "BBw.ppBZe.w..b-." /* C0 */
                               "mmmm---.mmmmmmmm" /* D0 */
                               "bbbbbbbbrr-b...." /* E0 */
                               "p.pp..tT......mm" /* F0 */;

static const char two_byte[] = "mmmm-.....-.-m.B" /* 00 */
                               "mmmmmmmmmmmmmmmm" /* 10 */
                               "mmmm----mmmmmmmm" /* 20 */
                               "........p-p-----" /* 30 */
                               "mmmmmmmmmmmmmmmm" /* 40 */
                               "mmmmmmmmmmmmmmmm" /* 50 */
                               "mmmmmmmmmmmmmmmm" /* 60 */
                               "BBBBmmm.mmmmmmmm" /* 70 */
                               "rrrrrrrrrrrrrrrr" /* 80 */
                               "mmmmmmmmmmmmmmmm" /* 90 */
                               "...mBm--...mBmmm" /* A0 */
                               "mmmmmmmmmmBmmmmm" /* B0 */
                               "mmBmBBBm........" /* C0 */
                               "mmmmmmmmmmmmmmmm" /* D0 */
                               "mmmmmmmmmmmmmmmm" /* E0 */
                               "mmmmmmmmmmmmmmmm" /* F0 */;

struct cursor {
    const uint8_t *code;
    size_t size, at;
    bool operand16, wide, repeat;
};

static bool take(struct cursor *c, uint8_t *byte)
{
    if (c->at >= c->size || c->at >= X86_LENGTH_MAX)
        return false;
    *byte = c->code[c->at++];
    return true;
}

static bool skip(struct cursor *c, size_t count)
{
    size_t limit = c->size < X86_LENGTH_MAX ? c->size : X86_LENGTH_MAX;
    if (count > limit - c->at)
        return false;
    c->at += count;
    return true;
}

static bool modrm(struct cursor *c, uint8_t *reg)
{
    uint8_t byte, sib = 0;
    if (!take(c, &byte))
        return false;
    *reg = byte >> 3 & 7;
    unsigned mod = byte >> 6, rm = byte & 7;
    if (mod == 3)
        return true;
    if (rm == 4 && !take(c, &sib))
        return false;
    if (mod == 1)
        return skip(c, 1);
    if (mod == 2)
        return skip(c, 4);
    bool displacement = rm == 5 || (rm == 4 && (sib & 7) == 5);
    return skip(c, displacement ? 4 : 0);
}

static bool operands(struct cursor *c, char form, uint8_t *reg)
{
    size_t z = c->operand16 && !c->wide ? 2 : 4;
    *reg = 0xFF;
    if (form == 'm' || form == 'B' || form == 'Z' || form == 't' || form == 'T') {
        if (!modrm(c, reg))
            return false;
    }
    switch (form) {
    case 'b':
    case 'B':
        return skip(c, 1);
    case 'z':
    case 'Z':
        return skip(c, z);
    case 'w':
        return skip(c, 2);
    case 'q':
        return skip(c, c->wide ? 8 : z);
    case 'r':
        return skip(c, 4);
    case 'a':
        return skip(c, 8);
    case 'e':
        return skip(c, 3);
    case 't':
        return skip(c, *reg < 2 ? 1 : 0);
    case 'T':
        return skip(c, *reg < 2 ? z : 0);
    default:
        return true;
    }
}

static enum x86_kind kind_one(const struct cursor *c, uint8_t opcode, uint8_t reg)
{
    if (opcode == 0xE8 || (opcode == 0xFF && (reg == 2 || reg == 3)))
        return X86_CALL;
    if (opcode == 0xC2 || opcode == 0xC3 || opcode == 0xCA || opcode == 0xCB || opcode == 0xCF)
        return X86_RETURN;
    if ((opcode >= 0x70 && opcode <= 0x7F) || (opcode >= 0xE0 && opcode <= 0xE3) ||
        opcode == 0xE9 || opcode == 0xEB || (opcode == 0xFF && (reg == 4 || reg == 5)))
        return X86_JUMP;
    if (opcode == 0xCC || opcode == 0xCD || opcode == 0xF1)
        return X86_INT;
    bool string = (opcode >= 0x6C && opcode <= 0x6F) || (opcode >= 0xA4 && opcode <= 0xA7) ||
                  (opcode >= 0xAA && opcode <= 0xAF);
    return string && c->repeat ? X86_REPEAT : X86_OTHER;
}

static enum x86_kind kind_two(uint8_t opcode)
{
    if (opcode >= 0x80 && opcode <= 0x8F)
        return X86_JUMP;
    return opcode == 0x05 || opcode == 0x34 ? X86_INT : X86_OTHER;
}

/* The escape bytes' opcode maps 1 to 3 in VEX and EVEX form: always ModRM but for vzeroupper. */
static bool vector(struct cursor *c, unsigned map, uint8_t opcode)
{
    uint8_t reg;
    if (map == 1 && opcode == 0x77)
        return true;
    if (!modrm(c, &reg))
        return false;
    bool imm = map == 3 || (map == 1 && two_byte[opcode] == 'B');
    return skip(c, imm ? 1 : 0);
}

static bool vector_prefix(struct cursor *c, uint8_t first, bool *good)
{
    uint8_t p[3] = {0}, opcode;
    size_t count = first == 0xC5 ? 1 : first == 0xC4 ? 2 : 3;
    for (size_t i = 0; i < count; i++) {
        if (!take(c, &p[i]))
            return false;
    }
    unsigned map = first == 0xC5 ? 1 : first == 0xC4 ? p[0] & 0x1F : p[0] & 7;
    if (!take(c, &opcode))
        return false;
    *good = map >= 1 && map <= 6;
    return vector(c, map, opcode);
}

static bool prefixes(struct cursor *c, uint8_t *opcode)
{
    for (;;) {
        if (!take(c, opcode))
            return false;
        switch (*opcode) {
        case 0x66:
            c->operand16 = true;
            break;
        case 0xF2:
        case 0xF3:
            c->repeat = true;
            break;
        case 0x26:
        case 0x2E:
        case 0x36:
        case 0x3E:
        case 0x64:
        case 0x65:
        case 0x67:
        case 0xF0:
            break;
        default:
            return true;
        }
    }
}

static bool escape(struct cursor *c, enum x86_kind *kind, bool *good)
{
    uint8_t opcode, reg;
    if (!take(c, &opcode))
        return false;
    if (opcode == 0x38 || opcode == 0x3A) {
        uint8_t third;
        return take(c, &third) && operands(c, opcode == 0x38 ? 'm' : 'B', &reg);
    }
    *good = two_byte[opcode] != '-';
    *kind = kind_two(opcode);
    return operands(c, two_byte[opcode], &reg);
}

int x86_decode(struct x86_instruction *instruction, const uint8_t *code, size_t size)
{
    struct cursor c = {code, size, 0, false, false, false};
    uint8_t opcode, reg;
    bool good = true, whole;
    enum x86_kind kind = X86_OTHER;
    if (!prefixes(&c, &opcode))
        goto cut;
    if ((opcode & 0xF0) == 0x40) {
        c.wide = (opcode & 8) != 0;
        if (!take(&c, &opcode))
            goto cut;
    }
    if (opcode == 0x0F) {
        whole = escape(&c, &kind, &good);
    } else if (opcode == 0xC4 || opcode == 0xC5 || opcode == 0x62) {
        whole = vector_prefix(&c, opcode, &good);
    } else {
        good = one_byte[opcode] != '-' && one_byte[opcode] != 'p';
        whole = operands(&c, one_byte[opcode], &reg);
        kind = kind_one(&c, opcode, reg);
    }
    if (!good)
        return KD_E_FORMAT;
    if (!whole)
        goto cut;
    instruction->length = (unsigned)c.at;
    instruction->kind = kind;
    return KD_OK;
cut:
    return size >= X86_LENGTH_MAX ? KD_E_FORMAT : KD_E_TRUNCATED;
}
