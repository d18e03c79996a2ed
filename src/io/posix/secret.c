/* SPDX-License-Identifier: BSD-2-Clause */
#include "../secret.h"

#include <stdio.h>
#include <string.h>
#include <termios.h>

bool secret_ask(const char *prompt, char *text, size_t size)
{
    struct termios shown, hidden;
    FILE *terminal = fopen("/dev/tty", "r+e");
    if (!terminal)
        return false;
    bool good = tcgetattr(fileno(terminal), &shown) == 0;
    if (good) {
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        good = tcsetattr(fileno(terminal), TCSAFLUSH, &hidden) == 0;
    }
    if (good) {
        setvbuf(terminal, NULL, _IONBF, 0); /* no copy of the line stays in a buffer */
        fputs(prompt, terminal);
        good = fgets(text, (int)size, terminal) != NULL;
        tcsetattr(fileno(terminal), TCSAFLUSH, &shown);
        fputs("\n", terminal);
    }
    fclose(terminal);
    if (!good)
        return false;
    size_t end = strcspn(text, "\r\n");
    good = text[end] != '\0';
    text[end] = '\0';
    return good;
}
