/* SPDX-License-Identifier: BSD-2-Clause */
/* mkcat OUTPUT --id HARDWARE-ID [--os OS] FILE...: an unsigned catalog of the files. */
#include "catalog.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 64 * 1024 * 1024 }; /* a driver's files are a hundred times smaller */

static const char usage[] =
    "usage: mkcat OUTPUT.cat --id HARDWARE-ID [--id ...] [--os _v100_X64] FILE...\n"
    "Writes a catalog of the files for a driver package, not signed yet (osslsigncode signs it).\n"
    "PE images are hashed as Authenticode does: they may be signed before or afterwards.\n"
    "SOURCE_DATE_EPOCH sets the time in it.\n";

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(FILE_MAX + 1);
    if (!file || !bytes) {
        fprintf(stderr, "mkcat: %s: %s\n", path, strerror(errno));
        free(bytes);
        if (file)
            fclose(file);
        return NULL;
    }
    *size = fread(bytes, 1, FILE_MAX + 1, file);
    bool bad = ferror(file) || *size > FILE_MAX;
    fclose(file);
    if (!bad)
        return bytes;
    fprintf(stderr, "mkcat: %s: cannot be read, or is larger than %d bytes\n", path, FILE_MAX);
    free(bytes);
    return NULL;
}

static bool hash_file(struct catalog_file *file, const uint8_t *bytes, size_t size)
{
    file->is_pe =
        pe_hash(bytes, size, "SHA256", file->sha256) && pe_hash(bytes, size, "SHA1", file->sha1);
    return file->is_pe || (EVP_Digest(bytes, size, file->sha256, NULL, EVP_sha256(), NULL) &&
                           EVP_Digest(bytes, size, file->sha1, NULL, EVP_sha1(), NULL));
}

static bool add_file(struct catalog *catalog, const char *path)
{
    size_t size = 0;
    if (catalog->file_count == CATALOG_FILES_MAX) {
        fprintf(stderr, "mkcat: more than %d files\n", CATALOG_FILES_MAX);
        return false;
    }
    uint8_t *bytes = read_file(path, &size);
    if (!bytes)
        return false;
    struct catalog_file *file = &catalog->files[catalog->file_count++];
    const char *slash = strrchr(path, '/');
    file->name = slash ? slash + 1 : path;
    bool ok = hash_file(file, bytes, size);
    free(bytes);
    return ok;
}

/* The same files give the same id, and the list a different one when one of them changes. */
static void make_list_id(struct catalog *catalog)
{
    uint8_t all[CATALOG_FILES_MAX * SHA256_SIZE];
    uint8_t hash[SHA256_SIZE];
    for (size_t i = 0; i < catalog->file_count; i++)
        memcpy(all + i * SHA256_SIZE, catalog->files[i].sha256, SHA256_SIZE);
    EVP_Digest(all, catalog->file_count * SHA256_SIZE, hash, NULL, EVP_sha256(), NULL);
    memcpy(catalog->list_id, hash, sizeof(catalog->list_id));
}

static int write_catalog(const struct catalog *catalog, const char *path)
{
    size_t size = 0;
    uint8_t *bytes = catalog_write(catalog, &size);
    FILE *file = bytes ? fopen(path, "wb") : NULL;
    bool ok = file && fwrite(bytes, 1, size, file) == size;
    if (file && fclose(file))
        ok = false;
    free(bytes);
    if (!ok)
        fprintf(stderr, "mkcat: %s: cannot be written: %s\n", path, strerror(errno));
    return ok ? 0 : 1;
}

static bool parse(struct catalog *catalog, int count, char **arguments)
{
    for (int i = 2; i < count; i++) {
        bool has_value = i + 1 < count;
        if (!strcmp(arguments[i], "--id") && has_value && catalog->id_count < CATALOG_IDS_MAX)
            catalog->hardware_ids[catalog->id_count++] = arguments[++i];
        else if (!strcmp(arguments[i], "--os") && has_value)
            catalog->os = arguments[++i];
        else if (arguments[i][0] == '-')
            return false;
    }
    return catalog->id_count > 0;
}

int main(int count, char **arguments)
{
    struct catalog catalog = {.os = "_v100_X64"};
    if (count > 1 && !strcmp(arguments[1], "--help")) {
        fputs(usage, stdout);
        return 0;
    }
    if (count < 5 || !parse(&catalog, count, arguments)) {
        fputs(usage, stderr);
        return 2;
    }
    for (int i = 2; i < count; i++) {
        if (arguments[i][0] == '-')
            i++;
        else if (!add_file(&catalog, arguments[i]))
            return 1;
    }
    if (!catalog.file_count) {
        fputs(usage, stderr);
        return 2;
    }
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    catalog.made = epoch ? (time_t)strtoll(epoch, NULL, 10) : time(NULL);
    make_list_id(&catalog);
    return write_catalog(&catalog, arguments[1]);
}
