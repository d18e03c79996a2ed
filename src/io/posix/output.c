/* SPDX-License-Identifier: BSD-2-Clause */
#include "../output.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

bool output_ready(FILE *file)
{
    /* A pipe is writable when it has room for PIPE_BUF bytes; a file always is. */
    struct pollfd poll_fd = {.fd = fileno(file), .events = POLLOUT};
    return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLOUT);
}

unsigned output_columns(FILE *file)
{
    struct winsize size;
    return ioctl(fileno(file), TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

FILE *output_create_private(const char *path, bool replace)
{
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (replace ? 0 : O_EXCL);
    int fd = open(path, flags, 0600);
    if (fd < 0)
        return NULL;
    struct stat status;
    bool is_file = fstat(fd, &status) == 0 && S_ISREG(status.st_mode); /* not a device */
    FILE *file = NULL;
    if (!is_file || (fchmod(fd, 0600) == 0 && ftruncate(fd, 0) == 0))
        file = fdopen(fd, "wb");
    if (!file)
        close(fd);
    return file;
}
