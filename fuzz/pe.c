/* SPDX-License-Identifier: BSD-2-Clause */
/* Images in memory and ACPI tables, as the UEFI engine reads them: the bytes are the image. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../uefi/acpi.h"
#include "../uefi/pe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
    const uint8_t *data;
    size_t size;
};

static size_t read_bytes(void *context, uint64_t offset, void *to, size_t size)
{
    const struct bytes *bytes = context;

    if (offset >= bytes->size)
        return 0;
    if (size > bytes->size - offset)
        size = (size_t)(bytes->size - offset);
    memcpy(to, bytes->data + offset, size);
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes bytes = {data, size};
    struct pe_info info;
    struct uefi_port port;
    uint64_t base;

    /* Memory may claim to be larger than what can be read. */
    if (pe_inspect(read_bytes, &bytes, size * 2, &info) == 0 &&
        strlen(info.pdb_name) >= PE_NAME_MAX)
        __builtin_trap();
    (void)acpi_dbg2_port(data, size, &port);
    (void)acpi_spcr_base(data, size, &base);
    return 0;
}
