/* SPDX-License-Identifier: BSD-2-Clause */
#include "machine.h"

#include <stdlib.h>
#include <string.h>

enum {
    STACK_SIZE = 4 * SIM_PAGE,
    SYSTEM_SIZE = 4 * SIM_PAGE,
    GDT_SIZE = 0x80,
    IDT_OFFSET = 0x80,
    IDT_SIZE = 0x1000 - 0x80,
    SELECTOR_CODE = 0x10,
    SELECTOR_STACK = 0x18,
    SELECTOR_DATA = 0x2B,
    SELECTOR_TEB = 0x53,
    SELECTOR_TSS = 0x40,
    /* Instructions one processor executes before the next has its turn. */
    TURN = 64,
    PHYSICAL_BASE = 0x100000,
    PCI_CONFIGURATION = 4,
    PCI_FUNCTION_SHIFT = 5,
};

/* ---- Memory ---- */

static struct sim_region *find_region(struct sim_machine *m, uint64_t address)
{
    struct sim_region *last = &m->regions[m->last_region];
    if (m->last_region < m->region_count && address - last->base < last->size)
        return last;
    for (size_t i = 0; i < m->region_count; i++) {
        if (address - m->regions[i].base < m->regions[i].size) {
            m->last_region = i;
            return &m->regions[i];
        }
    }
    return NULL;
}

int sim_map(struct sim_machine *m, uint64_t base, uint64_t size, unsigned access, uint8_t **bytes)
{
    if (!size || size > SIZE_MAX / 2 || base > UINT64_MAX - size)
        return KD_E_ARGUMENT;
    if (m->region_count == SIM_REGIONS_MAX)
        return KD_E_NO_SPACE;
    for (size_t i = 0; i < m->region_count; i++) {
        const struct sim_region *r = &m->regions[i];
        if (base - r->base < r->size || r->base - base < size)
            return KD_E_EXISTS;
    }
    uint8_t *memory = calloc(1, (size_t)size);
    if (!memory)
        return KD_E_NO_MEMORY;
    m->regions[m->region_count++] =
        (struct sim_region){base, size, m->physical_next, access, memory};
    m->physical_next += (size + SIM_PAGE - 1) / SIM_PAGE * SIM_PAGE;
    if (bytes)
        *bytes = memory;
    return KD_OK;
}

int sim_unmap(struct sim_machine *m, uint64_t base)
{
    for (size_t i = 0; i < m->region_count; i++) {
        if (m->regions[i].base != base)
            continue;
        free(m->regions[i].bytes);
        m->region_count--;
        memmove(&m->regions[i], &m->regions[i + 1], (m->region_count - i) * sizeof m->regions[i]);
        return KD_OK;
    }
    return KD_E_NOT_FOUND;
}

/* The piece of [address, address + size) at its start that lies in one region; 0 = none. */
static size_t piece_at(struct sim_machine *m, uint64_t address, size_t size,
                       struct sim_region **region)
{
    *region = find_region(m, address);
    if (!*region)
        return 0;
    uint64_t left = (*region)->size - (address - (*region)->base);
    return left < size ? (size_t)left : size;
}

static size_t read_virtual(void *machine, uint64_t address, uint8_t *to, size_t size)
{
    struct sim_region *region;
    size_t done = 0, piece;
    while (done < size && (piece = piece_at(machine, address + done, size - done, &region)) != 0) {
        if (!(region->access & SIM_R))
            break;
        memcpy(to + done, region->bytes + (address + done - region->base), piece);
        done += piece;
    }
    return done;
}

static size_t write_virtual(void *machine, uint64_t address, const uint8_t *from, size_t size)
{
    struct sim_region *region;
    size_t done = 0, piece;
    while (done < size && (piece = piece_at(machine, address + done, size - done, &region)) != 0) {
        if (region->access & SIM_FIXED)
            break;
        memcpy(region->bytes + (address + done - region->base), from + done, piece);
        done += piece;
    }
    return done;
}

bool sim_cpu_access(struct sim_machine *m, uint64_t address, void *bytes, size_t size,
                    enum sim_fetch how)
{
    unsigned needed = how == SIM_WRITE ? SIM_W : how == SIM_READ ? SIM_R : SIM_X;
    struct sim_region *region = find_region(m, address);
    if (region && region->access & needed && region->size - (address - region->base) >= size) {
        uint8_t *at = region->bytes + (address - region->base); /* nearly always in one region */
        if (how == SIM_WRITE)
            memcpy(at, bytes, size);
        else
            memcpy(bytes, at, size);
        return true;
    }
    for (size_t done = 0, piece; done < size; done += piece) { /* all or nothing */
        piece = piece_at(m, address + done, size - done, &region);
        if (!piece || !(region->access & needed))
            return false;
    }
    if (how == SIM_WRITE)
        return write_virtual(m, address, bytes, size) == size;
    return read_virtual(m, address, bytes, size) == size;
}

static uint8_t *physical_byte(struct sim_machine *m, uint64_t address, size_t size, size_t *piece,
                              bool write)
{
    for (size_t i = 0; i < m->region_count; i++) {
        struct sim_region *r = &m->regions[i];
        uint64_t offset = address - r->physical;
        if (offset >= r->size || (write && r->access & SIM_FIXED))
            continue;
        *piece = r->size - offset < size ? (size_t)(r->size - offset) : size;
        return r->bytes + offset;
    }
    return NULL;
}

static size_t read_physical(void *machine, uint64_t address, uint8_t *to, size_t size,
                            uint32_t cache)
{
    size_t done = 0, piece = 0;
    (void)cache;
    while (done < size) {
        const uint8_t *from = physical_byte(machine, address + done, size - done, &piece, false);
        if (!from)
            break;
        memcpy(to + done, from, piece);
        done += piece;
    }
    return done;
}

static size_t write_physical(void *machine, uint64_t address, const uint8_t *from, size_t size,
                             uint32_t cache)
{
    size_t done = 0, piece = 0;
    (void)cache;
    while (done < size) {
        uint8_t *to = physical_byte(machine, address + done, size - done, &piece, true);
        if (!to)
            break;
        memcpy(to, from + done, piece);
        done += piece;
    }
    return done;
}

static int query_memory(void *machine, uint64_t address, struct kd_machine_memory *memory)
{
    enum { KERNEL_SPACE = 2, PROCESS_SPACE = 0 };
    const struct sim_region *region = find_region(machine, address);
    if (!region)
        return KD_E_NOT_FOUND;
    memory->address_space = address >> 63 ? KERNEL_SPACE : PROCESS_SPACE;
    memory->flags = region->access; /* the protocol's own bits: R 1, W 2, X 4, fixed 8 */
    return KD_OK;
}

/* ---- Version, processors ---- */

static void version(void *machine, struct kd_machine_version *v)
{
    const struct sim_machine *m = machine;
    v->major = m->config.windows_kernel ? 0x000F : 0x040F;
    v->minor = 19041;
    v->flags = m->config.windows_kernel ? 0x0005 : 0x0006; /* MP, PTR64 : DATA, PTR64 */
    v->machine_type = KD_MACHINE_AMD64;
    v->kernel_base = SIM_KERNEL_BASE;
    v->loaded_module_list = sim_loaded_module_list();
    v->debugger_data_list = 0;
}

static uint32_t processor_count(void *machine)
{
    const struct sim_machine *m = machine;
    return m->config.cpus;
}

/* The order of the registers in CONTEXT is the processor's own: Rax, Rcx, Rdx, Rbx, Rsp ... R15. */
static int get_context(void *machine, uint32_t cpu, uint8_t context[KD_CONTEXT_AMD64_SIZE])
{
    const struct sim_machine *m = machine;
    const struct sim_cpu *c = &m->cpus[cpu];
    memset(context, 0, KD_CONTEXT_AMD64_SIZE);
    KD_PUT(context, ContextAmd64, ContextFlags, KD_CONTEXT_AMD64_ALL);
    KD_PUT(context, ContextAmd64, MxCsr, c->mxcsr);
    KD_PUT(context, ContextAmd64, SegCs, c->cs);
    KD_PUT(context, ContextAmd64, SegDs, c->ds);
    KD_PUT(context, ContextAmd64, SegEs, c->es);
    KD_PUT(context, ContextAmd64, SegFs, c->fs);
    KD_PUT(context, ContextAmd64, SegGs, c->gs);
    KD_PUT(context, ContextAmd64, SegSs, c->ss);
    KD_PUT(context, ContextAmd64, EFlags, c->rflags);
    KD_PUT(context, ContextAmd64, Dr0, c->dr[0]);
    KD_PUT(context, ContextAmd64, Dr1, c->dr[1]);
    KD_PUT(context, ContextAmd64, Dr2, c->dr[2]);
    KD_PUT(context, ContextAmd64, Dr3, c->dr[3]);
    KD_PUT(context, ContextAmd64, Dr6, c->dr[6]);
    KD_PUT(context, ContextAmd64, Dr7, c->dr[7]);
    for (size_t i = 0; i < 16; i++)
        kd_put_u64(context + KD_AT(ContextAmd64, Rax) + 8 * i, c->gpr[i]);
    KD_PUT(context, ContextAmd64, Rip, c->rip);
    memcpy(context + 0x100, m->fxsave[cpu], sizeof m->fxsave[cpu]);
    return KD_OK;
}

static int set_context(void *machine, uint32_t cpu, const uint8_t context[KD_CONTEXT_AMD64_SIZE])
{
    struct sim_machine *m = machine;
    struct sim_cpu *c = &m->cpus[cpu];
    c->mxcsr = (uint32_t)KD_GET(context, ContextAmd64, MxCsr);
    c->cs = (uint16_t)KD_GET(context, ContextAmd64, SegCs);
    c->ds = (uint16_t)KD_GET(context, ContextAmd64, SegDs);
    c->es = (uint16_t)KD_GET(context, ContextAmd64, SegEs);
    c->fs = (uint16_t)KD_GET(context, ContextAmd64, SegFs);
    c->gs = (uint16_t)KD_GET(context, ContextAmd64, SegGs);
    c->ss = (uint16_t)KD_GET(context, ContextAmd64, SegSs);
    c->rflags = KD_GET(context, ContextAmd64, EFlags) | 2;
    c->dr[0] = KD_GET(context, ContextAmd64, Dr0);
    c->dr[1] = KD_GET(context, ContextAmd64, Dr1);
    c->dr[2] = KD_GET(context, ContextAmd64, Dr2);
    c->dr[3] = KD_GET(context, ContextAmd64, Dr3);
    c->dr[6] = KD_GET(context, ContextAmd64, Dr6);
    c->dr[7] = KD_GET(context, ContextAmd64, Dr7);
    for (size_t i = 0; i < 16; i++)
        c->gpr[i] = kd_get_u64(context + KD_AT(ContextAmd64, Rax) + 8 * i);
    c->rip = KD_GET(context, ContextAmd64, Rip);
    memcpy(m->fxsave[cpu], context + 0x100, sizeof m->fxsave[cpu]);
    return KD_OK;
}

static uint64_t msr_or_zero(struct sim_machine *m, uint32_t cpu, uint32_t msr)
{
    uint64_t value = 0;
    return sim_read_msr(m, cpu, msr, &value) < 0 ? 0 : value;
}

static int get_special(void *machine, uint32_t cpu, uint8_t special[KD_SPECIAL_AMD64_MAX])
{
    struct sim_machine *m = machine;
    const struct sim_cpu *c = &m->cpus[cpu];
    memset(special, 0, KD_SPECIAL_AMD64_MAX);
    KD_PUT(special, SpecialAmd64, Cr0, c->cr0);
    KD_PUT(special, SpecialAmd64, Cr2, c->cr2);
    KD_PUT(special, SpecialAmd64, Cr3, c->cr3);
    KD_PUT(special, SpecialAmd64, Cr4, c->cr4);
    KD_PUT(special, SpecialAmd64, Cr8, c->cr8);
    KD_PUT(special, SpecialAmd64, KernelDr0, c->dr[0]);
    KD_PUT(special, SpecialAmd64, KernelDr1, c->dr[1]);
    KD_PUT(special, SpecialAmd64, KernelDr2, c->dr[2]);
    KD_PUT(special, SpecialAmd64, KernelDr3, c->dr[3]);
    KD_PUT(special, SpecialAmd64, KernelDr6, c->dr[6]);
    KD_PUT(special, SpecialAmd64, KernelDr7, c->dr[7]);
    KD_PUT(special, SpecialAmd64, GdtrLimit, GDT_SIZE - 1);
    KD_PUT(special, SpecialAmd64, GdtrBase, SIM_SYSTEM_BASE);
    KD_PUT(special, SpecialAmd64, IdtrLimit, IDT_SIZE - 1);
    KD_PUT(special, SpecialAmd64, IdtrBase, SIM_SYSTEM_BASE + IDT_OFFSET);
    KD_PUT(special, SpecialAmd64, Tr, c->tr);
    KD_PUT(special, SpecialAmd64, MxCsr, c->mxcsr);
    KD_PUT(special, SpecialAmd64, MsrGsBase, c->gs_base);
    KD_PUT(special, SpecialAmd64, MsrGsSwap, msr_or_zero(m, cpu, 0xC0000102));
    KD_PUT(special, SpecialAmd64, MsrStar, msr_or_zero(m, cpu, 0xC0000081));
    KD_PUT(special, SpecialAmd64, MsrLStar, msr_or_zero(m, cpu, 0xC0000082));
    KD_PUT(special, SpecialAmd64, MsrCStar, msr_or_zero(m, cpu, 0xC0000083));
    KD_PUT(special, SpecialAmd64, MsrSyscallMask, msr_or_zero(m, cpu, 0xC0000084));
    KD_PUT(special, SpecialAmd64, Xcr0, 3);
    KD_PUT(special, SpecialAmd64, MsrFsBase, c->fs_base);
    return KD_OK;
}

static int set_special(void *machine, uint32_t cpu, const uint8_t special[KD_SPECIAL_AMD64_MAX])
{
    struct sim_cpu *c = &((struct sim_machine *)machine)->cpus[cpu];
    c->cr0 = KD_GET(special, SpecialAmd64, Cr0);
    c->cr2 = KD_GET(special, SpecialAmd64, Cr2);
    c->cr3 = KD_GET(special, SpecialAmd64, Cr3);
    c->cr4 = KD_GET(special, SpecialAmd64, Cr4);
    c->cr8 = KD_GET(special, SpecialAmd64, Cr8);
    c->dr[0] = KD_GET(special, SpecialAmd64, KernelDr0);
    c->dr[1] = KD_GET(special, SpecialAmd64, KernelDr1);
    c->dr[2] = KD_GET(special, SpecialAmd64, KernelDr2);
    c->dr[3] = KD_GET(special, SpecialAmd64, KernelDr3);
    c->dr[6] = KD_GET(special, SpecialAmd64, KernelDr6);
    c->dr[7] = KD_GET(special, SpecialAmd64, KernelDr7);
    c->gs_base = KD_GET(special, SpecialAmd64, MsrGsBase);
    c->fs_base = KD_GET(special, SpecialAmd64, MsrFsBase);
    return KD_OK;
}

static int control_address(void *machine, uint32_t cpu, uint64_t index, uint64_t *address)
{
    static const uint32_t offsets[] = {SIM_PCR_OFFSET, SIM_PRCB_OFFSET, 0, SIM_THREAD_OFFSET};
    (void)machine;
    if (index >= sizeof offsets / sizeof *offsets)
        return KD_E_ARGUMENT;
    *address = SIM_CPU_BASE + (uint64_t)cpu * SIM_PAGE + offsets[index];
    return KD_OK;
}

static void set_dr7(void *machine, uint64_t dr7)
{
    struct sim_machine *m = machine;
    for (uint32_t i = 0; i < m->config.cpus; i++) {
        m->cpus[i].dr[7] = dr7;
        m->cpus[i].dr[6] = 0;
    }
}

/* ---- MSRs, ports, PCI ---- */

enum { MSR_FS_BASE = 0xC0000100, MSR_GS_BASE = 0xC0000101 };

static struct sim_msr *find_msr(struct sim_machine *m, uint32_t number)
{
    for (size_t i = 0; i < m->msr_count; i++) {
        if (m->msrs[i].number == number)
            return &m->msrs[i];
    }
    return NULL;
}

int sim_read_msr(struct sim_machine *m, uint32_t cpu, uint32_t number, uint64_t *value)
{
    const struct sim_msr *msr = find_msr(m, number);
    if (number == (uint32_t)MSR_GS_BASE)
        *value = m->cpus[cpu].gs_base;
    else if (number == (uint32_t)MSR_FS_BASE)
        *value = m->cpus[cpu].fs_base;
    else if (msr)
        *value = msr->value;
    else
        return KD_E_NOT_FOUND;
    return KD_OK;
}

int sim_write_msr(struct sim_machine *m, uint32_t cpu, uint32_t number, uint64_t value)
{
    struct sim_msr *msr = find_msr(m, number);
    if (number == (uint32_t)MSR_GS_BASE)
        m->cpus[cpu].gs_base = value;
    else if (number == (uint32_t)MSR_FS_BASE)
        m->cpus[cpu].fs_base = value;
    else if (msr)
        msr->value = value;
    else
        return KD_E_NOT_FOUND;
    return KD_OK;
}

static int read_msr(void *machine, uint32_t cpu, uint32_t number, uint64_t *value)
{
    return sim_read_msr(machine, cpu, number, value);
}

static int write_msr(void *machine, uint32_t cpu, uint32_t number, uint64_t value)
{
    return sim_write_msr(machine, cpu, number, value);
}

/* A port is a byte of memory: what is written is read back. */
uint32_t sim_read_port(struct sim_machine *m, uint16_t port, uint32_t size)
{
    uint32_t value = 0;
    for (uint32_t i = 0; i < size && i < 4; i++)
        value |= (uint32_t)m->ports[(port + i) % SIM_PORTS] << (8 * i);
    return value;
}

void sim_write_port(struct sim_machine *m, uint16_t port, uint32_t size, uint32_t value)
{
    for (uint32_t i = 0; i < size && i < 4; i++)
        m->ports[(port + i) % SIM_PORTS] = (uint8_t)(value >> (8 * i));
}

static int read_io(void *machine, uint64_t port, uint32_t size, uint32_t *value)
{
    *value = sim_read_port(machine, (uint16_t)port, size);
    return KD_OK;
}

static int write_io(void *machine, uint64_t port, uint32_t size, uint32_t value)
{
    sim_write_port(machine, (uint16_t)port, size, value);
    return KD_OK;
}

static uint8_t *pci_device(struct sim_machine *m, uint32_t type, uint32_t bus, uint32_t slot)
{
    if (type != PCI_CONFIGURATION || bus != 0 || slot >> PCI_FUNCTION_SHIFT != 0 ||
        slot >= SIM_PCI_DEVICES || kd_get_u16(m->pci[slot]) == 0)
        return NULL;
    return m->pci[slot];
}

/* A device that is not there reads as ones, as on the real bus. */
static int get_bus_data(void *machine, uint32_t type, uint32_t bus, uint32_t slot, uint32_t offset,
                        uint8_t *to, uint32_t *size)
{
    const uint8_t *device = pci_device(machine, type, bus, slot);
    if (type != PCI_CONFIGURATION)
        return KD_E_UNSUPPORTED;
    if (offset >= 256)
        return KD_E_ARGUMENT;
    if (*size > 256 - offset)
        *size = 256 - offset;
    if (device)
        memcpy(to, device + offset, *size);
    else
        memset(to, 0xFF, *size);
    return KD_OK;
}

static int set_bus_data(void *machine, uint32_t type, uint32_t bus, uint32_t slot, uint32_t offset,
                        const uint8_t *from, uint32_t *size)
{
    enum { READ_ONLY = 4 }; /* vendor and device number */
    uint8_t *device = pci_device(machine, type, bus, slot);
    if (type != PCI_CONFIGURATION)
        return KD_E_UNSUPPORTED;
    if (!device)
        return KD_E_NOT_FOUND;
    if (offset >= 256)
        return KD_E_ARGUMENT;
    if (*size > 256 - offset)
        *size = 256 - offset;
    for (uint32_t i = 0; i < *size; i++) {
        if (offset + i >= READ_ONLY)
            device[offset + i] = from[i];
    }
    return KD_OK;
}

const struct kd_machine_ops *sim_machine_ops(void)
{
    static const struct kd_machine_ops ops = {
        .version = version,
        .processor_count = processor_count,
        .read_virtual = read_virtual,
        .write_virtual = write_virtual,
        .read_physical = read_physical,
        .write_physical = write_physical,
        .query_memory = query_memory,
        .get_context = get_context,
        .set_context = set_context,
        .get_special = get_special,
        .set_special = set_special,
        .control_address = control_address,
        .set_dr7 = set_dr7,
        .read_msr = read_msr,
        .write_msr = write_msr,
        .read_io = read_io,
        .write_io = write_io,
        .get_bus_data = get_bus_data,
        .set_bus_data = set_bus_data,
    };
    return &ops;
}

/* ---- Set-up ---- */

static void put_descriptors(uint8_t *gdt)
{
    kd_put_u64(gdt + SELECTOR_CODE, 0x00209B0000000000u);  /* 64-bit code, ring 0 */
    kd_put_u64(gdt + SELECTOR_STACK, 0x00409300000000FFu); /* data, ring 0 */
    kd_put_u64(gdt + (SELECTOR_DATA & ~7), 0x00CFF3000000FFFFu);
    kd_put_u64(gdt + (SELECTOR_TEB & ~7), 0x0040F30000003C00u);
    kd_put_u64(gdt + SELECTOR_TSS, 0x00008B0000000067u);
}

static void start_cpu(struct sim_machine *m, uint32_t number)
{
    struct sim_cpu *c = &m->cpus[number];
    c->cr0 = 0x80050033;
    c->cr3 = 0x1AB000;
    c->cr4 = 0x6F8;
    c->rflags = 0x202;
    c->cs = SELECTOR_CODE;
    c->ss = SELECTOR_STACK;
    c->ds = c->es = c->gs = SELECTOR_DATA;
    c->fs = SELECTOR_TEB;
    c->tr = SELECTOR_TSS;
    c->mxcsr = 0x1F80;
    kd_put_u16(m->fxsave[number], 0x27F);
    kd_put_u32(m->fxsave[number] + 24, c->mxcsr);
    c->dr[6] = 0xFFFF0FF0;
    c->dr[7] = 0x400;
    c->gs_base = SIM_CPU_BASE + (uint64_t)number * SIM_PAGE;
    c->gpr[SIM_RDI] = number;
    c->gpr[SIM_RSP] = SIM_STACK_BASE + (uint64_t)(number + 1) * STACK_SIZE - 0x48;
    c->rip = SIM_KERNEL_BASE + (number ? SIM_RVA_IDLE : SIM_RVA_MAIN);
}

/* The counters run down to 0 and start again from "every"; 0 runs down over 2^32. */
static void set_period(struct sim_machine *m, uint32_t rva, uint32_t every)
{
    uint8_t bytes[8];
    kd_put_u32(bytes, every);
    kd_put_u32(bytes + 4, every);
    write_virtual(m, SIM_KERNEL_BASE + rva, bytes, sizeof bytes);
}

static int map_built_in(struct sim_machine *m)
{
    uint8_t *system = NULL, *cpus = NULL;
    int error = sim_map(m, SIM_SYSTEM_BASE, SYSTEM_SIZE, SIM_R | SIM_W, &system);
    if (error == KD_OK)
        error = sim_map(m, SIM_CPU_BASE, (uint64_t)m->config.cpus * SIM_PAGE, SIM_R | SIM_W, &cpus);
    if (error == KD_OK)
        error =
            sim_map(m, SIM_STACK_BASE, (uint64_t)m->config.cpus * STACK_SIZE, SIM_R | SIM_W, NULL);
    if (error == KD_OK)
        error = sim_map(m, SIM_ROM_BASE, SIM_PAGE, SIM_R | SIM_X | SIM_FIXED, NULL);
    if (error < 0 || !system || !cpus)
        return error;
    put_descriptors(system);
    for (uint32_t i = 0; i < m->config.cpus; i++) { /* KPCR.Self and KPCR.CurrentPrcb */
        uint64_t page = SIM_CPU_BASE + (uint64_t)i * SIM_PAGE;
        kd_put_u64(cpus + (size_t)i * SIM_PAGE + 0x18, page);
        kd_put_u64(cpus + (size_t)i * SIM_PAGE + 0x20, page + SIM_PRCB_OFFSET);
    }
    return KD_OK;
}

static void fill_devices(struct sim_machine *m)
{
    static const uint32_t devices[][3] = {
        {0x12378086, 0x06000002, 0}, /* host bridge */
        {0x70008086, 0x06010000, 0}, /* ISA bridge */
        {0x100E8086, 0x02000003, 1}, /* network card, I/O enabled */
    };
    static const struct sim_msr msrs[] = {
        {0x10, 0},           {0x1B, 0xFEE00900},   {0x1A0, 1},
        {0xC0000080, 0xD01}, {0xC0000081, 0},      {0xC0000082, 0},
        {0xC0000083, 0},     {0xC0000084, 0x4700}, {0xC0000102, 0},
    };
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        kd_put_u32(m->pci[i], devices[i][0]);
        kd_put_u32(m->pci[i] + 4, devices[i][2]);
        kd_put_u32(m->pci[i] + 8, devices[i][1]);
    }
    memcpy(m->msrs, msrs, sizeof msrs);
    m->msr_count = sizeof msrs / sizeof *msrs;
}

int sim_init(struct sim_machine *m, const struct sim_config *config)
{
    memset(m, 0, sizeof *m);
    m->config = *config;
    m->physical_next = PHYSICAL_BASE;
    if (!m->config.cpus)
        m->config.cpus = 1;
    if (m->config.cpus > SIM_CPUS_MAX)
        return KD_E_ARGUMENT;
    int error = map_built_in(m);
    if (error == KD_OK)
        error = sim_modules_init(m);
    if (error < 0)
        return error;
    fill_devices(m);
    set_period(m, SIM_RVA_PRINT_LEFT, config->print_every);
    set_period(m, SIM_RVA_PROMPT_LEFT, config->prompt_every);
    set_period(m, SIM_RVA_LOAD_LEFT, config->load_every);
    for (uint32_t i = 0; i < m->config.cpus; i++)
        start_cpu(m, i);
    return KD_OK;
}

void sim_close(struct sim_machine *m)
{
    for (size_t i = 0; i < m->region_count; i++)
        free(m->regions[i].bytes);
    m->region_count = 0;
}

/* ---- Running ---- */

uint64_t sim_run(struct sim_machine *m, uint64_t instructions, struct sim_event *event)
{
    uint64_t tried = 0;
    memset(event, 0, sizeof *event);
    event->kind = SIM_RAN;
    uint32_t halted = 0;
    while (tried < instructions && halted < m->config.cpus) {
        uint32_t number = m->next_cpu;
        if (m->cpus[number].halted) {
            halted++;
        } else {
            halted = 0;
            for (unsigned i = 0; i < TURN && tried < instructions && !m->cpus[number].halted; i++) {
                tried++;
                if (sim_step(m, number, event))
                    return tried; /* the same processor goes on after the stop */
            }
        }
        m->next_cpu = (number + 1) % m->config.cpus;
    }
    if (halted == m->config.cpus)
        event->kind = SIM_IDLE;
    return tried;
}

void sim_resume(struct sim_machine *m)
{
    enum { FLAG_RF = 0x10000 };
    for (uint32_t i = 0; i < m->config.cpus; i++) {
        m->cpus[i].rflags |= FLAG_RF; /* clears itself with the next instruction */
        m->cpus[i].halted = false;
    }
}

void sim_enter_break_point(struct sim_machine *m, uint32_t number)
{
    struct sim_cpu *cpu = &m->cpus[number];
    uint8_t back[8];
    if (cpu->stop_skip && cpu->rip == cpu->stop_skip)
        cpu->rip++; /* behind the marker of the service it came from */
    kd_put_u64(back, cpu->rip);
    if (sim_cpu_access(m, cpu->gpr[SIM_RSP] - 8, back, sizeof back, SIM_WRITE)) {
        cpu->gpr[SIM_RSP] -= 8;
        cpu->rip = SIM_KERNEL_BASE + SIM_RVA_BREAK_POINT;
        cpu->stop_skip = cpu->rip;
    } /* else its stack is gone: it is reported where it is */
    cpu->halted = false;
}

void sim_answer(struct sim_machine *m, const uint8_t *bytes, size_t size)
{
    size_t done = write_virtual(m, m->prompt_buffer, bytes, size);
    m->cpus[m->prompt_cpu].gpr[SIM_RAX] = done;
}
