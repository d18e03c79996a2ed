/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A catalog: PKCS#7 signed data without a signature yet, over a certificate trust list whose
 * members are the hashes of a package's files. Layout as Microsoft's Inf2Cat writes it (verified
 * byte for byte against a public catalog); osslsigncode signs the result.
 */
#ifndef KDWIRE_MKCAT_CATALOG_H
#define KDWIRE_MKCAT_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { SHA1_SIZE = 20, SHA256_SIZE = 32, CATALOG_FILES_MAX = 16, CATALOG_IDS_MAX = 8 };

struct catalog_file {
    const char *name; /* without folder; written in lower case */
    bool is_pe;       /* hashed as Authenticode does, so that signing the file changes nothing */
    uint8_t sha1[SHA1_SIZE];
    uint8_t sha256[SHA256_SIZE];
};

struct catalog {
    struct catalog_file files[CATALOG_FILES_MAX];
    size_t file_count;
    const char *hardware_ids[CATALOG_IDS_MAX];
    size_t id_count;
    const char *os;      /* "_v100_X64" */
    uint8_t list_id[16]; /* anything; the same for the same input, for builds that repeat */
    time_t made;
};

/* DER of the whole file, malloc'ed; NULL: out of memory. */
uint8_t *catalog_write(const struct catalog *catalog, size_t *size);

/* Authenticode's hash of a PE image: without the checksum, the directory entry of the signature and
 * the signature itself, padded to 8. False: not a PE image. DIGEST is "SHA1" or "SHA256". */
bool pe_hash(const uint8_t *image, size_t size, const char *digest, uint8_t *hash);

#endif
