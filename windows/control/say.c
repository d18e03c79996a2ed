/* SPDX-License-Identifier: BSD-2-Clause */
#include "control.h"

#include <setupapi.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What an error means here; for the others the system's own words. */
static const struct {
    DWORD error;
    const char *text;
} known[] = {
    {ERROR_SUCCESS, "the system refuses and gives no reason"},
    {ERROR_ACCESS_DENIED, "access is denied; run it as administrator"},
    {ERROR_FILE_NOT_FOUND, "the file is not there"},
    {ERROR_PATH_NOT_FOUND, "the folder is not there"},
    {ERROR_INVALID_PARAMETER, "the driver refuses the settings"},
    {ERROR_INVALID_FUNCTION, "this port is not one of htsvsp"},
    {0xE000022F,
     "the catalog does not belong to these files, or is missing; use an unchanged package"},
    {0xE0000247, "the package is signed by somebody this computer does not trust; give "
                 "--certificate FILE to trust the signer"},
    {0xE0000242,
     "the publisher is not trusted yet; give --certificate FILE, or allow it when Windows asks"},
    {0x800B0109, "the signature's root certificate is not trusted; give --certificate FILE"},
    {0xE0000235, "this is the 32-bit program on 64-bit Windows; use the 64-bit one"},
    {0xE000020B, "there is no such device"},
    {0xE0000219, "the device has no driver; install the package first: vspControl install"},
    {0xE0000203, "no driver fits; install the package first: vspControl install"},
};

void say_error(DWORD error, char *text, size_t size)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].error == error) {
            snprintf(text, size, "%s (0x%lx)", known[i].text, error);
            return;
        }
    }
    char words[300] = "";
    DWORD length = FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL,
                                  error, 0, words, sizeof(words), NULL);
    while (length &&
           (words[length - 1] == '\n' || words[length - 1] == '\r' || words[length - 1] == '.'))
        words[--length] = '\0';
    snprintf(text, size, "%s (0x%lx)", length ? words : "unknown error", error);
}

int fail(const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "vspControl: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    return FAILED;
}

int fail_with(DWORD error, const char *format, ...)
{
    char what[400];
    char why[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    say_error(error, why, sizeof(why));
    return fail("%s: %s", what, why);
}

void put_json_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20 || c >= 0x7F)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}
