/* SPDX-License-Identifier: BSD-2-Clause */
/* A state change as the user sees it. */
#include "debugger_inside.h"

#include <string.h>

static void copy_text(char *to, size_t room, const uint8_t *from, size_t size)
{
    size_t n = 0;
    while (n < size && n < room - 1 && from[n] != 0) {
        to[n] = (char)(from[n] < 0x20 || from[n] == 0x7F ? '?' : from[n]);
        n++;
    }
    to[n] = '\0';
}

static void stop_exception(struct kd_stop *s, const uint8_t *body)
{
    s->kind = KD_STOP_EXCEPTION;
    s->code = (uint32_t)KD_GET(body, Exception, ExceptionCode);
    s->flags = (uint32_t)KD_GET(body, Exception, ExceptionFlags);
    s->address = KD_GET(body, Exception, ExceptionAddress);
    s->parameter_count = (uint32_t)KD_GET(body, Exception, NumberParameters);
    if (s->parameter_count > 15)
        s->parameter_count = 15;
    for (uint32_t i = 0; i < s->parameter_count; i++)
        s->parameters[i] = kd_get_u64(body + KD_AT(Exception, ExceptionInformation) + 8 * i);
    s->first_chance = KD_GET(body, Exception, FirstChance) != 0;
}

static void stop_image(struct kd_stop *s, const uint8_t *body, size_t body_size)
{
    s->kind = KD_GET(body, LoadSymbols, UnloadSymbols) != 0 ? KD_STOP_UNLOAD : KD_STOP_LOAD;
    s->module.base = KD_GET(body, LoadSymbols, BaseOfDll);
    s->module.size = (uint32_t)KD_GET(body, LoadSymbols, SizeOfImage);
    s->module.checksum = (uint32_t)KD_GET(body, LoadSymbols, CheckSum);
    s->process_id = KD_GET(body, LoadSymbols, ProcessId);
    /* The path is the end of the body: older protocols put a context before it. */
    size_t length = (size_t)KD_GET(body, LoadSymbols, PathNameLength);
    if (length > body_size - KD_STATE_CHANGE_SIZE)
        length = body_size - KD_STATE_CHANGE_SIZE;
    const uint8_t *path = body + body_size - length;
    size_t excess = length > KD_MODULE_PATH_MAX ? length - KD_MODULE_PATH_MAX : 0;
    copy_text(s->module.path, sizeof s->module.path, path + excess, length - excess);
}

static void stop_command(struct kd_stop *s, const uint8_t *body, size_t body_size)
{
    s->kind = KD_STOP_COMMAND;
    const uint8_t *text = body + KD_STATE_CHANGE_SIZE;
    size_t size = body_size - KD_STATE_CHANGE_SIZE, name = 0;
    while (name < size && text[name] != 0)
        name++;
    copy_text(s->component, sizeof s->component, text, name);
    if (name < size)
        copy_text(s->command, sizeof s->command, text + name + 1, size - name - 1);
}

void kd_debugger_parse_stop(struct kd_stop *s, uint32_t kind, const uint8_t *body, size_t body_size)
{
    memset(s, 0, sizeof *s);
    s->cpu = (uint16_t)KD_GET(body, StateChange, Processor);
    s->cpu_count = (uint32_t)KD_GET(body, StateChange, NumberProcessors);
    s->thread = KD_GET(body, StateChange, Thread);
    s->program_counter = KD_GET(body, StateChange, ProgramCounter);
    s->dr6 = KD_GET(body, ControlReportAmd64, Dr6);
    s->dr7 = KD_GET(body, ControlReportAmd64, Dr7);
    s->eflags = (uint32_t)KD_GET(body, ControlReportAmd64, EFlags);
    s->cs = (uint16_t)KD_GET(body, ControlReportAmd64, SegCs);
    uint16_t count = (uint16_t)KD_GET(body, ControlReportAmd64, InstructionCount);
    if (count > KD_INSTRUCTION_STREAM_MAX)
        count = KD_INSTRUCTION_STREAM_MAX;
    s->instruction_count = count;
    memcpy(s->instructions, body + KD_AT(ControlReportAmd64, InstructionStream), count);
    if (kind == KD_STATE_EXCEPTION)
        stop_exception(s, body);
    else if (kind == KD_STATE_LOAD_SYMBOLS)
        stop_image(s, body, body_size);
    else
        stop_command(s, body, body_size);
}
