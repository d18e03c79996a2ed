/* SPDX-License-Identifier: BSD-2-Clause */
/* The file sink: one file, or numbered files that follow each other. */
#include "capture/recorder.h"

#include <errno.h>
#include <string.h>

#include "kdwire/error.h"

enum {
    /* Where the search for an unused number ends: a folder with more files needs tidying. */
    FILE_NUMBER_MAX = 99999,
};

static bool exists(const char *path)
{
    FILE *stream = fopen(path, "rb");
    if (stream)
        fclose(stream);
    return stream != NULL;
}

/* dir/name.ext -> dir/name_00001.ext; the result may be cut, which the caller checks. */
static int numbered_path(const char *path, unsigned number, char *out)
{
    const char *name = strrchr(path, '/');
    const char *backslash = strrchr(path, '\\'); /* Windows; harmless elsewhere */
    if (backslash && (!name || backslash > name))
        name = backslash;
    const char *dot = strrchr(name ? name : path, '.');
    size_t stem = dot ? (size_t)(dot - path) : strlen(path);
    int size =
        snprintf(out, CAPTURE_PATH_MAX, "%.*s_%05u%s", (int)stem, path, number, dot ? dot : "");
    return size < 0 || size >= CAPTURE_PATH_MAX ? KD_E_TOO_LONG : KD_OK;
}

static bool rotates(const struct capture_file *file)
{
    return file->config.rotate_size || file->config.rotate_time_ns;
}

static int first_unused_number(struct capture_file *file)
{
    for (file->number = 1; file->number <= FILE_NUMBER_MAX; file->number++) {
        int code = numbered_path(file->path, file->number, file->current);
        if (code < 0)
            return code;
        if (!exists(file->current)) {
            file->first_number = file->number;
            return KD_OK;
        }
    }
    return KD_E_EXISTS;
}

static int write_all(struct capture_file *file, const uint8_t *bytes, size_t size)
{
    errno = 0;
    if (fwrite(bytes, 1, size, file->stream) != size) {
        file->error_number = errno;
        return KD_E_IO;
    }
    file->written += size;
    file->total += size;
    return KD_OK;
}

static int open_current(struct capture_file *file)
{
    errno = 0;
    if (file->config.create)
        file->stream = file->config.create(file->current, file->config.replace && !rotates(file));
    else
        file->stream = fopen(file->current, "wb");
    if (!file->stream) {
        file->error_number = errno;
        return KD_E_IO;
    }
    /* One write per block: whatever kills us, the file ends with a whole block. */
    setvbuf(file->stream, NULL, _IONBF, 0);
    file->written = 0;
    file->has_record = false;
    return write_all(file, file->preamble, file->preamble_size);
}

static int begin(struct capture_sink *sink, const uint8_t *preamble, size_t size)
{
    struct capture_file *file = (struct capture_file *)sink;
    file->preamble = preamble;
    file->preamble_size = size;
    if (rotates(file)) {
        int code = first_unused_number(file);
        if (code < 0)
            return code;
    } else {
        memcpy(file->current, file->path, sizeof(file->current));
        if (!file->config.replace && exists(file->current))
            return KD_E_EXISTS;
    }
    return open_current(file);
}

static void remove_oldest(const struct capture_file *file)
{
    char path[CAPTURE_PATH_MAX];
    unsigned keep = file->config.keep;
    if (!keep || file->number < file->first_number || file->number - file->first_number < keep)
        return;
    /* only what this run wrote; a file the user moved away is no fault */
    if (numbered_path(file->path, file->number - keep, path) == KD_OK)
        (void)remove(path);
}

static int next_file(struct capture_file *file)
{
    int code = capture_file_close(file);
    if (code < 0)
        return code;
    for (;;) {
        if (file->number >= FILE_NUMBER_MAX)
            return KD_E_EXISTS;
        file->number++;
        code = numbered_path(file->path, file->number, file->current);
        if (code < 0)
            return code;
        if (!exists(file->current))
            break;
        /* someone else's file: left alone now, and by remove_oldest */
        file->first_number = file->number + 1;
    }
    remove_oldest(file);
    return open_current(file);
}

static bool is_full(const struct capture_file *file, size_t size, uint64_t time_ns)
{
    const struct capture_file_config *config = &file->config;
    if (!file->has_record)
        return false;
    if (config->rotate_size &&
        (file->written >= config->rotate_size || size > config->rotate_size - file->written))
        return true;
    return config->rotate_time_ns && time_ns > file->first_ns &&
           time_ns - file->first_ns >= config->rotate_time_ns;
}

static int write_block(struct capture_sink *sink, const uint8_t *block, size_t size,
                       uint64_t time_ns)
{
    struct capture_file *file = (struct capture_file *)sink;
    if (!file->stream)
        return KD_E_CLOSED;
    if (is_full(file, size, time_ns)) {
        int code = next_file(file);
        if (code < 0)
            return code;
    }
    if (!file->has_record)
        file->first_ns = time_ns;
    file->has_record = true;
    return write_all(file, block, size);
}

int capture_file_init(struct capture_file *file, const struct capture_file_config *config)
{
    memset(file, 0, sizeof(*file));
    file->config = *config;
    file->sink.begin = begin;
    file->sink.write = write_block;
    size_t size = config->path ? strlen(config->path) : 0;
    if (!size || size >= sizeof(file->path))
        return KD_E_ARGUMENT;
    memcpy(file->path, config->path, size + 1);
    file->config.path = file->path;
    return KD_OK;
}

int capture_file_close(struct capture_file *file)
{
    if (!file->stream)
        return KD_OK;
    errno = 0;
    int failed = fclose(file->stream);
    file->stream = NULL;
    if (failed) {
        file->error_number = errno;
        return KD_E_IO;
    }
    return KD_OK;
}
