/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints the description of the protocol as Lua tables: the first half of kdwire.lua. */
#include <inttypes.h>
#include <stdio.h>

#include "kdwire/decode.h"
#include "kdwire/kdnet.h"
#include "kdwire/protocol.h"

static const char *format_name(uint8_t format)
{
    static const char *const names[] = {"HEX",  "DEC",   "ADDRESS", "STATUS", "ENUM",   "FLAGS",
                                        "BOOL", "BYTES", "TEXT",    "WORDS",  "FXSAVE", "PAD"};
    return names[format];
}

static void print_names(const char *key, const struct kd_name *names)
{
    printf("%s{", key);
    for (; names && names->name; names++)
        printf("{0x%" PRIx64 ",\"%s\"},", names->value, names->name);
    printf("}");
}

static void print_structure(const struct kd_structure *structure)
{
    printf("structures.%s = {name=\"%s\", size=%u,\n", structure->name, structure->name,
           (unsigned)structure->size);
    for (size_t i = 0; i < structure->count; i++) {
        const struct kd_field *field = &structure->fields[i];
        printf("  {name=\"%s\", at=%u, size=%u, format=\"%s\"", field->name,
               (unsigned)field->offset, (unsigned)field->size, format_name(field->format));
        if (field->names)
            print_names(", names=", field->names);
        printf("},\n");
    }
    printf("}\n");
}

static void print_apis(void)
{
    for (uint32_t number = KD_API_FIRST; number <= KD_API_LAST; number++) {
        const struct kd_api_info *api = kd_api_info(number);
        if (api)
            printf("apis[0x%x] = {name=\"%s\", request=structures.%s, reply=structures.%s, "
                   "request_data=\"%s\", reply_data=\"%s\", replies=%s}\n",
                   (unsigned)number, api->name, api->request->name, api->reply->name,
                   kd_data_kind_name(api->request_data), kd_data_kind_name(api->reply_data),
                   api->has_reply ? "true" : "false");
    }
}

static void print_types(void)
{
    for (unsigned type = 0; type < (unsigned)KD_PACKET_TYPE_MAX; type++)
        printf("types[%u] = {name=\"%s\", fixed=%zu}\n", type, kd_packet_type_name((uint16_t)type),
               kd_fixed_size((uint16_t)type));
}

static void print_layout(const char *name, size_t number, const char *field, int size)
{
    if (!number)
        printf("local %s = {", name);
    printf("{name=\"%s\", size=%d},", field, size);
}

/* The payloads of KDNET that are not KD. */
static void print_layouts(void)
{
    size_t number = 0;
#define POKE_FIELD(name, offset, size)     print_layout("poke_layout", number++, #name, size);
#define RESPONSE_FIELD(name, offset, size) print_layout("response_layout", number++, #name, size);
#define CHECK_FIELD(name, offset, size)    print_layout("check_layout", number++, #name, size);
    KDNET_POKE_MAP(POKE_FIELD)
    printf("}\n");
    number = 0;
    KDNET_RESPONSE_MAP(RESPONSE_FIELD)
    printf("}\n");
    number = 0;
    KDNET_CHECK_MAP(CHECK_FIELD)
    printf("}\n");
}

int main(void)
{
    printf("local structures, apis, types = {}, {}, {}\n");
    for (size_t i = 0; i < kd_structure_count(); i++)
        print_structure(kd_structure_at(i));
    print_apis();
    print_types();
    print_names("local status_names = ", kd_status_names());
    printf("\nlocal data_kinds = {");
    for (unsigned kind = 0; kind <= KD_DATA_TRACE; kind++)
        printf("\"%s\",", kd_data_kind_name((uint8_t)kind));
    printf("}\n");
    print_layouts();
    return 0;
}
