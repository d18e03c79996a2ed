/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulated processor: enough of the amd64 instruction set for the built-in program and for
 * code a debugger's user may write in. Everything else is an illegal instruction, as it is on a
 * processor that lacks it. Operand sizes 8, 32 and 64 bits; no 16-bit operands.
 */
#include <string.h>

#include "machine.h"

enum {
    FLAG_CF = 0x001,
    FLAG_ONE = 0x002, /* always set */
    FLAG_PF = 0x004,
    FLAG_ZF = 0x040,
    FLAG_SF = 0x080,
    FLAG_TF = 0x100,
    FLAG_RF = 0x10000,
    FLAG_OF = 0x800,
    FLAGS_ARITHMETIC = FLAG_CF | FLAG_PF | FLAG_ZF | FLAG_SF | FLAG_OF,
    REX_W = 8,
    REX_R = 4,
    REX_X = 2,
    REX_B = 1,
    DR6_BS = 0x4000,
    INSTRUCTION_MAX = 15,
    SERVICE_VECTOR = 0x2D,
};

/* Why an instruction did not complete. */
enum trap { NO_TRAP, TRAP_FAULT, TRAP_ILLEGAL, TRAP_INT3, TRAP_SERVICE, TRAP_PRIVILEGE };

/* One instruction under way. Registers change in `cpu`, a copy that is stored at the end, so that
 * an instruction that faults has changed nothing. */
struct step {
    struct sim_machine *machine;
    uint32_t number;
    struct sim_cpu cpu;
    uint64_t start;
    unsigned length; /* bytes fetched */
    uint8_t rex;
    bool repeat;
    uint8_t size; /* of the operand: 1, 4, 8 */
    uint8_t mod, reg, rm;
    uint64_t address; /* of the memory operand */
    enum trap trap;
    uint64_t fault_address;
    enum sim_fetch fault_how;
    uint32_t watch_hit; /* Dr6 bits of data breakpoints */
};

/* ---- Memory ---- */

static uint64_t watch_size(uint64_t dr7, unsigned i)
{
    static const uint8_t sizes[] = {1, 2, 8, 4};
    return sizes[dr7 >> (18 + 4 * i) & 3];
}

static bool is_enabled(uint64_t dr7, unsigned i)
{
    return (dr7 >> (2 * i) & 3) != 0;
}

/* R/W field: 0 execute, 1 write, 2 I/O, 3 read or write. */
static unsigned watch_kind(uint64_t dr7, unsigned i)
{
    return (unsigned)(dr7 >> (16 + 4 * i) & 3);
}

static void watch(struct step *s, uint64_t address, size_t size, bool write)
{
    for (unsigned i = 0; i < 4; i++) {
        unsigned kind = watch_kind(s->cpu.dr[7], i);
        if (!is_enabled(s->cpu.dr[7], i) || !(kind == 3 || (kind == 1 && write)))
            continue;
        uint64_t length = watch_size(s->cpu.dr[7], i);
        uint64_t base = s->cpu.dr[i] & ~(length - 1);
        if (address - base < length || base - address < size)
            s->watch_hit |= 1u << i;
    }
}

static bool access_memory(struct step *s, uint64_t address, void *bytes, size_t size,
                          enum sim_fetch how)
{
    if (s->trap != NO_TRAP)
        return false;
    if (!sim_cpu_access(s->machine, address, bytes, size, how)) {
        s->trap = TRAP_FAULT;
        s->fault_address = address;
        s->fault_how = how;
        return false;
    }
    if (how != SIM_EXECUTE)
        watch(s, address, size, how == SIM_WRITE);
    return true;
}

static uint64_t load(struct step *s, uint64_t address, size_t size)
{
    uint8_t bytes[8] = {0};
    return access_memory(s, address, bytes, size, SIM_READ) ? kd_get_u64(bytes) : 0;
}

static void store(struct step *s, uint64_t address, size_t size, uint64_t value)
{
    uint8_t bytes[8];
    kd_put_u64(bytes, value);
    access_memory(s, address, bytes, size, SIM_WRITE);
}

static uint8_t fetch(struct step *s)
{
    uint8_t byte = 0;
    if (s->length >= INSTRUCTION_MAX) {
        s->trap = s->trap == NO_TRAP ? TRAP_ILLEGAL : s->trap;
        return 0;
    }
    access_memory(s, s->start + s->length, &byte, 1, SIM_EXECUTE);
    s->length++;
    return byte;
}

static uint64_t fetch_signed(struct step *s, unsigned size)
{
    uint8_t bytes[8] = {0};
    for (unsigned i = 0; i < size; i++)
        bytes[i] = fetch(s);
    if (size == 1)
        return (uint64_t)(int64_t)(int8_t)bytes[0];
    return size == 4 ? (uint64_t)(int64_t)(int32_t)kd_get_u32(bytes) : kd_get_u64(bytes);
}

static uint64_t next_rip(const struct step *s)
{
    return s->start + s->length;
}

/* ---- Operands ---- */

static uint64_t mask_of(unsigned size)
{
    return size == 8 ? UINT64_MAX : ((uint64_t)1 << (8 * size)) - 1;
}

/* Registers 4..7 of byte operands without REX are ah, ch, dh, bh. */
static bool is_high_byte(const struct step *s, unsigned number)
{
    return s->size == 1 && !s->rex && number >= 4 && number < 8;
}

static uint64_t get_register(const struct step *s, unsigned number)
{
    if (is_high_byte(s, number))
        return s->cpu.gpr[number - 4] >> 8 & 0xFF;
    return s->cpu.gpr[number] & mask_of(s->size);
}

static void set_register(struct step *s, unsigned number, uint64_t value)
{
    if (is_high_byte(s, number)) {
        uint64_t *whole = &s->cpu.gpr[number - 4];
        *whole = (*whole & ~(uint64_t)0xFF00) | (value & 0xFF) << 8;
    } else if (s->size == 1) {
        s->cpu.gpr[number] = (s->cpu.gpr[number] & ~(uint64_t)0xFF) | (value & 0xFF);
    } else {
        s->cpu.gpr[number] = value & mask_of(s->size); /* 32-bit results clear the upper half */
    }
}

static uint64_t scaled_address(struct step *s)
{
    uint8_t sib = fetch(s);
    unsigned index = (unsigned)(sib >> 3 & 7) | (s->rex & REX_X ? 8 : 0);
    unsigned base = sib & 7;
    uint64_t address = index == 4 ? 0 : s->cpu.gpr[index] << (sib >> 6);
    if (base == 5 && s->mod == 0)
        return address + fetch_signed(s, 4);
    return address + s->cpu.gpr[base | (s->rex & REX_B ? 8 : 0)];
}

/* Reads ModRM and what belongs to it. IMMEDIATE bytes follow: RIP-relative addresses count from
 * the instruction's end. */
static void fetch_modrm(struct step *s, unsigned immediate)
{
    uint8_t byte = fetch(s);
    s->mod = byte >> 6;
    s->reg = (uint8_t)((byte >> 3 & 7) | (s->rex & REX_R ? 8 : 0));
    s->rm = byte & 7;
    if (s->mod == 3) {
        s->rm |= s->rex & REX_B ? 8 : 0;
    } else if (s->mod == 0 && s->rm == 5) {
        uint64_t displacement = fetch_signed(s, 4);
        s->address = next_rip(s) + immediate + displacement;
    } else {
        s->address = s->rm == 4 ? scaled_address(s) : s->cpu.gpr[s->rm | (s->rex & REX_B ? 8 : 0)];
        if (s->mod == 1)
            s->address += fetch_signed(s, 1);
        else if (s->mod == 2)
            s->address += fetch_signed(s, 4);
    }
}

static uint64_t get_rm(struct step *s)
{
    return s->mod == 3 ? get_register(s, s->rm) : load(s, s->address, s->size);
}

static void set_rm(struct step *s, uint64_t value)
{
    if (s->mod == 3)
        set_register(s, s->rm, value);
    else
        store(s, s->address, s->size, value);
}

static void push(struct step *s, uint64_t value)
{
    s->cpu.gpr[SIM_RSP] -= 8;
    store(s, s->cpu.gpr[SIM_RSP], 8, value);
}

static uint64_t pop(struct step *s)
{
    uint64_t value = load(s, s->cpu.gpr[SIM_RSP], 8);
    s->cpu.gpr[SIM_RSP] += 8;
    return value;
}

/* ---- Arithmetic ---- */

static void set_flag(struct step *s, uint64_t flag, bool on)
{
    s->cpu.rflags = on ? s->cpu.rflags | flag : s->cpu.rflags & ~flag;
}

static void set_result_flags(struct step *s, uint64_t result)
{
    unsigned ones = 0;
    for (unsigned i = 0; i < 8; i++)
        ones += (unsigned)(result >> i) & 1;
    set_flag(s, FLAG_ZF, (result & mask_of(s->size)) == 0);
    set_flag(s, FLAG_SF, result >> (8 * s->size - 1) & 1);
    set_flag(s, FLAG_PF, ones % 2 == 0);
}

enum operation { OP_ADD, OP_OR, OP_ADC, OP_SBB, OP_AND, OP_SUB, OP_XOR, OP_CMP };

static uint64_t add(struct step *s, uint64_t a, uint64_t b, unsigned carry)
{
    uint64_t mask = mask_of(s->size);
    uint64_t result = (a + b + carry) & mask;
    set_flag(s, FLAG_CF, carry ? result <= (a & mask) : result < (a & mask));
    set_flag(s, FLAG_OF, (~(a ^ b) & (a ^ result)) >> (8 * s->size - 1) & 1);
    return result;
}

static uint64_t subtract(struct step *s, uint64_t a, uint64_t b, unsigned borrow)
{
    uint64_t mask = mask_of(s->size);
    uint64_t result = (a - b - borrow) & mask;
    set_flag(s, FLAG_CF, borrow ? (a & mask) <= (b & mask) : (a & mask) < (b & mask));
    set_flag(s, FLAG_OF, ((a ^ b) & (a ^ result)) >> (8 * s->size - 1) & 1);
    return result;
}

static uint64_t operate(struct step *s, enum operation operation, uint64_t a, uint64_t b)
{
    unsigned carry = s->cpu.rflags & FLAG_CF;
    uint64_t result;
    switch (operation) {
    case OP_ADD:
        result = add(s, a, b, 0);
        break;
    case OP_ADC:
        result = add(s, a, b, carry);
        break;
    case OP_SBB:
        result = subtract(s, a, b, carry);
        break;
    case OP_SUB:
    case OP_CMP:
        result = subtract(s, a, b, 0);
        break;
    default:
        result = operation == OP_OR ? a | b : operation == OP_AND ? a & b : a ^ b;
        set_flag(s, FLAG_CF | FLAG_OF, false);
        break;
    }
    set_result_flags(s, result);
    return result;
}

static void operate_rm(struct step *s, enum operation operation, uint64_t b)
{
    uint64_t result = operate(s, operation, get_rm(s), b);
    if (operation != OP_CMP)
        set_rm(s, result);
}

/* inc and dec leave the carry alone. */
static void count_rm(struct step *s, bool up)
{
    uint64_t carry = s->cpu.rflags & FLAG_CF;
    uint64_t a = get_rm(s);
    uint64_t result = up ? add(s, a, 1, 0) : subtract(s, a, 1, 0);
    set_result_flags(s, result);
    set_flag(s, FLAG_CF, carry != 0);
    set_rm(s, result);
}

/* shl, shr, sar by a constant. The overflow flag, defined for one bit only, is left alone. */
static void shift_rm(struct step *s, unsigned count)
{
    unsigned kind = s->reg & 7, bits = 8u * s->size;
    uint64_t a = get_rm(s), result;
    count &= s->size == 8 ? 63 : 31;
    if (kind != 4 && kind != 5 && kind != 7) {
        s->trap = TRAP_ILLEGAL;
        return;
    }
    if (!count)
        return;
    if (count > bits) {
        s->trap = TRAP_ILLEGAL; /* byte operands only; nobody writes that */
        return;
    }
    if (kind == 4) {
        set_flag(s, FLAG_CF, a >> (bits - count) & 1);
        result = count == 64 ? 0 : a << count;
    } else {
        bool sign = a >> (bits - 1) & 1;
        set_flag(s, FLAG_CF, a >> (count - 1) & 1);
        result = a >> count;
        if (kind == 7 && sign)
            result |= mask_of(s->size) & ~(mask_of(s->size) >> count);
    }
    result &= mask_of(s->size);
    set_result_flags(s, result);
    set_rm(s, result);
}

static bool condition(const struct step *s, unsigned code)
{
    uint64_t f = s->cpu.rflags;
    bool less = !(f & FLAG_SF) != !(f & FLAG_OF);
    bool result = false;
    switch (code >> 1) {
    case 0:
        result = f & FLAG_OF;
        break;
    case 1:
        result = f & FLAG_CF;
        break;
    case 2:
        result = f & FLAG_ZF;
        break;
    case 3:
        result = f & (FLAG_CF | FLAG_ZF);
        break;
    case 4:
        result = f & FLAG_SF;
        break;
    case 5:
        result = f & FLAG_PF;
        break;
    case 6:
        result = less;
        break;
    default:
        result = less || (f & FLAG_ZF);
        break;
    }
    return result != (code & 1);
}

/* ---- Instructions ---- */

static void jump_if(struct step *s, bool taken, unsigned displacement_size)
{
    uint64_t displacement = fetch_signed(s, displacement_size);
    s->cpu.rip = next_rip(s) + (taken ? displacement : 0);
}

static void group_ff(struct step *s, uint8_t opcode)
{
    fetch_modrm(s, 0);
    unsigned kind = s->reg & 7;
    if (kind >= 2 && opcode == 0xFE) {
        s->trap = TRAP_ILLEGAL;
        return;
    }
    if (kind >= 2)
        s->size = 8;
    s->cpu.rip = next_rip(s);
    switch (kind) {
    case 0:
    case 1:
        count_rm(s, kind == 0);
        break;
    case 2: {
        uint64_t to = get_rm(s);
        push(s, next_rip(s));
        s->cpu.rip = to;
        break;
    }
    case 4:
        s->cpu.rip = get_rm(s);
        break;
    case 6:
        push(s, get_rm(s));
        break;
    default:
        s->trap = TRAP_ILLEGAL;
        break;
    }
}

static void group_f7(struct step *s, uint8_t opcode)
{
    unsigned immediate = opcode == 0xF6 ? 1 : 4;
    fetch_modrm(s, immediate); /* right for test; the others have no immediate */
    unsigned kind = s->reg & 7;
    if (kind != 0) { /* not, neg, mul, div: not in the subset */
        s->trap = TRAP_ILLEGAL;
        return;
    }
    uint64_t value = fetch_signed(s, immediate);
    s->cpu.rip = next_rip(s);
    operate(s, OP_AND, get_rm(s), value & mask_of(s->size));
}

static void port_instruction(struct step *s, uint8_t opcode)
{
    bool by_dx = opcode >= 0xEC;
    unsigned size = opcode & 1 ? 4 : 1;
    uint16_t port = by_dx ? (uint16_t)s->cpu.gpr[SIM_RDX] : fetch(s);
    s->size = (uint8_t)size;
    s->cpu.rip = next_rip(s);
    if (s->trap != NO_TRAP)
        return;
    if (opcode & 2)
        sim_write_port(s->machine, port, size, (uint32_t)get_register(s, SIM_RAX));
    else
        set_register(s, SIM_RAX, sim_read_port(s->machine, port, size));
}

static void msr_instruction(struct step *s, bool write)
{
    uint64_t value = (uint32_t)s->cpu.gpr[SIM_RAX] | s->cpu.gpr[SIM_RDX] << 32;
    uint32_t number = (uint32_t)s->cpu.gpr[SIM_RCX];
    int error = write ? sim_write_msr(s->machine, s->number, number, value)
                      : sim_read_msr(s->machine, s->number, number, &value);
    if (error < 0) {
        s->trap = TRAP_PRIVILEGE;
    } else if (write) { /* the MSR may be a part of the processor's state */
        s->cpu.gs_base = s->machine->cpus[s->number].gs_base;
        s->cpu.fs_base = s->machine->cpus[s->number].fs_base;
    } else {
        s->cpu.gpr[SIM_RAX] = (uint32_t)value;
        s->cpu.gpr[SIM_RDX] = value >> 32;
    }
}

static void two_byte(struct step *s)
{
    uint8_t opcode = fetch(s);
    if (opcode >= 0x80 && opcode <= 0x8F) {
        jump_if(s, condition(s, opcode & 15), 4);
        return;
    }
    switch (opcode) {
    case 0x1F: /* nop of any length */
        fetch_modrm(s, 0);
        break;
    case 0x30:
        msr_instruction(s, true);
        break;
    case 0x32:
        msr_instruction(s, false);
        break;
    case 0x31: /* rdtsc: instructions retired */
        s->cpu.gpr[SIM_RAX] = (uint32_t)s->cpu.retired;
        s->cpu.gpr[SIM_RDX] = s->cpu.retired >> 32;
        break;
    case 0xB6: { /* movzx from a byte */
        uint8_t size = s->size;
        fetch_modrm(s, 0);
        s->size = 1;
        uint64_t value = get_rm(s);
        s->size = size;
        set_register(s, s->reg, value);
        break;
    }
    default:
        s->trap = TRAP_ILLEGAL;
        break;
    }
    s->cpu.rip = next_rip(s);
}

/* add, or, adc, sbb, and, sub, xor, cmp in their six forms: opcodes 0x00..0x3D. */
static void arithmetic(struct step *s, uint8_t opcode)
{
    enum operation operation = (enum operation)(opcode >> 3 & 7);
    unsigned form = opcode & 7;
    if (!(form & 1))
        s->size = 1;
    if (form < 4) {
        fetch_modrm(s, 0);
        s->cpu.rip = next_rip(s);
        if (form < 2) {
            operate_rm(s, operation, get_register(s, s->reg));
            return;
        }
        uint64_t result = operate(s, operation, get_register(s, s->reg), get_rm(s));
        if (operation != OP_CMP)
            set_register(s, s->reg, result);
        return;
    }
    uint64_t value = fetch_signed(s, form == 4 ? 1 : 4) & mask_of(s->size);
    s->cpu.rip = next_rip(s);
    uint64_t result = operate(s, operation, get_register(s, SIM_RAX), value);
    if (operation != OP_CMP)
        set_register(s, SIM_RAX, result);
}

static void move_immediate_register(struct step *s, uint8_t opcode)
{
    unsigned number = (opcode & 7u) | (s->rex & REX_B ? 8 : 0);
    if (opcode < 0xB8)
        s->size = 1;
    uint64_t value = fetch_signed(s, s->size);
    s->cpu.rip = next_rip(s);
    set_register(s, number, value);
}

static void with_immediate(struct step *s, uint8_t opcode)
{
    unsigned size = opcode == 0x81 || opcode == 0xC7 ? 4 : 1;
    if (opcode == 0x80 || opcode == 0xC6 || opcode == 0xC0)
        s->size = 1;
    fetch_modrm(s, size);
    uint64_t value = fetch_signed(s, size);
    s->cpu.rip = next_rip(s);
    if (opcode == 0xC6 || opcode == 0xC7)
        set_rm(s, value & mask_of(s->size));
    else if (opcode == 0xC0 || opcode == 0xC1)
        shift_rm(s, (unsigned)value & 0xFF);
    else
        operate_rm(s, (enum operation)(s->reg & 7), value & mask_of(s->size));
}

static void move_or_test(struct step *s, uint8_t opcode)
{
    if (!(opcode & 1))
        s->size = 1;
    fetch_modrm(s, 0);
    s->cpu.rip = next_rip(s);
    if (opcode == 0x84 || opcode == 0x85)
        operate(s, OP_AND, get_rm(s), get_register(s, s->reg));
    else if (opcode == 0x88 || opcode == 0x89)
        set_rm(s, get_register(s, s->reg));
    else
        set_register(s, s->reg, get_rm(s));
}

static void interrupt(struct step *s)
{
    uint8_t vector = fetch(s);
    s->cpu.rip = next_rip(s);
    if (vector == SERVICE_VECTOR)
        s->trap = s->trap == NO_TRAP ? TRAP_SERVICE : s->trap;
    else
        s->trap = TRAP_ILLEGAL;
}

/* Opcodes without operands in ModRM; false when OPCODE is none of them. */
static bool simple(struct step *s, uint8_t opcode)
{
    unsigned number = (opcode & 7u) | (s->rex & REX_B ? 8 : 0);
    s->cpu.rip = next_rip(s);
    if (opcode >= 0x50 && opcode <= 0x57) {
        push(s, s->cpu.gpr[number]);
        return true;
    }
    if (opcode >= 0x58 && opcode <= 0x5F) {
        s->cpu.gpr[number] = pop(s);
        return true;
    }
    switch (opcode) {
    case 0x90: /* nop; pause with F3 */
        return true;
    case 0xC3:
        s->cpu.rip = pop(s);
        return true;
    case 0xC9: /* leave */
        s->cpu.gpr[SIM_RSP] = s->cpu.gpr[SIM_RBP];
        s->cpu.gpr[SIM_RBP] = pop(s);
        return true;
    case 0xCC:
        s->trap = TRAP_INT3;
        return true;
    case 0xF4:
        s->cpu.halted = true;
        return true;
    default:
        return false;
    }
}

static void one_byte(struct step *s, uint8_t opcode)
{
    if (simple(s, opcode))
        return;
    if (opcode < 0x40 && (opcode & 7) < 6) {
        arithmetic(s, opcode);
    } else if (opcode >= 0x70 && opcode <= 0x7F) {
        jump_if(s, condition(s, opcode & 15), 1);
    } else if (opcode >= 0xB0 && opcode <= 0xBF) {
        move_immediate_register(s, opcode);
    } else if (opcode >= 0xE4 && opcode <= 0xEF && (opcode < 0xE8 || opcode >= 0xEC)) {
        port_instruction(s, opcode);
    } else {
        switch (opcode) {
        case 0x68:
        case 0x6A: {
            uint64_t value = fetch_signed(s, opcode == 0x68 ? 4 : 1);
            s->cpu.rip = next_rip(s);
            push(s, value);
            break;
        }
        case 0x80:
        case 0x81:
        case 0x83:
        case 0xC0:
        case 0xC1:
        case 0xC6:
        case 0xC7:
            with_immediate(s, opcode);
            break;
        case 0x84:
        case 0x85:
        case 0x88:
        case 0x89:
        case 0x8A:
        case 0x8B:
            move_or_test(s, opcode);
            break;
        case 0x8D:
            fetch_modrm(s, 0);
            s->cpu.rip = next_rip(s);
            set_register(s, s->reg, s->address);
            s->trap = s->trap == NO_TRAP && s->mod == 3 ? TRAP_ILLEGAL : s->trap;
            break;
        case 0xCD:
            interrupt(s);
            break;
        case 0xE8: {
            uint64_t displacement = fetch_signed(s, 4);
            push(s, next_rip(s));
            s->cpu.rip = next_rip(s) + displacement;
            break;
        }
        case 0xE9:
        case 0xEB:
            jump_if(s, true, opcode == 0xE9 ? 4 : 1);
            break;
        case 0xF6:
        case 0xF7:
            s->size = opcode == 0xF6 ? 1 : s->size;
            group_f7(s, opcode);
            break;
        case 0xFE:
        case 0xFF:
            s->size = opcode == 0xFE ? 1 : s->size;
            group_ff(s, opcode);
            break;
        default:
            s->trap = TRAP_ILLEGAL;
            break;
        }
    }
}

static void execute(struct step *s)
{
    uint8_t byte = fetch(s);
    if (byte == 0xF3) {
        s->repeat = true;
        byte = fetch(s);
    }
    if ((byte & 0xF0) == 0x40) {
        s->rex = byte;
        byte = fetch(s);
    }
    s->size = s->rex & REX_W ? 8 : 4;
    if (s->trap != NO_TRAP)
        return;
    if (s->repeat && byte != 0x90)
        s->trap = TRAP_ILLEGAL;
    else if (byte == 0x0F)
        two_byte(s);
    else
        one_byte(s, byte);
}

/* ---- Traps ---- */

static bool raise(struct sim_machine *m, uint32_t number, struct sim_event *event, uint32_t code)
{
    event->kind = SIM_EXCEPTION;
    event->cpu = number;
    event->code = code;
    event->parameter_count = 0;
    event->address = m->cpus[number].rip;
    return true;
}

static bool raise_fault(struct step *s, struct sim_event *event)
{
    static const uint8_t how[] = {[SIM_READ] = 0, [SIM_WRITE] = 1, [SIM_EXECUTE] = 8};
    s->machine->cpus[s->number].cr2 = s->fault_address;
    raise(s->machine, s->number, event, KD_STATUS_ACCESS_VIOLATION);
    event->parameter_count = 2;
    event->parameters[0] = how[s->fault_how];
    event->parameters[1] = s->fault_address;
    return true;
}

/* NT's debug services: 1 print (rcx, edx), 2 prompt (rcx, edx, r8, r9d), 3 and 4 load and unload
 * symbols (rcx: here the module's number). */
enum service { SERVICE_PRINT = 1, SERVICE_PROMPT, SERVICE_LOAD, SERVICE_UNLOAD };

static void take_text(struct sim_machine *m, const struct sim_cpu *cpu, struct sim_event *event)
{
    uint32_t size = (uint32_t)cpu->gpr[SIM_RDX];
    event->text_size = size < SIM_TEXT_MAX ? size : SIM_TEXT_MAX;
    for (size_t i = 0; i < event->text_size; i++) {
        if (!sim_cpu_access(m, cpu->gpr[SIM_RCX] + i, event->text + i, 1, SIM_READ)) {
            event->text_size = i;
            break;
        }
    }
}

static bool serve(struct sim_machine *m, uint32_t number, struct sim_event *event)
{
    struct sim_cpu *cpu = &m->cpus[number];
    uint32_t service = (uint32_t)cpu->gpr[SIM_RAX];
    uint64_t module = cpu->gpr[SIM_RCX];
    event->cpu = number;
    event->address = cpu->rip;
    cpu->stop_skip = cpu->rip;
    switch (service) {
    case SERVICE_PRINT:
        event->kind = SIM_PRINT;
        take_text(m, cpu, event);
        return true;
    case SERVICE_PROMPT:
        event->kind = SIM_PROMPT;
        take_text(m, cpu, event);
        m->prompt_buffer = cpu->gpr[8];
        m->prompt_cpu = number;
        event->answer_max = (uint32_t)cpu->gpr[9];
        return true;
    case SERVICE_LOAD:
    case SERVICE_UNLOAD: {
        int error = KD_E_NOT_FOUND;
        if (module < m->module_count)
            error = service == SERVICE_LOAD ? sim_module_load(m, (unsigned)module)
                                            : sim_module_unload(m, (unsigned)module);
        cpu->gpr[SIM_RAX] = error < 0 ? KD_STATUS_UNSUCCESSFUL : 0;
        if (error < 0)
            return false;
        event->kind = service == SERVICE_LOAD ? SIM_IMAGE_LOAD : SIM_IMAGE_UNLOAD;
        event->module = (unsigned)module;
        return true;
    }
    default:
        return false;
    }
}

/* An execution breakpoint at RIP: a fault, before the instruction, unless RF is set. */
static bool execution_breakpoint(struct sim_cpu *cpu)
{
    if (cpu->rflags & FLAG_RF)
        return false;
    for (unsigned i = 0; i < 4; i++) {
        if (is_enabled(cpu->dr[7], i) && watch_kind(cpu->dr[7], i) == 0 && cpu->dr[i] == cpu->rip) {
            cpu->dr[6] |= 1u << i;
            return true;
        }
    }
    return false;
}

static bool finish_trap(struct step *s, struct sim_event *event)
{
    struct sim_cpu *cpu = &s->machine->cpus[s->number];
    switch (s->trap) {
    case TRAP_FAULT:
        return raise_fault(s, event);
    case TRAP_INT3:
        return raise(s->machine, s->number, event, KD_STATUS_BREAKPOINT);
    case TRAP_SERVICE:
        *cpu = s->cpu;
        return serve(s->machine, s->number, event);
    case TRAP_PRIVILEGE:
        return raise(s->machine, s->number, event, 0xC0000096u); /* STATUS_PRIVILEGED_INSTRUCTION */
    default:
        return raise(s->machine, s->number, event, KD_STATUS_ILLEGAL_INSTRUCTION);
    }
}

bool sim_step(struct sim_machine *m, uint32_t number, struct sim_event *event)
{
    struct sim_cpu *cpu = &m->cpus[number];
    if (cpu->stop_skip) { /* behind a debug service: its int3 is a marker, not an instruction */
        if (cpu->rip == cpu->stop_skip)
            cpu->rip++;
        cpu->stop_skip = 0;
    }
    if (execution_breakpoint(cpu))
        return raise(m, number, event, KD_STATUS_SINGLE_STEP);
    struct step s = {.machine = m, .number = number, .cpu = *cpu, .start = cpu->rip, .size = 4};
    bool traced = cpu->rflags & FLAG_TF;
    execute(&s);
    if (s.trap == NO_TRAP) {
        s.cpu.retired++;
        s.cpu.rflags &= ~(uint64_t)FLAG_RF;
        s.cpu.rflags |= FLAG_ONE;
        s.cpu.dr[6] |= s.watch_hit | (traced ? DR6_BS : 0);
        *cpu = s.cpu;
        if (traced || s.watch_hit)
            return raise(m, number, event, KD_STATUS_SINGLE_STEP);
        return false;
    }
    return finish_trap(&s, event);
}
