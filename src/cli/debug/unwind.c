/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Source: the x64 exception handling chapter of the public Microsoft C++ documentation
 * (RUNTIME_FUNCTION, UNWIND_INFO, UNWIND_CODE).
 */
#include "debug/unwind.h"

#include "kdwire/wire.h"

enum {
    PUSH_NONVOL = 0,
    ALLOC_LARGE = 1,
    ALLOC_SMALL = 2,
    SET_FPREG = 3,
    SAVE_NONVOL = 4,
    SAVE_NONVOL_FAR = 5,
    EPILOG = 6,
    SAVE_XMM128 = 8,
    SAVE_XMM128_FAR = 9,
    PUSH_MACHFRAME = 10,

    FLAG_CHAININFO = 4,
    FUNCTION_SIZE = 12, /* RUNTIME_FUNCTION */
    /* An exception table of more bytes than any image's code could need is a lie. */
    TABLE_MAX = 64 * 1024 * 1024,
};

struct function {
    uint32_t begin, end, info;
};

static bool read64(const struct unwind_memory *m, uint64_t address, uint64_t *value)
{
    uint8_t bytes[8];
    if (!m->read(m->context, address, bytes, sizeof bytes))
        return false;
    *value = kd_get_u64(bytes);
    return true;
}

static bool exception_table(const struct unwind_memory *m, uint64_t base, uint32_t *rva,
                            uint32_t *size)
{
    enum { DIRECTORY = 24 + 112 + 3 * 8, OPTIONAL_MAGIC = 24, COUNT = 24 + 108 };
    uint8_t dos[64], nt[DIRECTORY + 8];
    if (!m->read(m->context, base, dos, sizeof dos) || dos[0] != 'M' || dos[1] != 'Z')
        return false;
    uint32_t at = kd_get_u32(dos + 0x3C);
    if (at > 0x10000 || !m->read(m->context, base + at, nt, sizeof nt))
        return false;
    if (kd_get_u32(nt) != 0x4550 || kd_get_u16(nt + OPTIONAL_MAGIC) != 0x20B ||
        kd_get_u32(nt + COUNT) < 4)
        return false;
    *rva = kd_get_u32(nt + DIRECTORY);
    *size = kd_get_u32(nt + DIRECTORY + 4);
    return *rva != 0 && *size >= FUNCTION_SIZE && *size <= TABLE_MAX;
}

static bool read_function(const struct unwind_memory *m, uint64_t address, struct function *f)
{
    uint8_t bytes[FUNCTION_SIZE];
    if (!m->read(m->context, address, bytes, sizeof bytes))
        return false;
    f->begin = kd_get_u32(bytes);
    f->end = kd_get_u32(bytes + 4);
    f->info = kd_get_u32(bytes + 8);
    return true;
}

/* Binary search; 1 found, 0 no entry (a leaf function), -1 memory not readable. */
static int find_function(const struct unwind_memory *m, uint64_t base, uint32_t rva, uint32_t size,
                         uint32_t pc, struct function *f)
{
    uint32_t low = 0, high = size / FUNCTION_SIZE;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (!read_function(m, base + rva + (uint64_t)middle * FUNCTION_SIZE, f))
            return -1;
        if (pc < f->begin)
            high = middle;
        else if (pc >= f->end)
            low = middle + 1;
        else
            return 1;
    }
    return 0;
}

struct info {
    unsigned version, flags, prolog, count, frame_register, frame_offset;
    uint8_t codes[512];
    struct function parent; /* FLAG_CHAININFO */
};

static bool read_info(const struct unwind_memory *m, uint64_t address, struct info *info)
{
    uint8_t head[4];
    if (!m->read(m->context, address, head, sizeof head))
        return false;
    info->version = head[0] & 7;
    info->flags = head[0] >> 3;
    info->prolog = head[1];
    info->count = head[2];
    info->frame_register = head[3] & 15;
    info->frame_offset = head[3] >> 4;
    if (info->version < 1 || info->version > 2)
        return false;
    if (info->count > 0 && !m->read(m->context, address + 4, info->codes, 2 * info->count))
        return false;
    uint64_t behind = address + 4 + 2 * (uint64_t)((info->count + 1) & ~1u);
    return (info->flags & FLAG_CHAININFO) == 0 || read_function(m, behind, &info->parent);
}

static unsigned slots_of(unsigned operation, unsigned argument)
{
    switch (operation) {
    case ALLOC_LARGE:
        return argument == 0 ? 2 : 3;
    case SAVE_NONVOL:
    case SAVE_XMM128:
    case EPILOG:
        return 2;
    case SAVE_NONVOL_FAR:
    case SAVE_XMM128_FAR:
    case 7: /* spare */
        return 3;
    default:
        return 1;
    }
}

static bool apply_code(const struct unwind_memory *m, struct unwind_frame *f,
                       const struct info *info, unsigned i, uint64_t frame_base, bool *machine)
{
    const uint8_t *code = info->codes + 2 * i;
    unsigned operation = code[1] & 15, argument = code[1] >> 4;
    uint64_t *rsp = &f->registers[UNWIND_RSP];
    if (slots_of(operation, argument) > info->count - i)
        return false;
    switch (operation) {
    case PUSH_NONVOL:
        if (!read64(m, *rsp, &f->registers[argument]))
            return false;
        if (argument != UNWIND_RSP)
            *rsp += 8;
        return true;
    case ALLOC_LARGE:
        *rsp += argument == 0 ? 8ull * kd_get_u16(code + 2) : kd_get_u32(code + 2);
        return true;
    case ALLOC_SMALL:
        *rsp += 8ull * argument + 8;
        return true;
    case SET_FPREG:
        *rsp = f->registers[info->frame_register] - 16ull * info->frame_offset;
        return true;
    case SAVE_NONVOL:
        return read64(m, frame_base + 8ull * kd_get_u16(code + 2), &f->registers[argument]);
    case SAVE_NONVOL_FAR:
        return read64(m, frame_base + kd_get_u32(code + 2), &f->registers[argument]);
    case PUSH_MACHFRAME: {
        uint64_t at = *rsp + (argument != 0 ? 8 : 0);
        *machine = true;
        return read64(m, at, &f->rip) && read64(m, at + 24, rsp);
    }
    default:
        return true; /* XMM registers, epilogs: nothing that the walk needs */
    }
}

static bool apply_codes(const struct unwind_memory *m, struct unwind_frame *f,
                        const struct info *info, uint32_t offset, bool *machine)
{
    uint64_t base = f->registers[UNWIND_RSP];
    bool in_prolog = offset < info->prolog;
    if (info->frame_register != 0) {
        for (unsigned i = 0; i < info->count;
             i += slots_of(info->codes[2 * i + 1] & 15, info->codes[2 * i + 1] >> 4)) {
            if ((info->codes[2 * i + 1] & 15) == SET_FPREG &&
                (!in_prolog || info->codes[2 * i] <= offset))
                base = f->registers[info->frame_register] - 16ull * info->frame_offset;
        }
    }
    for (unsigned i = 0; i < info->count;
         i += slots_of(info->codes[2 * i + 1] & 15, info->codes[2 * i + 1] >> 4)) {
        if (in_prolog && info->codes[2 * i] > offset)
            continue; /* that instruction has not run yet */
        if (!apply_code(m, f, info, i, base, machine))
            return false;
        if (*machine)
            return true;
    }
    return true;
}

/*
 * In an epilog the prolog's codes do not hold any more. An epilog is [add rsp, n | lea rsp,
 * [reg+n]] pop... ret or jmp: if the code from PC on is just that, its effect is simple.
 */
static bool step_epilog(const struct unwind_memory *m, struct unwind_frame *frame)
{
    enum { PEEK = 32 };
    uint8_t code[PEEK];
    if (!m->read(m->context, frame->rip, code, sizeof code))
        return false;
    struct unwind_frame f = *frame;
    uint64_t *rsp = &f.registers[UNWIND_RSP];
    size_t at = 0;
    if (code[0] == 0x48 && code[1] == 0x83 && code[2] == 0xC4) {
        *rsp += (uint64_t)(int64_t)(int8_t)code[3];
        at = 4;
    } else if (code[0] == 0x48 && code[1] == 0x81 && code[2] == 0xC4) {
        *rsp += (uint64_t)(int64_t)(int32_t)kd_get_u32(code + 3);
        at = 7;
    }
    while (at < PEEK - 3) {
        unsigned extra = code[at] == 0x41 ? 8 : 0;
        uint8_t opcode = code[at + (extra != 0)];
        if (opcode < 0x58 || opcode > 0x5F)
            break;
        if (!read64(m, *rsp, &f.registers[(opcode - 0x58u) + extra]))
            return false;
        *rsp += 8;
        at += extra != 0 ? 2 : 1;
    }
    if (code[at] != 0xC3 && code[at] != 0xC2 && !(code[at] == 0xF3 && code[at + 1] == 0xC3))
        return false;
    if (!read64(m, *rsp, &f.rip))
        return false;
    *rsp += 8;
    *frame = f;
    return true;
}

static bool step_return(const struct unwind_memory *m, struct unwind_frame *f)
{
    if (!read64(m, f->registers[UNWIND_RSP], &f->rip))
        return false;
    f->registers[UNWIND_RSP] += 8;
    return true;
}

static bool step_function(const struct unwind_memory *m, struct unwind_frame *frame, uint64_t base,
                          struct function function)
{
    struct unwind_frame f = *frame;
    uint32_t offset = (uint32_t)(frame->rip - base) - function.begin;
    for (unsigned chain = 0; chain < UNWIND_CHAIN_MAX; chain++) {
        struct info info;
        bool machine = false;
        /* Bit 0: the entry is another entry's address. */
        if ((function.info & 1) != 0 && !read_function(m, base + (function.info & ~1u), &function))
            return false;
        if (!read_info(m, base + function.info, &info))
            return false;
        if (chain == 0 && offset >= info.prolog && step_epilog(m, frame))
            return true;
        if (!apply_codes(m, &f, &info, offset, &machine))
            return false;
        if (machine) {
            *frame = f;
            return true;
        }
        if ((info.flags & FLAG_CHAININFO) == 0) {
            if (!step_return(m, &f))
                return false;
            *frame = f;
            return true;
        }
        function = info.parent;
        offset = UINT32_MAX; /* a parent's prolog has run to its end */
    }
    return false;
}

/* A return address lies in an image, right behind a call: most of what merely looks like code on
 * a stack does not. */
static bool is_return_address(const struct unwind_memory *m, uint64_t address)
{
    enum { LONGEST = 7 }; /* call [reg + index * n + disp32] */
    uint64_t base, size;
    uint8_t before[LONGEST];
    if (!m->image(m->context, address, &base, &size) || address - base < LONGEST ||
        !m->read(m->context, address - LONGEST, before, sizeof before))
        return false;
    if (before[LONGEST - 5] == 0xE8)
        return true;
    for (unsigned length = 2; length <= LONGEST; length++) {
        const uint8_t *at = before + LONGEST - length;
        if (at[0] == 0xFF && (at[1] >> 3 & 7) == 2)
            return true;
    }
    return false;
}

/* Code without unwind information: a frame pointer if RBP looks like one, else the first stack
 * slot that holds a return address. */
static bool step_guess(const struct unwind_memory *m, struct unwind_frame *f)
{
    uint64_t rbp = f->registers[UNWIND_RBP], rsp = f->registers[UNWIND_RSP], saved, to;
    f->how = UNWIND_GUESS;
    if (read64(m, rsp, &to) && is_return_address(m, to)) {
        f->rip = to;
        f->registers[UNWIND_RSP] = rsp + 8;
        return true;
    }
    if (rbp >= rsp && rbp - rsp < 0x10000 && read64(m, rbp, &saved) && read64(m, rbp + 8, &to) &&
        is_return_address(m, to)) {
        f->rip = to;
        f->registers[UNWIND_RBP] = saved;
        f->registers[UNWIND_RSP] = rbp + 16;
        return true;
    }
    for (unsigned i = 1; i < UNWIND_SCAN_MAX; i++) {
        if (!read64(m, rsp + 8ull * i, &to))
            return false;
        if (!is_return_address(m, to))
            continue;
        f->rip = to;
        f->registers[UNWIND_RSP] = rsp + 8ull * i + 8;
        return true;
    }
    return false;
}

static bool step_any(const struct unwind_memory *m, struct unwind_frame *f)
{
    uint64_t base, image_size;
    uint32_t rva, size;
    struct function function;
    f->how = UNWIND_TABLE;
    if (!m->image(m->context, f->rip, &base, &image_size) || !exception_table(m, base, &rva, &size))
        return step_guess(m, f);
    int found = find_function(m, base, rva, size, (uint32_t)(f->rip - base), &function);
    if (found < 0)
        return step_guess(m, f);
    if (found == 0)
        return step_return(m, f);
    return step_function(m, f, base, function) || step_guess(m, f);
}

bool unwind_step(const struct unwind_memory *memory, struct unwind_frame *frame)
{
    uint64_t rsp = frame->registers[UNWIND_RSP], rip = frame->rip;
    if (!step_any(memory, frame) || frame->rip == 0)
        return false;
    /* A stack that does not shrink would be walked for ever; an interrupt's frame may switch to
     * another stack, but then the code changes, too. */
    return frame->registers[UNWIND_RSP] > rsp || frame->rip != rip;
}
