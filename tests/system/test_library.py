# SPDX-License-Identifier: BSD-2-Clause
"""libkdwire as its users get it: headers, both libraries and the pkg-config file in dist/."""
import os
import re
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIB = os.path.join(TOP, "dist", "lib")
# What a freestanding C compiler may call by itself.
FREESTANDING = {"memcpy", "memmove", "memset", "memcmp"}

PROGRAM = r"""
#include <stdio.h>
#include <kdwire/debugger.h>
#include <kdwire/decode.h>
#include <kdwire/target.h>

static struct kd_stream stream;

int main(void)
{
    static const uint8_t reset[] = {0x69, 0x69, 0x69, 0x69, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    struct kd_item item;
    kd_stream_init(&stream, KD_FRAMING_SERIAL);
    kd_stream_feed(&stream, reset, sizeof(reset), &item);
    puts(kd_packet_type_name(item.header.type));
    return 0;
}
"""


KDNET_PROGRAM = r"""
#include <stdio.h>
#include <kdwire/kdnet.h>

int main(void)
{
    struct kdnet_key key;
    struct kdnet_crypto *crypto;
    char text[KDNET_KEY_TEXT_MAX];
    if (kdnet_key_parse(&key, "1.2.3.z", NULL) < 0 || kdnet_crypto_open(&crypto, &key) < 0)
        return 1;
    kdnet_crypto_close(crypto);
    puts(kdnet_key_text(&key, text));
    return 0;
}
"""


def pkg_config(*options, package="kdwire"):
    environment = dict(os.environ, PKG_CONFIG_PATH=os.path.join(LIB, "pkgconfig"))
    return subprocess.run(["pkg-config", *options, package], env=environment, check=True,
                          capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize("how", ["static", "shared"])
def test_a_program_builds_against_it(tmp_path, how):
    source = tmp_path / "program.c"
    source.write_text(PROGRAM)
    program = str(tmp_path / "program")
    libraries = pkg_config("--libs")
    if how == "static":
        libraries = [os.path.join(LIB, "libkdwire.a")]
    subprocess.run(["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic",
                    *pkg_config("--cflags"), str(source), "-o", program, *libraries], check=True)
    result = subprocess.run([program], env={"LD_LIBRARY_PATH": LIB}, check=True,
                            capture_output=True, text=True)
    assert result.stdout == "RESET\n"


def test_a_program_builds_against_the_kdnet_library(tmp_path):
    source = tmp_path / "program.c"
    source.write_text(KDNET_PROGRAM)
    program = str(tmp_path / "program")
    subprocess.run(["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic",
                    *pkg_config("--cflags", package="kdwire-kdnet"), str(source), "-o", program,
                    *pkg_config("--libs", "--static", package="kdwire-kdnet")], check=True)
    result = subprocess.run([program], env={"LD_LIBRARY_PATH": LIB}, check=True,
                            capture_output=True, text=True)
    assert result.stdout == "1.2.3.z\n"


def symbols(kind):
    """Names of one kind (U undefined, T code ...) in the static library."""
    listing = subprocess.run(["nm", os.path.join(LIB, "libkdwire.a")], check=True,
                             capture_output=True, text=True).stdout
    return set(re.findall(rf"\b[{kind}] (\w+)$", listing, re.MULTILINE))


def test_it_is_freestanding():
    assert symbols("U") - symbols("TDBR") - {"_GLOBAL_OFFSET_TABLE_"} <= FREESTANDING


def test_its_names_cannot_clash():
    assert {name for name in symbols("TDBRC") if not name.startswith("kd_")} == set()
