/* SPDX-License-Identifier: BSD-2-Clause */
/* The endpoint grammar: what is taken, what is refused, and what is said then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "io/opener.h"

static struct endpoint_spec parsed(const char *text)
{
    struct endpoint_spec spec;
    char message[ENDPOINT_MESSAGE_MAX];
    if (endpoint_parse_any(&spec, text, message) != KD_OK)
        fail_msg("%s", message);
    return spec;
}

static void assert_host_port(const char *text, enum endpoint_kind kind, const char *host,
                             uint16_t port)
{
    const struct endpoint_spec spec = parsed(text);
    assert_int_equal(spec.kind, kind);
    assert_string_equal(spec.host, host);
    assert_int_equal(spec.port, port);
}

static void assert_path(const char *text, enum endpoint_kind kind, const char *path)
{
    const struct endpoint_spec spec = parsed(text);
    assert_int_equal(spec.kind, kind);
    assert_string_equal(spec.path, path);
}

static void test_kinds(void **state)
{
    (void)state;
    assert_host_port("tcp:host:4555", ENDPOINT_TCP, "host", 4555);
    assert_host_port("tcp:[fe80::1%eth0]:7001", ENDPOINT_TCP, "fe80::1%eth0", 7001);
    assert_host_port("tcp-listen:4555", ENDPOINT_TCP_LISTEN, "127.0.0.1", 4555);
    assert_host_port("tcp-listen::0", ENDPOINT_TCP_LISTEN, "127.0.0.1", 0);
    assert_host_port("tcp-listen:*:65535", ENDPOINT_TCP_LISTEN, "*", 65535);
    assert_host_port("tcp-listen:[::1]:1", ENDPOINT_TCP_LISTEN, "::1", 1);
    assert_path("unix:/run/vm.sock", ENDPOINT_UNIX, "/run/vm.sock");
    assert_path("unix-listen:a\\,b\\\\c:d", ENDPOINT_UNIX_LISTEN, "a,b\\c:d");
    assert_path("pipe:\\\\.\\pipe\\com1", ENDPOINT_PIPE, "\\\\.\\pipe\\com1");
    assert_path("pipe:com1", ENDPOINT_PIPE, "\\\\.\\pipe\\com1");
    assert_path("pipe:\\\\host\\PIPE\\a b", ENDPOINT_PIPE, "\\\\host\\PIPE\\a b");
    assert_path("pipe-listen:\\\\.\\pipe\\a\\,b,replace=never", ENDPOINT_PIPE_LISTEN,
                "\\\\.\\pipe\\a,b");
    assert_path("serial:COM3", ENDPOINT_SERIAL, "COM3");
    assert_path("serial:\\\\.\\COM10,baud=9600", ENDPOINT_SERIAL, "\\\\.\\COM10");
    assert_path("pty:/tmp/com1", ENDPOINT_PTY, "/tmp/com1");
    assert_path("exec:ssh host 'cat a,b' | c=d", ENDPOINT_EXEC, "ssh host 'cat a,b' | c=d");
    assert_int_equal(parsed("stdio").kind, ENDPOINT_STDIO);
}

static void test_defaults_are_for_debugging_and_for_this_machine(void **state)
{
    (void)state;
    const struct endpoint_spec tcp = parsed("tcp-listen:0");
    assert_true(tcp.nodelay);
    assert_int_equal(tcp.keepalive, 10);
    assert_int_equal(tcp.replace, ENDPOINT_REPLACE_DEAD);
    const struct endpoint_spec serial = parsed("serial:/dev/ttyS0");
    assert_int_equal(serial.baud, 115200);
    assert_int_equal(serial.data_bits, 8);
    assert_int_equal(serial.parity, 'n');
    assert_int_equal(serial.stop_bits, 1);
    assert_false(serial.rtscts);
    assert_int_equal(parsed("unix-listen:x").mode, 0600);
    assert_int_equal(parsed("pipe-listen:x").access, ENDPOINT_ACCESS_USER);
}

static void test_options(void **state)
{
    (void)state;
    const struct endpoint_spec tcp = parsed("tcp:h:1,nodelay=off,keepalive=0,retry=30");
    assert_false(tcp.nodelay);
    assert_int_equal(tcp.keepalive, 0);
    assert_int_equal(tcp.retry, 30);
    assert_int_equal(parsed("tcp-listen:1,replace=newest").replace, ENDPOINT_REPLACE_NEWEST);
    assert_int_equal(parsed("unix-listen:x,replace=never").replace, ENDPOINT_REPLACE_NEVER);
    assert_int_equal(parsed("unix-listen:x,mode=0660").mode, 0660);
    assert_int_equal(parsed("pipe-listen:x,access=admins").access, ENDPOINT_ACCESS_ADMINS);
    assert_int_equal(parsed("pipe:x,retry=7").retry, 7);
    const struct endpoint_spec serial =
        parsed("serial:/dev/ttyS0,baud=9600,data=7,parity=even,stop=2,rtscts");
    assert_int_equal(serial.baud, 9600);
    assert_int_equal(serial.data_bits, 7);
    assert_int_equal(serial.parity, 'e');
    assert_int_equal(serial.stop_bits, 2);
    assert_true(serial.rtscts);
}

static void test_wrong_ones_are_told_which_part_and_what_to_write(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "is no kind of endpoint"},
        {"tpc:h:1", "'tpc' is no kind of endpoint; use tcp:HOST:PORT"},
        {"host:4555", "did you mean tcp:host:4555?"},
        {"/dev/ttyS0", "did you mean serial:/dev/ttyS0?"},
        {"/tmp/x.sock", "did you mean unix:/tmp/x.sock?"},
        {"\\\\.\\pipe\\com1", "did you mean pipe:\\\\.\\pipe\\com1?"},
        {"pipe:\\\\.\\com1", "a pipe's name is \\\\.\\pipe\\NAME"},
        {"pipe:\\\\pipe\\com1", "a pipe's name is \\\\.\\pipe\\NAME"},
        {"pipe:\\\\.\\pipe\\", "must have 1 to 240 characters"},
        {"pipe:a\\b", "no backslash"},
        {"pipe-listen:\\\\host\\pipe\\x", "only be made on this machine"},
        {"pipe-listen:x,access=all", "access=user, access=admins or access=everyone"},
        {"pipe:x,access=user", "option 'access' is not for pipe"},
        {"serial:COM3\\", "ends in a backslash"},
        {"tcp", "nothing follows 'tcp'"},
        {"tcp:host", "the port is missing"},
        {"tcp::1", "the host is missing"},
        {"tcp:h:0", "from 1 to 65535"},
        {"tcp:h:65536", "the port is '65536'"},
        {"tcp:h:http", "the port is 'http'"},
        {"tcp:h:+1", "the port is '+1'"},
        {"tcp:h:99999999999999999999", "it must be a number"},
        {"tcp:::1:80", "written [ADDRESS]:PORT"},
        {"tcp:[::1]80", "written [ADDRESS]:PORT"},
        {"tcp:[::1", "written [ADDRESS]:PORT"},
        {"tcp:a b:1", "contains ' '"},
        {"unix:", "the path is missing"},
        {"exec:", "the command is missing"},
        {"stdio:x", "write stdio"},
        {"tcp:h:1,", "'' is no option of tcp; its options: nodelay, keepalive, retry"},
        {"tcp:h:1,speed=9", "'speed' is no option of tcp"},
        {"tcp:h:1,baud=9600", "option 'baud' is not for tcp"},
        {"pty:x,retry=1", "its options: none"},
        {"tcp:h:1,retry=soon", "option 'retry' cannot be 'soon'; write retry=2"},
        {"tcp:h:1,retry", "option 'retry' cannot be ''"},
        {"tcp:h:1,nodelay=perhaps", "nodelay=on or nodelay=off"},
        {"tcp-listen:1,replace=all", "replace=dead, replace=newest or replace=never"},
        {"unix-listen:x,mode=8", "mode=600 (octal)"},
        {"serial:x,baud=0", "baud=115200"},
        {"serial:x,data=9", "data=8 or data=7"},
        {"serial:x,parity=mark", "parity=none"},
        {"serial:x,stop=", "stop=1 or stop=2"},
        {"vmbus", "nothing follows 'vmbus'; for example vmbus:vm=kd"},
        {"vmbus:", "vm= is missing"},
        {"vmbus:kd", "'kd' is no option of vmbus; its options: retry, vm, type, instance, mode"},
        {"vmbus:vm=", "option 'vm' cannot be ''"},
        {"vmbus:vm=a\nb", "option 'vm' cannot be"},
        {"vmbus:vm=kd,mode=600", "mode=byte or mode=message"},
        {"vmbus:vm=kd,framing=kd", "framing=raw, framing=windbg-uefi or"},
        {"vmbus:vm=kd,type=1e7b9c52", "(a GUID)"},
        {"vmbus:vm=kd,type=00000000-0000-0000-0000-000000000000", "(a GUID)"},
        {"vmbus:vm=kd,service=x", "option 'service' is not for vmbus"},
        {"hvsock:service=1e7b9c52-4d0a-4b8e-9a37-6c51f0d2e8a4", "vm= is missing"},
        {"hvsock:vm=kd,mode=byte", "its options: retry, vm, service"},
        {"unix-listen:x,mode=byte", "mode=600 (octal)"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct endpoint_spec spec;
        char message[ENDPOINT_MESSAGE_MAX];
        assert_int_equal(endpoint_parse_any(&spec, cases[i].text, message), KD_E_ARGUMENT);
        if (!strstr(message, cases[i].says))
            fail_msg("'%s' says: %s", cases[i].text, message);
        assert_null(strchr(message, '\n'));
    }
}

static void test_kinds_of_other_systems_are_told_so(void **state)
{
    static const char *const texts[] = {"unix:x", "unix-listen:x", "pipe:x",     "pipe-listen:x",
                                        "pty:x",  "vmbus:vm=x",    "hvsock:vm=x"};
    unsigned refused = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct endpoint_spec spec;
        char message[ENDPOINT_MESSAGE_MAX];
        int rc = endpoint_parse(&spec, texts[i], message);
        const char *hint = platform_kind_hint(parsed(texts[i]).kind);
        assert_int_equal(rc, hint ? KD_E_ARGUMENT : KD_OK);
        if (hint && !strstr(message, hint))
            fail_msg("'%s' says: %s", texts[i], message);
        assert_null(hint ? platform_opener(spec.kind) : NULL);
        refused += hint != NULL;
    }
    assert_in_range(refused, 3, 4);
}

static void test_live_pipes(void **state)
{
    struct endpoint_spec spec;
    char message[ENDPOINT_MESSAGE_MAX];
    (void)state;
    if (!platform_kind_hint(ENDPOINT_FIFO)) {
        assert_int_equal(endpoint_parse_live(&spec, "/tmp/a,b", message), KD_OK);
        assert_int_equal(spec.kind, ENDPOINT_FIFO);
        assert_string_equal(spec.path, "/tmp/a,b");
        assert_int_equal(endpoint_parse_live(&spec, "pipe-listen:x", message), KD_E_ARGUMENT);
        return;
    }
    static const char *const same[] = {"x", "\\\\.\\pipe\\x", "pipe-listen:x",
                                       "pipe-listen:\\\\.\\pipe\\x"};
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        assert_int_equal(endpoint_parse_live(&spec, same[i], message), KD_OK);
        assert_int_equal(spec.kind, ENDPOINT_PIPE_LISTEN);
        assert_string_equal(spec.path, "\\\\.\\pipe\\x");
    }
}

static void test_too_long(void **state)
{
    char text[ENDPOINT_TEXT_MAX + 1], message[ENDPOINT_MESSAGE_MAX];
    struct endpoint_spec spec;
    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text, "unix:", 5);
    text[ENDPOINT_TEXT_MAX] = '\0';
    assert_int_equal(endpoint_parse_any(&spec, text, message), KD_E_ARGUMENT);
    text[5 + 108] = '\0'; /* one more than a socket address holds: it would be cut silently */
    assert_int_equal(endpoint_parse_any(&spec, text, message), KD_E_ARGUMENT);
    assert_non_null(strstr(message, "108 characters"));
    text[5 + 107] = '\0';
    assert_int_equal(endpoint_parse_any(&spec, text, message), KD_OK);
    memcpy(text, "tcp:", 4);
    memset(text + 4, 'x', ENDPOINT_HOST_MAX);
    memcpy(text + 4 + ENDPOINT_HOST_MAX, ":1", 3);
    assert_int_equal(endpoint_parse_any(&spec, text, message), KD_E_ARGUMENT);
    assert_non_null(strstr(message, "longer than 255"));
}

static void test_text_of_a_spec_parses_to_the_same(void **state)
{
    static const char *const texts[] = {
        "tcp:[::1]:7001,nodelay=off,keepalive=3,retry=0",
        "tcp-listen:127.0.0.1:4555,replace=newest",
        "unix-listen:/a\\,b\\\\c,mode=660",
        "pipe:\\\\.\\pipe\\a\\,b,retry=0",
        "pipe-listen:\\\\.\\pipe\\\\,x,access=everyone",
        "serial:/dev/ttyUSB0,baud=9600,data=7,parity=odd,stop=2,rtscts",
        "exec:a, b\\,c",
        "stdio",
        "kdnet-host:port=50000",
        "kdnet-host:port=0,bind=*,key-file=/a\\,b",
        "kdnet-target:host=::1,port=50000,version=2,retry=0",
        "vmbus:vm=kd",
        "vmbus:vm=a\\,b\\\\c=d,type=1e7b9c52-4d0a-4b8e-9a37-6c51f0d2e8a5,"
        "instance=5a3c61d8-0f72-4e95-b1c4-83d97e20f6b2,mode=message,framing=windbg-uefi-ack,retry="
        "0",
        "hvsock:vm=kd,service=1e7b9c52-4d0a-4b8e-9a37-6c51f0d2e8a5",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char text[2 * ENDPOINT_TEXT_MAX];
        const struct endpoint_spec spec = parsed(texts[i]);
        assert_string_equal(endpoint_spec_text(&spec, text, sizeof(text)), texts[i]);
    }
    char small[8];
    const struct endpoint_spec spec = parsed(texts[0]);
    assert_string_equal(endpoint_spec_text(&spec, small, sizeof(small)), "tcp:[::");
}

static void test_kdnet(void **state)
{
    (void)state;
    assert_host_port("kdnet-host", ENDPOINT_KDNET_HOST, "127.0.0.1", 50000);
    assert_host_port("kdnet-host:", ENDPOINT_KDNET_HOST, "127.0.0.1", 50000);
    assert_host_port("kdnet-host:port=0,bind=*", ENDPOINT_KDNET_HOST, "*", 0);
    assert_host_port("kdnet-target:host=fe80::1%eth0,port=51111", ENDPOINT_KDNET_TARGET,
                     "fe80::1%eth0", 51111);
    struct endpoint_spec spec = parsed("kdnet-host:port=50001,key=1.2.3.z");
    assert_true(endpoint_spec_needs_key(&spec));
    assert_true(spec.has_key);
    assert_int_equal(spec.key.bytes[24], 35);
    assert_false(parsed("kdnet-host:key-file=/etc/a\\,key").has_key);
    assert_path("kdnet-host:key-file=/etc/a\\,key", ENDPOINT_KDNET_HOST, "/etc/a,key");
    assert_int_equal(parsed("kdnet-target:host=h").version, 4);
    assert_int_equal(parsed("kdnet-target:host=h,version=5").version, 5);
    assert_false(endpoint_spec_needs_key(&(struct endpoint_spec){.kind = ENDPOINT_TCP}));
}

static void test_channels_of_virtual_machines(void **state)
{
    (void)state;
    assert_path("vmbus:vm=the VM\\, ours", ENDPOINT_VMBUS, "the VM, ours");
    struct endpoint_spec spec = parsed("vmbus:vm=kd");
    assert_true(vmbus_guid_equal(&spec.type, &vmbus_kdwire_type));
    assert_true(vmbus_guid_equal(&spec.instance, &vmbus_kdwire_instance));
    assert_false(spec.messages);
    assert_true(endpoint_spec_waits(&spec));
    assert_false(endpoint_spec_listens(&spec));
    spec = parsed("vmbus:framing=windbg-uefi,vm=kd"); /* what windbg.efi then looks for */
    assert_true(vmbus_guid_equal(&spec.type, &vmbus_windbg_uefi_type));
    assert_true(vmbus_guid_equal(&spec.instance, &vmbus_windbg_uefi_instance));
    spec = parsed("vmbus:vm=kd,type={1E7B9C52-4D0A-4B8E-9A37-6C51F0D2E8A4},framing=windbg-uefi");
    assert_true(vmbus_guid_equal(&spec.type, &vmbus_kdwire_type));
    assert_true(parsed("vmbus:vm=kd,mode=message").messages);
    spec = parsed("hvsock:vm=kd");
    assert_true(vmbus_guid_equal(&spec.type, &vmbus_kdwire_type));
    assert_int_equal(spec.replace, ENDPOINT_REPLACE_NEWEST);
}

/* Neither what a specification is written as nor any message may hold the key. */
static void test_keys_are_never_shown(void **state)
{
    static const char *const wrong[] = {
        "kdnet-host:key=secret.2.3.4.5",
        "kdnet-host:key=secret.2.3.4,key-file=x",
        "kdnet-host:key=secret.2.3.4,port=70000",
        "kdnet-host:Key=secret.2.3.4",
        "kdnet-host:secret.2.3.4",
        "kdnet-host:port=50000,secret.2.3.4",
        "kdnet-target:key=secret.2.3.4,port=50000",
        "kdnet-target:host=a b,key=secret.2.3.4",
        "kdnet-host:key=secret.2.3.!",
    };
    char message[ENDPOINT_MESSAGE_MAX], text[2 * ENDPOINT_TEXT_MAX];
    struct endpoint_spec spec;
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(endpoint_parse(&spec, wrong[i], message), KD_E_ARGUMENT);
        if (strstr(message, "secret"))
            fail_msg("%s", message);
    }
    spec = parsed("kdnet-target:host=h,key=secret.2.3.4");
    assert_string_equal(endpoint_spec_text(&spec, text, sizeof(text)),
                        "kdnet-target:host=h,port=50000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_defaults_are_for_debugging_and_for_this_machine),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_wrong_ones_are_told_which_part_and_what_to_write),
        cmocka_unit_test(test_kinds_of_other_systems_are_told_so),
        cmocka_unit_test(test_live_pipes),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_kdnet),
        cmocka_unit_test(test_channels_of_virtual_machines),
        cmocka_unit_test(test_keys_are_never_shown),
        cmocka_unit_test(test_text_of_a_spec_parses_to_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
