/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DER from the inside out: every value is written into a buffer from its end, so that a length is
 * known when its header is due. "begin" remembers the end, "wrap" puts tag and length before what
 * was written since.
 */
#include "catalog.h"

#include <ctype.h>
#include <openssl/objects.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DER_MAX = 256 * 1024, /* a file takes some 600 bytes, a catalog has few */
    TAG_INTEGER = 0x02,
    TAG_BITS = 0x03,
    TAG_OCTETS = 0x04,
    TAG_NULL = 0x05,
    TAG_OID = 0x06,
    TAG_UTC = 0x17,
    TAG_BMP = 0x1E,
    TAG_SEQUENCE = 0x30,
    TAG_SET = 0x31,
    TAG_CONTEXT = 0x80,    /* primitive */
    TAG_CONTEXT_IN = 0xA0, /* constructed */
    NAME_VALUE_FLAGS = 0x10010001,
};

#define OID_SIGNED_DATA   "1.2.840.113549.1.7.2"
#define OID_SHA1          "1.3.14.3.2.26"
#define OID_SHA256        "2.16.840.1.101.3.4.2.1"
#define OID_CTL           "1.3.6.1.4.1.311.10.1"
#define OID_CATALOG_LIST  "1.3.6.1.4.1.311.12.1.1"
#define OID_MEMBER_V2     "1.3.6.1.4.1.311.12.1.3"
#define OID_NAME_VALUE    "1.3.6.1.4.1.311.12.2.1"
#define OID_MEMBER_INFO   "1.3.6.1.4.1.311.12.2.3"
#define OID_INDIRECT_DATA "1.3.6.1.4.1.311.2.1.4"
#define OID_PE_IMAGE      "1.3.6.1.4.1.311.2.1.15"
#define OID_FLAT_FILE     "1.3.6.1.4.1.311.2.1.25"

struct der {
    uint8_t *bytes;
    size_t at; /* the first byte written so far */
};

static void put(struct der *der, const void *bytes, size_t size)
{
    if (size > der->at)
        abort(); /* DER_MAX is far above what CATALOG_FILES_MAX files take */
    der->at -= size;
    if (!size)
        return; /* with nothing there is nowhere to copy from */
    memcpy(der->bytes + der->at, bytes, size);
}

static void put_byte(struct der *der, unsigned byte)
{
    const uint8_t one = (uint8_t)byte;
    put(der, &one, 1);
}

static void wrap(struct der *der, unsigned tag, size_t end)
{
    size_t length = end - der->at;
    if (length < 0x80) {
        put_byte(der, (unsigned)length);
    } else {
        unsigned count = 0;
        for (size_t rest = length; rest; rest >>= 8, count++)
            put_byte(der, (unsigned)(rest & 0xFF));
        put_byte(der, 0x80 | count);
    }
    put_byte(der, tag);
}

static void put_value(struct der *der, unsigned tag, const void *bytes, size_t size)
{
    size_t end = der->at;
    put(der, bytes, size);
    wrap(der, tag, end);
}

static void put_oid(struct der *der, const char *text)
{
    ASN1_OBJECT *object = OBJ_txt2obj(text, 1);
    if (!object)
        abort();
    put_value(der, TAG_OID, OBJ_get0_data(object), OBJ_length(object));
    ASN1_OBJECT_free(object);
}

static void put_integer(struct der *der, uint32_t value)
{
    const uint8_t bytes[] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                             (uint8_t)value};
    size_t skip = 0;
    while (skip < 3 && !bytes[skip] && !(bytes[skip + 1] & 0x80))
        skip++;
    put_value(der, TAG_INTEGER, bytes + skip, sizeof(bytes) - skip);
}

/* UTF-16 of an ASCII text; big-endian in BMP strings, little-endian with its terminator elsewhere.
 */
static void put_wide(struct der *der, unsigned tag, const char *text)
{
    size_t end = der->at;
    bool is_bmp = tag == TAG_BMP;
    if (!is_bmp)
        put(der, "\0\0", 2);
    for (size_t i = strlen(text); i > 0; i--) {
        const uint8_t pair[2] = {is_bmp ? 0 : (uint8_t)text[i - 1],
                                 is_bmp ? (uint8_t)text[i - 1] : 0};
        put(der, pair, 2);
    }
    wrap(der, tag, end);
}

/* { name, flags, value }: what attributes and extensions are made of. */
static void put_name_value(struct der *der, const char *name, const char *value)
{
    size_t end = der->at;
    put_wide(der, TAG_OCTETS, value);
    put_integer(der, NAME_VALUE_FLAGS);
    put_wide(der, TAG_BMP, name);
    wrap(der, TAG_SEQUENCE, end);
}

static void put_algorithm(struct der *der, const char *oid)
{
    size_t end = der->at;
    put_value(der, TAG_NULL, NULL, 0);
    put_oid(der, oid);
    wrap(der, TAG_SEQUENCE, end);
}

/* What a hash is of: [2] { [0] "" }. */
static void put_empty_file_link(struct der *der)
{
    size_t end = der->at;
    put_value(der, TAG_CONTEXT, NULL, 0);
    wrap(der, TAG_CONTEXT_IN | 2, end);
}

static void put_indirect_data(struct der *der, const struct catalog_file *file)
{
    static const uint8_t pe_flags[] = {0x05, 0xA0};
    size_t end = der->at;
    /* the digest */
    put_value(der, TAG_OCTETS, file->sha256, SHA256_SIZE);
    put_algorithm(der, OID_SHA256);
    wrap(der, TAG_SEQUENCE, end);
    /* the kind of file */
    size_t kind_end = der->at;
    put_empty_file_link(der);
    if (file->is_pe) {
        wrap(der, TAG_CONTEXT_IN, kind_end);
        put_value(der, TAG_BITS, pe_flags, sizeof(pe_flags));
        wrap(der, TAG_SEQUENCE, kind_end);
    }
    put_oid(der, file->is_pe ? OID_PE_IMAGE : OID_FLAT_FILE);
    wrap(der, TAG_SEQUENCE, kind_end);
    wrap(der, TAG_SEQUENCE, end);
}

/* Closes { OID, SET { what was written since END } }. */
static void wrap_attribute(struct der *der, const char *oid, size_t end)
{
    wrap(der, TAG_SET, end);
    put_oid(der, oid);
    wrap(der, TAG_SEQUENCE, end);
}

struct element { /* one DER value, for sorting */
    uint8_t *bytes;
    size_t size;
};

static int compare_elements(const void *left, const void *right)
{
    const struct element *a = left;
    const struct element *b = right;
    size_t least = a->size < b->size ? a->size : b->size;
    int order = memcmp(a->bytes, b->bytes, least);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

/* What was written since FROM, as an element of its own; it is taken out again. */
static struct element take(struct der *der, size_t from)
{
    struct element element = {malloc(from - der->at), from - der->at};
    if (!element.bytes)
        abort();
    memcpy(element.bytes, der->bytes + der->at, element.size);
    der->at = from;
    return element;
}

/* Puts elements in DER's order of a set, smallest first, and frees them. */
static void put_sorted(struct der *der, struct element *elements, size_t count)
{
    qsort(elements, count, sizeof(*elements), compare_elements);
    for (size_t i = count; i > 0; i--) {
        put(der, elements[i - 1].bytes, elements[i - 1].size);
        free(elements[i - 1].bytes);
    }
}

static const char *lower(const char *text, char out[128])
{
    size_t i = 0;
    for (; text[i] && i < 127; i++)
        out[i] = (char)tolower((unsigned char)text[i]);
    out[i] = '\0';
    return out;
}

/* One member: { hash, SET OF attributes }; the indirect data only beside the SHA-256. */
static void put_member(struct der *der, const struct catalog_file *file, bool is_sha256)
{
    struct element attributes[4];
    size_t count = 0;
    size_t start = der->at;
    char name[128];

    put_value(der, file->is_pe ? TAG_CONTEXT : TAG_CONTEXT | 2, NULL, 0);
    wrap_attribute(der, OID_MEMBER_INFO, start);
    attributes[count++] = take(der, start);
    put_name_value(der, "OSAttr", "2:10.0");
    wrap_attribute(der, OID_NAME_VALUE, start);
    attributes[count++] = take(der, start);
    put_name_value(der, "File", lower(file->name, name));
    wrap_attribute(der, OID_NAME_VALUE, start);
    attributes[count++] = take(der, start);
    if (is_sha256) {
        put_indirect_data(der, file);
        wrap_attribute(der, OID_INDIRECT_DATA, start);
        attributes[count++] = take(der, start);
    }
    put_sorted(der, attributes, count);
    wrap(der, TAG_SET, start);
    put_value(der, TAG_OCTETS, is_sha256 ? file->sha256 : file->sha1,
              is_sha256 ? SHA256_SIZE : SHA1_SIZE);
    wrap(der, TAG_SEQUENCE, start);
}

struct member {
    const struct catalog_file *file;
    bool is_sha256;
    const uint8_t *tag;
    size_t tag_size;
};

static int compare_members(const void *left, const void *right)
{
    const struct member *a = left;
    const struct member *b = right;
    int order = memcmp(a->tag, b->tag, a->tag_size < b->tag_size ? a->tag_size : b->tag_size);
    return order ? order : (a->tag_size > b->tag_size) - (a->tag_size < b->tag_size);
}

/* All members, ascending by their hashes. */
static void put_members(struct der *der, const struct catalog *catalog)
{
    struct member members[2 * CATALOG_FILES_MAX];
    size_t count = 0;
    size_t end = der->at;
    for (size_t i = 0; i < catalog->file_count; i++) {
        const struct catalog_file *file = &catalog->files[i];
        members[count++] = (struct member){file, false, file->sha1, SHA1_SIZE};
        members[count++] = (struct member){file, true, file->sha256, SHA256_SIZE};
    }
    qsort(members, count, sizeof(members[0]), compare_members);
    for (size_t i = count; i > 0; i--)
        put_member(der, members[i - 1].file, members[i - 1].is_sha256);
    wrap(der, TAG_SEQUENCE, end);
}

static void put_extension(struct der *der, const char *name, const char *value)
{
    size_t end = der->at;
    put_name_value(der, name, value);
    wrap(der, TAG_OCTETS, end);
    put_oid(der, OID_NAME_VALUE);
    wrap(der, TAG_SEQUENCE, end);
}

/* The system it is for, then hardware ids, the last one first. */
static void put_extensions(struct der *der, const struct catalog *catalog)
{
    size_t end = der->at;
    char name[16];
    char id[128];
    for (size_t i = 0; i < catalog->id_count; i++) {
        snprintf(name, sizeof(name), "HWID%zu", i + 1);
        put_extension(der, name, lower(catalog->hardware_ids[i], id));
    }
    put_extension(der, "OS", catalog->os);
    wrap(der, TAG_SEQUENCE, end);
    wrap(der, TAG_CONTEXT_IN, end);
}

static void put_list(struct der *der, const struct catalog *catalog)
{
    char time_text[24];
    struct tm made;
    size_t end = der->at;
    put_extensions(der, catalog);
    put_members(der, catalog);
    put_algorithm(der, OID_MEMBER_V2);
    gmtime_r(&catalog->made, &made);
    /* UTCTime has two digits of the year by definition. */
    snprintf(time_text, sizeof(time_text), "%02u%02u%02u%02u%02u%02uZ",
             (unsigned)made.tm_year % 100, (unsigned)(made.tm_mon + 1) % 100,
             (unsigned)made.tm_mday % 100, (unsigned)made.tm_hour % 100,
             (unsigned)made.tm_min % 100, (unsigned)made.tm_sec % 100);
    put_value(der, TAG_UTC, time_text, strlen(time_text));
    put_value(der, TAG_OCTETS, catalog->list_id, sizeof(catalog->list_id));
    size_t usage_end = der->at;
    put_oid(der, OID_CATALOG_LIST);
    wrap(der, TAG_SEQUENCE, usage_end);
    wrap(der, TAG_SEQUENCE, end);
}

uint8_t *catalog_write(const struct catalog *catalog, size_t *size)
{
    struct der der = {malloc(DER_MAX), DER_MAX};
    if (!der.bytes)
        return NULL;
    put_value(&der, TAG_SET, NULL, 0); /* no signer yet */
    size_t content_end = der.at;
    put_list(&der, catalog);
    wrap(&der, TAG_CONTEXT_IN, content_end);
    put_oid(&der, OID_CTL);
    wrap(&der, TAG_SEQUENCE, content_end);
    put_value(&der, TAG_SET, NULL, 0); /* no digest algorithm yet */
    put_integer(&der, 1);
    wrap(&der, TAG_SEQUENCE, DER_MAX);
    wrap(&der, TAG_CONTEXT_IN, DER_MAX);
    put_oid(&der, OID_SIGNED_DATA);
    wrap(&der, TAG_SEQUENCE, DER_MAX);
    *size = DER_MAX - der.at;
    memmove(der.bytes, der.bytes + der.at, *size);
    return der.bytes;
}
