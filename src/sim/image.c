/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The modules: PE32+ images built in simulated memory, with headers, sections and an RSDS record
 * that names their PDB, and the loader list a debugger walks from PsLoadedModuleList.
 */
#include <string.h>

#include "machine.h"

enum {
    MZ_MAGIC = 0x5A4D,
    PE_OFFSET = 0x80,
    PE_MAGIC = 0x4550,
    OPTIONAL_OFFSET = PE_OFFSET + 24,
    OPTIONAL_SIZE = 240, /* PE32+ with 16 data directories */
    SECTIONS_OFFSET = OPTIONAL_OFFSET + OPTIONAL_SIZE,
    SECTION_SIZE = 40,
    EXPORT_DIRECTORY = 0,
    EXCEPTION_DIRECTORY = 3,
    DEBUG_DIRECTORY = 6,
    /* The directories within the optional header: RVA and size each. */
    EXPORT_ENTRY = 112 + 8 * EXPORT_DIRECTORY,
    EXCEPTION_ENTRY = 112 + 8 * EXCEPTION_DIRECTORY,
    DEBUG_ENTRY = 112 + 8 * DEBUG_DIRECTORY,
    DEBUG_ENTRY_SIZE = 28,
    DEBUG_CODEVIEW = 2,
    DEBUG_OFFSET = SIM_RVA_RDATA, /* the debug directory, and the record behind it */
    RSDS_OFFSET = DEBUG_OFFSET + 32,
    RSDS_MAGIC = 0x53445352,
    RSDS_HEADER = 24,                         /* magic, GUID, age */
    FUNCTIONS_OFFSET = SIM_RVA_RDATA + 0x400, /* RUNTIME_FUNCTION of each function with a frame */
    FUNCTION_SIZE = 12,
    UNWIND_OFFSET = SIM_RVA_RDATA + 0x500,
    UNWIND_SIZE = 12,
    EXPORTS_OFFSET = SIM_RVA_RDATA + 0x600, /* directory, then the tables, then the names */
    EXPORTS_SIZE = 40,
    SECTION_CODE = 0x60000020,
    SECTION_READ = 0x40000040,
    SECTION_DATA = (int)0xC0000040,
    TIME_STAMP = 0x5F000000, /* any fixed time: builds of the simulator must not differ */

    /* The system pages: list head, entries, names (see SIM_SYSTEM_BASE). */
    LIST_HEAD = 0x1000,
    ENTRIES = 0x1040,
    ENTRY_STRIDE = 0x100, /* entry (0x88 bytes) and its names */
    NAME_OFFSET = 0x90,   /* of the full name within the stride */
    NAME_UNITS_MAX = (ENTRY_STRIDE - NAME_OFFSET) / 2,
};

/* What a stack walk needs to know of functions that move the stack pointer: x64 UNWIND_INFO. */
struct frame {
    uint16_t begin, end; /* RVAs */
    uint8_t unwind[UNWIND_SIZE];
};
static const struct frame kernel_frames[] = {
    {SIM_RVA_MAIN, 0x1066, {1, 4, 1, 0, 4, 0x42}}, /* sub rsp, 28h */
    /* push rbp; mov rbp, rsp; sub rsp, 20h */
    {SIM_RVA_WORK, 0x10A1, {1, 8, 3, 5, 8, 0x32, 4, 0x03, 1, 0x50}},
    {0x1120, 0x116B, {1, 4, 1, 0, 4, 0x42}}, /* toggle_driver: sub rsp, 28h */
    {0, 0, {0}},
};
static const struct frame push_rbx_frames[] = {
    {SIM_RVA_TEXT, 0x1017, {1, 1, 1, 0, 1, 0x30}},
    {0, 0, {0}},
};

/* Names for debuggers without the PDB. Sorted, as the format wants it. */
struct export
{
    const char *name;
    uint32_t rva;
};
static const struct export kernel_exports[] = {
    {"ask", 0x10F0},        {"break_point", SIM_RVA_BREAK_POINT},
    {"fib", SIM_RVA_FIB},   {"idle", SIM_RVA_IDLE},
    {"main", SIM_RVA_MAIN}, {"results", SIM_RVA_RESULTS},
    {"say", SIM_RVA_SAY},   {"toggle_driver", 0x1120},
    {"work", SIM_RVA_WORK}, {NULL, 0},
};
static const struct export hal_exports[] = {{"hal_entry", SIM_RVA_TEXT}, {NULL, 0}};
static const struct export driver_exports[] = {{"driver_entry", SIM_RVA_TEXT}, {NULL, 0}};

static const char *const directory_name = "\\sim\\";

static const struct {
    const char *name, *pdb;
    uint64_t base;
    const struct sim_code *code;
    const struct frame *frames;
    const struct export *exports;
} built_in[SIM_BUILT_IN_MODULES] = {
    {"simkernel.exe", "simkernel.pdb", SIM_KERNEL_BASE, &sim_kernel_code, kernel_frames,
     kernel_exports},
    {"simhal.dll", "simhal.pdb", SIM_HAL_BASE, &sim_hal_code, push_rbx_frames, hal_exports},
    {"simdriver.sys", "simdriver.pdb", SIM_DRIVER_BASE, &sim_driver_code, push_rbx_frames,
     driver_exports},
};

/* ---- The image ---- */

static void put_section(uint8_t *header, const char *name, uint32_t rva, uint32_t flags)
{
    for (size_t i = 0; name[i]; i++) /* 8 bytes, padded with NULs, not ended by one */
        header[i] = (uint8_t)name[i];
    kd_put_u32(header + 8, SIM_PAGE);  /* VirtualSize */
    kd_put_u32(header + 12, rva);      /* VirtualAddress */
    kd_put_u32(header + 16, SIM_PAGE); /* SizeOfRawData */
    kd_put_u32(header + 20, rva);      /* PointerToRawData: a file laid out like its memory */
    kd_put_u32(header + 36, flags);
}

static void put_optional_header(uint8_t *h, uint64_t base, uint32_t checksum)
{
    kd_put_u16(h, 0x20B);               /* PE32+ */
    kd_put_u32(h + 4, SIM_PAGE);        /* SizeOfCode */
    kd_put_u32(h + 16, SIM_RVA_TEXT);   /* AddressOfEntryPoint */
    kd_put_u32(h + 20, SIM_RVA_TEXT);   /* BaseOfCode */
    kd_put_u64(h + 24, base);           /* ImageBase */
    kd_put_u32(h + 32, SIM_PAGE);       /* SectionAlignment */
    kd_put_u32(h + 36, SIM_PAGE);       /* FileAlignment */
    kd_put_u16(h + 40, 10);             /* operating system version */
    kd_put_u16(h + 48, 10);             /* subsystem version */
    kd_put_u32(h + 56, SIM_IMAGE_SIZE); /* SizeOfImage */
    kd_put_u32(h + 60, SIM_PAGE);       /* SizeOfHeaders */
    kd_put_u32(h + 64, checksum);
    kd_put_u16(h + 68, 1); /* native */
    kd_put_u32(h + 108, 16);
    kd_put_u32(h + DEBUG_ENTRY, DEBUG_OFFSET);
    kd_put_u32(h + DEBUG_ENTRY + 4, DEBUG_ENTRY_SIZE);
}

static void put_headers(uint8_t *image, uint64_t base, uint32_t checksum)
{
    uint8_t *file = image + PE_OFFSET + 4;
    kd_put_u16(image, MZ_MAGIC);
    kd_put_u32(image + 0x3C, PE_OFFSET);
    kd_put_u32(image + PE_OFFSET, PE_MAGIC);
    kd_put_u16(file, KD_MACHINE_AMD64);
    kd_put_u16(file + 2, 3); /* sections */
    kd_put_u32(file + 4, TIME_STAMP);
    kd_put_u16(file + 16, OPTIONAL_SIZE);
    kd_put_u16(file + 18, 0x22); /* executable, large addresses */
    put_optional_header(image + OPTIONAL_OFFSET, base, checksum);
    put_section(image + SECTIONS_OFFSET, ".text", SIM_RVA_TEXT, SECTION_CODE);
    put_section(image + SECTIONS_OFFSET + SECTION_SIZE, ".rdata", SIM_RVA_RDATA, SECTION_READ);
    put_section(image + SECTIONS_OFFSET + SECTION_SIZE + SECTION_SIZE, ".data", SIM_RVA_DATA,
                (uint32_t)SECTION_DATA);
}

static void put_debug_record(uint8_t *image, const char *pdb, unsigned module)
{
    uint8_t *entry = image + DEBUG_OFFSET, *record = image + RSDS_OFFSET;
    size_t name = strlen(pdb) + 1;
    kd_put_u32(entry + 4, TIME_STAMP);
    kd_put_u32(entry + 12, DEBUG_CODEVIEW);
    kd_put_u32(entry + 16, (uint32_t)(RSDS_HEADER + name));
    kd_put_u32(entry + 20, RSDS_OFFSET); /* RVA */
    kd_put_u32(entry + 24, RSDS_OFFSET); /* file offset */
    kd_put_u32(record, RSDS_MAGIC);
    for (unsigned i = 0; i < 16; i++) /* a fixed GUID per module */
        record[4 + i] = (uint8_t)(0x51 + 16 * module + i);
    kd_put_u32(record + 20, 1); /* age */
    memcpy(record + RSDS_HEADER, pdb, name);
}

static void put_frames(uint8_t *image, const struct frame *frames)
{
    uint8_t *directory = image + OPTIONAL_OFFSET + EXCEPTION_ENTRY;
    uint8_t *function = image + FUNCTIONS_OFFSET;
    uint32_t unwind = UNWIND_OFFSET;
    for (; frames->end; frames++) {
        kd_put_u32(function, frames->begin);
        kd_put_u32(function + 4, frames->end);
        kd_put_u32(function + 8, unwind);
        memcpy(image + unwind, frames->unwind, UNWIND_SIZE);
        function += FUNCTION_SIZE;
        unwind += UNWIND_SIZE;
    }
    kd_put_u32(directory, FUNCTIONS_OFFSET);
    kd_put_u32(directory + 4, (uint32_t)(function - image) - FUNCTIONS_OFFSET);
}

/* Returns the RVA behind the text. */
static uint32_t put_name(uint8_t *image, uint32_t rva, const char *text)
{
    size_t size = strlen(text) + 1;
    memcpy(image + rva, text, size);
    return rva + (uint32_t)size;
}

static void put_exports(uint8_t *image, const char *module, const struct export *exports)
{
    uint8_t *directory = image + EXPORTS_OFFSET;
    uint32_t count = 0;
    while (exports[count].name)
        count++;
    uint32_t functions = EXPORTS_OFFSET + EXPORTS_SIZE, names = functions + 4 * count;
    uint32_t ordinals = names + 4 * count, text = ordinals + 2 * count;
    kd_put_u32(directory + 12, text);
    kd_put_u32(directory + 16, 1); /* first ordinal */
    kd_put_u32(directory + 20, count);
    kd_put_u32(directory + 24, count);
    kd_put_u32(directory + 28, functions);
    kd_put_u32(directory + 32, names);
    kd_put_u32(directory + 36, ordinals);
    text = put_name(image, text, module);
    for (uint32_t i = 0; i < count; i++) {
        kd_put_u32(image + functions + 4 * (size_t)i, exports[i].rva);
        kd_put_u32(image + names + 4 * (size_t)i, text);
        kd_put_u16(image + ordinals + 2 * (size_t)i, (uint16_t)i);
        text = put_name(image, text, exports[i].name);
    }
    kd_put_u32(image + OPTIONAL_OFFSET + EXPORT_ENTRY, EXPORTS_OFFSET);
    kd_put_u32(image + OPTIONAL_OFFSET + EXPORT_ENTRY + 4, text - EXPORTS_OFFSET);
}

static void put_kernel_data(uint8_t *image)
{
    static const char tick[] = "simkernel: tick\n", question[] = "simkernel: what next? ";
    memcpy(image + SIM_RVA_TICK_TEXT, tick, sizeof tick - 1);
    memcpy(image + SIM_RVA_QUESTION_TEXT, question, sizeof question - 1);
    kd_put_u64(image + SIM_RVA_HAL_ENTRY, SIM_HAL_BASE + SIM_RVA_TEXT);
    kd_put_u64(image + SIM_RVA_DRIVER_ENTRY, SIM_DRIVER_BASE + SIM_RVA_TEXT);
}

/* Headers and .text are one region each so that their access rights differ. */
static int map_image(struct sim_machine *m, unsigned module)
{
    static const struct {
        uint32_t rva, size;
        unsigned access;
    } parts[] = {
        {0, SIM_RVA_TEXT, SIM_R},
        {SIM_RVA_TEXT, SIM_PAGE, SIM_R | SIM_X},
        {SIM_RVA_RDATA, SIM_PAGE, SIM_R},
        {SIM_RVA_DATA, SIM_PAGE, SIM_R | SIM_W},
    };
    uint8_t image[SIM_IMAGE_SIZE] = {0};
    const struct sim_module *info = &m->modules[module];
    put_headers(image, info->base, info->checksum);
    put_debug_record(image, built_in[module].pdb, module);
    put_frames(image, built_in[module].frames);
    put_exports(image, info->name, built_in[module].exports);
    memcpy(image + SIM_RVA_TEXT, built_in[module].code->bytes, built_in[module].code->size);
    if (module == SIM_KERNEL)
        put_kernel_data(image);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        uint8_t *bytes;
        int error = sim_map(m, info->base + parts[i].rva, parts[i].size, parts[i].access, &bytes);
        if (error < 0) {
            while (i-- > 0)
                sim_unmap(m, info->base + parts[i].rva);
            return error;
        }
        memcpy(bytes, image + parts[i].rva, parts[i].size);
    }
    return KD_OK;
}

static void unmap_image(struct sim_machine *m, unsigned module)
{
    for (uint32_t rva = 0; rva < SIM_IMAGE_SIZE; rva += SIM_PAGE)
        sim_unmap(m, m->modules[module].base + rva);
}

/* ---- The loader list ---- */

uint64_t sim_loaded_module_list(void)
{
    return SIM_SYSTEM_BASE + LIST_HEAD;
}

static uint64_t entry_address(unsigned module)
{
    return SIM_SYSTEM_BASE + ENTRIES + (uint64_t)module * ENTRY_STRIDE;
}

static void write_memory(struct sim_machine *m, uint64_t address, const uint8_t *bytes, size_t size)
{
    (void)sim_machine_ops()->write_virtual(m, address, bytes, size);
}

/* Flink and Blink of one element. */
static void put_links(struct sim_machine *m, uint64_t element, uint64_t next, uint64_t previous)
{
    uint8_t links[16];
    kd_put_u64(links, next);
    kd_put_u64(links + 8, previous);
    write_memory(m, element, links, sizeof links);
}

static void link_all(struct sim_machine *m)
{
    uint64_t order[SIM_MODULES_MAX + 2];
    size_t count = 1;
    order[0] = sim_loaded_module_list();
    for (unsigned i = 0; i < m->module_count; i++) {
        if (m->modules[i].loaded)
            order[count++] = entry_address(i);
    }
    for (size_t i = 0; i < count; i++)
        put_links(m, order[i], order[(i + 1) % count], order[(i + count - 1) % count]);
}

/* The base name is the tail of the full name: one buffer for both. */
static void put_entry(struct sim_machine *m, unsigned module)
{
    const struct sim_module *info = &m->modules[module];
    uint8_t entry[ENTRY_STRIDE] = {0};
    uint64_t address = entry_address(module);
    size_t units = 0, directory = strlen(directory_name), base = strlen(info->name);
    for (size_t i = 0; i < directory && units < NAME_UNITS_MAX; i++)
        kd_put_u16(entry + NAME_OFFSET + 2 * units++, (uint8_t)directory_name[i]);
    for (size_t i = 0; i < base && units < NAME_UNITS_MAX; i++)
        kd_put_u16(entry + NAME_OFFSET + 2 * units++, (uint8_t)info->name[i]);
    KD_PUT(entry, LoaderEntry64, DllBase, info->base);
    KD_PUT(entry, LoaderEntry64, EntryPoint, info->entry);
    KD_PUT(entry, LoaderEntry64, SizeOfImage, info->size);
    KD_PUT(entry, LoaderEntry64, FullDllNameLength, 2 * units);
    KD_PUT(entry, LoaderEntry64, FullDllNameMaximum, 2 * units);
    KD_PUT(entry, LoaderEntry64, FullDllNameBuffer, address + NAME_OFFSET);
    KD_PUT(entry, LoaderEntry64, BaseDllNameLength, 2 * (units - directory));
    KD_PUT(entry, LoaderEntry64, BaseDllNameMaximum, 2 * (units - directory));
    KD_PUT(entry, LoaderEntry64, BaseDllNameBuffer, address + NAME_OFFSET + 2 * directory);
    KD_PUT(entry, LoaderEntry64, LoadCount, 1);
    KD_PUT(entry, LoaderEntry64, CheckSum, info->checksum);
    write_memory(m, address, entry, sizeof entry);
}

int sim_module_load(struct sim_machine *m, unsigned module)
{
    if (m->modules[module].loaded)
        return KD_E_EXISTS;
    int error = map_image(m, module);
    if (error < 0)
        return error;
    m->modules[module].loaded = true;
    put_entry(m, module);
    link_all(m);
    return KD_OK;
}

int sim_module_unload(struct sim_machine *m, unsigned module)
{
    if (!m->modules[module].loaded)
        return KD_E_NOT_FOUND;
    m->modules[module].loaded = false;
    unmap_image(m, module);
    link_all(m);
    return KD_OK;
}

int sim_modules_init(struct sim_machine *m)
{
    m->module_count = SIM_BUILT_IN_MODULES;
    for (unsigned i = 0; i < SIM_BUILT_IN_MODULES; i++) {
        struct sim_module *info = &m->modules[i];
        memcpy(info->name, built_in[i].name, strlen(built_in[i].name) + 1);
        info->base = built_in[i].base;
        info->size = SIM_IMAGE_SIZE;
        info->checksum = 0x10000 + i;
        info->entry = info->base + SIM_RVA_TEXT;
        if (i == SIM_DRIVER)
            continue; /* the program loads it */
        int error = sim_module_load(m, i);
        if (error < 0)
            return error;
    }
    return KD_OK;
}
