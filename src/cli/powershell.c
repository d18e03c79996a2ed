/* SPDX-License-Identifier: BSD-2-Clause */
/* The script is part of the command line, in base64 of UTF-16: standard input would be read in a
 * code page that knows few names, and -Command has rules of its own for quotes. */
#include "powershell.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "platform.h"

enum {
    SCRIPT_MAX =
        12000, /* UTF-16 characters: in base64 about 32000, what Windows starts a program with */
    PROGRAM_MAX = 1024,
};

static struct {
    uv_process_t process;
    int64_t status;
} run;

static char *encode(const char *script)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint16_t *wide = malloc(SCRIPT_MAX * sizeof(*wide));
    size_t count = wide ? platform_utf16(script, wide, SCRIPT_MAX) : 0;
    size_t size = 2 * count;
    char *text = count ? malloc((size + 2) / 3 * 4 + 1) : NULL;
    char *at = text;
    for (size_t i = 0; text && i < size; i += 3) {
        uint32_t bits = 0;
        for (size_t j = i; j < i + 3; j++) /* little-endian */
            bits = bits << 8 | (j < size ? (wide[j / 2] >> (j % 2 ? 8 : 0)) & 0xFF : 0);
        *at++ = digits[bits >> 18];
        *at++ = digits[bits >> 12 & 63];
        *at++ = i + 1 < size ? digits[bits >> 6 & 63] : '=';
        *at++ = i + 2 < size ? digits[bits & 63] : '=';
    }
    if (text)
        *at = '\0';
    free(wide);
    return text;
}

static void on_exit_of_it(uv_process_t *process, int64_t status, int number)
{
    run.status = number ? 128 + number : status;
    uv_close((uv_handle_t *)process, NULL);
}

static int start(uv_loop_t *loop, char *program, char *encoded)
{
    static char no_profile[] = "-NoProfile", silent[] = "-NonInteractive",
                format[] = "-OutputFormat", text[] = "Text", command[] = "-EncodedCommand";
    char *arguments[] = {program, no_profile, silent, format, text, command, encoded, NULL};
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD,
         .data.fd = 2}, /* our output is the script, or the relay's events */
        {.flags = UV_INHERIT_FD, .data.fd = 2},
    };
    uv_process_options_t options = {
        .file = program,
        .args = arguments,
        .exit_cb = on_exit_of_it,
        .stdio = stdio,
        .stdio_count = 3,
    };
    return uv_spawn(loop, &run.process, &options);
}

int powershell_run(const char *script)
{
    char program[PROGRAM_MAX];
    uv_loop_t loop;
    char *encoded = encode(script);
    if (!encoded) {
        cli_error("out of memory, or a name that is no UTF-8");
        return CLI_FAILED;
    }
    if (!platform_powershell(program, sizeof(program)) || uv_loop_init(&loop) < 0) {
        free(encoded);
        cli_error("out of memory");
        return CLI_FAILED;
    }
    run.status = 0;
    int rc = start(&loop, program, encoded);
    if (rc < 0)
        uv_close((uv_handle_t *)&run.process, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    free(encoded);
    if (rc < 0)
        cli_error("cannot start %s: %s; without --apply the script is printed, for a PowerShell on "
                  "the Hyper-V host",
                  program, uv_strerror(rc));
    else if (run.status)
        cli_error("PowerShell could not do it all (exit status %" PRId64 "), see above; what was "
                  "done before the error stays",
                  run.status);
    return rc < 0 || run.status ? CLI_FAILED : CLI_DONE;
}
