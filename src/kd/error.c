/* SPDX-License-Identifier: BSD-2-Clause */
#include "kdwire/error.h"

const char *kd_error_name(int code)
{
    switch (code) {
    case KD_OK:
        return "KD_OK";
#define KD_ERROR_NAME(name, value, text)                                                           \
    case name:                                                                                     \
        return #name;
        KD_ERROR_MAP(KD_ERROR_NAME)
    default:
        return "KD_E_?";
    }
}

const char *kd_error_text(int code)
{
    switch (code) {
    case KD_OK:
        return "done";
#define KD_ERROR_TEXT(name, value, text)                                                           \
    case name:                                                                                     \
        return text;
        KD_ERROR_MAP(KD_ERROR_TEXT)
    default:
        return "unknown error";
    }
}
