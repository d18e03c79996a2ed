/* SPDX-License-Identifier: BSD-2-Clause */
#include "catalog.h"

#include <openssl/evp.h>

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t get_u16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

enum {
    DOS_PE_OFFSET = 0x3C,
    DOS_SIZE = 0x40,
    COFF_SIZE = 24, /* with the PE signature */
    CHECKSUM = 64,  /* in the optional header, as are: */
    SECURITY_PE32 = 128,
    SECURITY_PE32_PLUS = 144,
    DIRECTORY_SIZE = 8,
    MAGIC_PE32 = 0x10B,
    MAGIC_PE32_PLUS = 0x20B,
};

/* Where the parts that do not count lie. */
struct layout {
    size_t checksum, security, signature;
};

static bool find_parts(const uint8_t *image, size_t size, struct layout *out)
{
    if (size < DOS_SIZE || image[0] != 'M' || image[1] != 'Z')
        return false;
    size_t pe = get_u32(image + DOS_PE_OFFSET);
    if (pe > size || size - pe < COFF_SIZE + SECURITY_PE32_PLUS + DIRECTORY_SIZE ||
        get_u32(image + pe) != 0x4550)
        return false;
    size_t optional = pe + COFF_SIZE;
    uint32_t magic = get_u16(image + optional);
    if (magic != MAGIC_PE32 && magic != MAGIC_PE32_PLUS)
        return false;
    out->checksum = optional + CHECKSUM;
    out->security = optional + (magic == MAGIC_PE32 ? SECURITY_PE32 : SECURITY_PE32_PLUS);
    size_t at = get_u32(image + out->security);
    out->signature = at && at < size && at > out->security ? at : size;
    return true;
}

bool pe_hash(const uint8_t *image, size_t size, const char *digest, uint8_t *hash)
{
    static const uint8_t padding[8];
    struct layout parts;
    if (!find_parts(image, size, &parts))
        return false;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    size_t after_checksum = parts.checksum + 4;
    size_t after_security = parts.security + DIRECTORY_SIZE;
    bool ok = md && EVP_DigestInit_ex(md, EVP_get_digestbyname(digest), NULL) &&
              EVP_DigestUpdate(md, image, parts.checksum) &&
              EVP_DigestUpdate(md, image + after_checksum, parts.security - after_checksum) &&
              EVP_DigestUpdate(md, image + after_security, parts.signature - after_security) &&
              EVP_DigestUpdate(md, padding, (8 - parts.signature % 8) % 8) &&
              EVP_DigestFinal_ex(md, hash, NULL);
    EVP_MD_CTX_free(md);
    return ok;
}
