/* SPDX-License-Identifier: BSD-2-Clause */
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "platform.h"

static char log_path[LOG_PATH_MAX];

enum { STDERR = 2 };

static FILE *log_file;

/* Not freopen: a service of Windows has no standard error to be opened again. */
static bool reopen(const char *path)
{
    FILE *file = fopen(path, "a");
    if (!file)
        return false;
    setvbuf(file, NULL, _IONBF, 0);
    fseek(file, 0, SEEK_END);
    (void)dup2(fileno(file), STDERR); /* children look for it there */
    if (log_file)
        fclose(log_file);
    log_file = file;
    return true;
}

/* Where it cannot be renamed, because a child or somebody else has it open, it grows on. */
static void begin_anew(void)
{
    char old[LOG_PATH_MAX + 4];
    snprintf(old, sizeof(old), "%s.old", log_path);
    if (!reopen(platform_null_device())) /* Windows renames no file that is open */
        return;
    (void)remove(old);
    (void)rename(log_path, old);
    (void)reopen(log_path);
}

bool log_open(const char *path)
{
    if (strlen(path) >= sizeof(log_path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (!reopen(path))
        return false;
    uv_fs_t request; /* the whole path: the working directory may change */
    bool found =
        uv_fs_realpath(NULL, &request, path, NULL) == 0 && strlen(request.ptr) < sizeof(log_path);
    snprintf(log_path, sizeof(log_path), "%s", found ? (const char *)request.ptr : path);
    uv_fs_req_cleanup(&request);
    return true;
}

bool log_is_open(void)
{
    return log_file != NULL;
}

FILE *log_begin_line(void)
{
    char text[32] = "";
    time_t now = time(NULL);
    const struct tm *local = localtime(&now);
    if (ftell(log_file) > LOG_SIZE_MAX)
        begin_anew();
    if (local)
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", local);
    fprintf(log_file, "%s ", text);
    return log_file;
}
