/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver and the framework: load, names, handles, codes, settings, failures, power, removal. */
#include "bench.h"

#define STATUS(code) ((wdf_status)(code))

static wdf_status refuse_bind(void *context, struct wdf_bind_info *info,
                              struct wdf_globals **globals)
{
    (void)context;
    (void)info;
    (void)globals;
    return STATUS(0xC0000059);
}

static void test_entry_refuses_a_strange_loader(void **state)
{
    struct wdf_loader loader = {8, refuse_bind};
    (void)state;
    assert_int_equal(FxDriverEntryUm(NULL, NULL, NULL, NULL), STATUS(SERIAL_INVALID_PARAMETER));
    assert_int_equal(FxDriverEntryUm(&loader, NULL, NULL, NULL), STATUS(SERIAL_INVALID_PARAMETER));
    loader = (struct wdf_loader){16, NULL};
    assert_int_equal(FxDriverEntryUm(&loader, NULL, NULL, NULL), STATUS(SERIAL_INVALID_PARAMETER));
    loader = (struct wdf_loader){16, refuse_bind};
    assert_int_equal(FxDriverEntryUm(&loader, NULL, NULL, NULL), STATUS(0xC0000059));
}

static void test_names(void **state)
{
    (void)state;
    assert_memory_equal(fake_link(), u"\\DosDevices\\Global\\COM7", 2 * 24);
    assert_int_equal(fake_interfaces(), 2);
    assert_memory_equal(fake_serialcomm(), u"COM7", 10);
}

static void test_one_program_but_any_number_of_controls(void **state)
{
    struct wdf_file_handle *second = NULL;
    (void)state;
    struct wdf_file_handle *port = open_port();
    struct wdf_file_handle *controls[2] = {open_control(), open_control()};
    assert_int_equal(fake_open(u"", &second), STATUS(SERIAL_ACCESS_DENIED));
    assert_int_equal(get_status(controls[1]).open, 1);
    fake_close(controls[0]);
    fake_close(port);
    assert_int_equal(get_status(controls[1]).open, 0);
    port = open_port();
    fake_close(port);
    fake_close(controls[1]);
}

static void test_control_handle_is_no_port(void **state)
{
    (void)state;
    struct wdf_file_handle *file = open_control();
    struct fake_request *read = fake_new(file);
    fake_read(read, 4);
    assert_int_equal(read->status, STATUS(SERIAL_INVALID_REQUEST));
    fake_free(read);
    assert_int_equal(control(file, SERIAL_GET_BAUD_RATE, NULL, 0, NULL, 4),
                     STATUS(SERIAL_INVALID_PARAMETER));
    fake_close(file);
}

static void test_codes_of_the_first_vspcontrol(void **state)
{
    struct vsp_configure configure = {.client = 1, .port = 7001, .address = "xenhost"};
    struct vsp_report report;
    uint32_t value = 1;
    (void)state;
    assert_int_equal(VSP_IDENTIFY, 0x1B0320);
    struct wdf_file_handle *port = open_port();
    assert_int_equal(control(port, VSP_IDENTIFY, NULL, 0, NULL, 0), 0);
    assert_int_equal(control(port, VSP_CONFIGURE, &configure, sizeof(configure) - 1, NULL, 0),
                     STATUS(SERIAL_BUFFER_TOO_SMALL));
    assert_int_equal(control(port, VSP_CONFIGURE, &configure, sizeof(configure), NULL, 0), 0);
    assert_int_equal(get_settings(port).mode, VSP_CONNECT);
    assert_string_equal(get_settings(port).host, "xenhost");
    memset(configure.address, 'x', sizeof(configure.address)); /* no terminator */
    assert_int_equal(control(port, VSP_CONFIGURE, &configure, sizeof(configure), NULL, 0),
                     STATUS(SERIAL_INVALID_PARAMETER));
    assert_string_equal(get_settings(port).host, "xenhost");
    configure = (struct vsp_configure){.close = 1};
    assert_int_equal(control(port, VSP_CONFIGURE, &configure, sizeof(configure), NULL, 0), 0);
    assert_int_equal(get_settings(port).mode, VSP_OFF);
    assert_string_equal(get_settings(port).host, "xenhost"); /* for when it is wanted again */
    assert_int_equal(control(port, VSP_SET_LOG_LEVEL, &value, 4, NULL, 0), 0);
    assert_int_equal(control(port, VSP_SET_WAIT_UNITS, &(uint32_t){500}, 4, NULL, 0), 0);
    assert_int_equal(control(port, VSP_GET_WAIT_UNITS, NULL, 0, &value, 4), 0);
    assert_int_equal(value, 500);
    assert_int_equal(control(port, VSP_REPORT, NULL, 0, &report, sizeof(report)), 0);
    assert_int_equal(report.log_level, 1);
    assert_int_equal(report.wait_units, 500);
    fake_close(port);
}

static void test_settings_come_back(void **state)
{
    (void)state;
    struct wdf_file_handle *file = open_control();
    struct vsp_settings s = get_settings(file);
    s.mode = VSP_CONNECT;
    s.port = 7001;
    s.when = VSP_WHEN_OPEN;
    s.offline = VSP_OFFLINE_DISCARD;
    snprintf(s.host, sizeof(s.host), "fe80::1%%4");
    set_settings(file, &s);
    fake_close(file);
    fake_remove_device();
    assert_int_equal(fake_add_device(), WDF_OK); /* after a restart */
    file = open_control();
    struct vsp_settings again = get_settings(file);
    assert_memory_equal(&again, &s, sizeof(s));
    assert_string_equal(get_status(file).name, "COM7");
    fake_close(file);
}

static void expect_refused(struct wdf_file_handle *file, struct vsp_settings s)
{
    assert_int_equal(control(file, VSP_SET_SETTINGS, &s, sizeof(s), NULL, 0),
                     STATUS(SERIAL_INVALID_PARAMETER));
}

static void test_unsound_settings_change_nothing(void **state)
{
    (void)state;
    struct wdf_file_handle *file = open_control();
    struct vsp_settings good = get_settings(file);
    struct vsp_settings s = good;
    s.mode = 3;
    expect_refused(file, s);
    s = good;
    s.mode = VSP_CONNECT; /* without a host */
    s.port = 1;
    expect_refused(file, s);
    s = good;
    s.port = 65536;
    expect_refused(file, s);
    s = good;
    memset(s.host, 'x', sizeof(s.host));
    expect_refused(file, s);
    s = good;
    s.size--;
    expect_refused(file, s);
    struct vsp_settings now = get_settings(file);
    assert_memory_equal(&now, &good, sizeof(good));
    fake_close(file);
}

static void test_log_can_be_read_from_anywhere(void **state)
{
    char out[4096] = {0};
    uint64_t position = 0;
    (void)state;
    struct wdf_file_handle *file = open_control();
    uint32_t all = VSP_LOG_ALL;
    assert_int_equal(control(file, VSP_SET_LOG_LEVEL, &all, 4, NULL, 0), 0);
    struct wdf_file_handle *port = open_port();
    assert_int_equal(control(port, SERIAL_GET_BAUD_RATE, NULL, 0, NULL, 4), 0);
    fake_close(port);
    assert_int_equal(control(file, VSP_READ_LOG, &position, 8, out, sizeof(out) - 1), 0);
    assert_non_null(strstr(out + 8, "GET_BAUD_RATE"));
    memcpy(&position, out, 8);
    memset(out, 0, sizeof(out));
    assert_int_equal(control(file, VSP_READ_LOG, &position, 8, out, sizeof(out) - 1), 0);
    assert_string_equal(out + 8, ""); /* nothing new */
    fake_close(file);
}

/* Each call of the framework fails once: nothing leaks, nothing is half there. */
static void test_failure_at_each_call_of_device_add(void **state)
{
    unsigned total = 0;
    unsigned succeeded = 0;
    (void)state;
    fake_forget();
    fake_set_port_name(u"COM7");
    assert_int_equal(fake_load(FxDriverEntryUm), WDF_OK);
    fake_fail_call(0);
    assert_int_equal(fake_add_device(), WDF_OK);
    total = fake_calls();
    fake_remove_device();
    assert_true(total > 5);
    for (unsigned number = 1; number <= total; number++) {
        fake_fail_call(number);
        wdf_status status = fake_add_device();
        fake_fail_call(0);
        if (status >= 0) { /* it goes without: a setting, the name under SERIALCOMM */
            struct wdf_file_handle *file = open_control();
            assert_int_equal(get_status(file).state, VSP_IDLE);
            fake_close(file);
            fake_remove_device();
            succeeded++;
        }
        assert_int_equal(fake_objects(), 0);
        assert_null(fake_serialcomm());
    }
    assert_true(succeeded < total && succeeded > 0);
}

static void test_failed_buffers_end_the_request(void **state)
{
    (void)state;
    struct wdf_file_handle *port = open_port();
    struct fake_request *requests[3];
    for (size_t i = 0; i < 3; i++)
        requests[i] = fake_new(port);
    fake_fail_call(1);
    fake_read(requests[0], 4);
    fake_fail_call(1);
    fake_write(requests[1], "abcd", 4);
    fake_fail_call(1);
    fake_control(requests[2], SERIAL_GET_BAUD_RATE, NULL, 0, 4);
    fake_fail_call(0);
    for (size_t i = 0; i < 3; i++) {
        assert_true(fake_is_done(requests[i]));
        assert_int_equal(requests[i]->status, STATUS(SERIAL_INSUFFICIENT));
        fake_free(requests[i]);
    }
    fake_close(port);
}

static void test_unsaved_settings_are_an_error(void **state)
{
    (void)state;
    struct wdf_file_handle *file = open_control();
    struct vsp_settings s = get_settings(file);
    fake_fail_call(3); /* two buffers, then the registry key */
    assert_int_equal(control(file, VSP_SET_SETTINGS, &s, sizeof(s), NULL, 0),
                     STATUS(SERIAL_INSUFFICIENT));
    fake_fail_call(0);
    assert_int_equal(fake_objects(), 2);
    fake_close(file);
}

static void test_close_ends_what_waits(void **state)
{
    (void)state;
    struct wdf_file_handle *port = open_port();
    struct fake_request *read = fake_new(port);
    struct fake_request *write = fake_new(port);
    fake_read(read, 10);
    fake_write(write, "x", 1); /* nobody is connected: it waits */
    assert_int_equal(fake_pending(), 2);
    fake_close(port);
    assert_int_equal(read->status, STATUS(SERIAL_CANCELLED));
    assert_int_equal(write->status, STATUS(SERIAL_CANCELLED));
    fake_free(read);
    fake_free(write);
}

static void test_cancel(void **state)
{
    (void)state;
    struct wdf_file_handle *port = open_port();
    struct fake_request *read = fake_new(port);
    fake_read(read, 10);
    fake_cancel(read);
    assert_true(fake_is_done(read));
    assert_int_equal(read->status, STATUS(SERIAL_CANCELLED));
    fake_free(read);
    read = fake_new(port);
    atomic_store(&read->cancelled, true); /* before it gets to the driver */
    fake_read(read, 10);
    assert_true(fake_is_done(read));
    assert_int_equal(read->status, STATUS(SERIAL_CANCELLED));
    fake_free(read);
    fake_close(port);
}

static void test_timeouts_run_without_a_connection(void **state)
{
    (void)state;
    struct wdf_file_handle *port = open_port();
    struct fake_request *read = fake_new(port);
    set_timeouts(port, 0, 0, 30);
    fake_read(read, 10);
    expect_done(read);
    assert_int_equal(read->status, SERIAL_TIMEOUT);
    fake_free(read);
    fake_close(port);
}

static void test_reads_wait_through_sleep(void **state)
{
    (void)state;
    struct wdf_file_handle *port = open_port();
    struct fake_request *read = fake_new(port);
    fake_read(read, 10);
    fake_sleep();
    assert_false(fake_is_done(read));
    assert_int_equal(fake_wake(), WDF_OK);
    assert_false(fake_is_done(read));
    fake_close(port);
    fake_free(read);
}

static void test_surprise_removal_ends_all_for_good(void **state)
{
    (void)state;
    struct wdf_file_handle *port = open_port();
    struct fake_request *read = fake_new(port);
    fake_read(read, 10);
    fake_surprise_removal();
    assert_int_equal(read->status, STATUS(SERIAL_DEVICE_REMOVED));
    fake_free(read);
    read = fake_new(port);
    fake_read(read, 10);
    assert_true(fake_is_done(read));
    assert_int_equal(read->status, STATUS(SERIAL_DEVICE_REMOVED));
    fake_free(read);
    fake_close(port);
}

static void test_without_a_com_name_vspcontrol_still_gets_in(void **state)
{
    (void)state;
    fake_remove_device();
    fake_forget();
    assert_int_equal(fake_add_device(), WDF_OK);
    assert_int_equal(fake_interfaces(), 1);
    struct wdf_file_handle *file = open_control();
    assert_string_equal(get_status(file).name, "");
    fake_close(file);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start_device, end_device)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entry_refuses_a_strange_loader),
        TEST(test_names),
        TEST(test_one_program_but_any_number_of_controls),
        TEST(test_control_handle_is_no_port),
        TEST(test_codes_of_the_first_vspcontrol),
        TEST(test_settings_come_back),
        TEST(test_unsound_settings_change_nothing),
        TEST(test_log_can_be_read_from_anywhere),
        cmocka_unit_test(test_failure_at_each_call_of_device_add),
        TEST(test_failed_buffers_end_the_request),
        TEST(test_unsaved_settings_are_an_error),
        TEST(test_close_ends_what_waits),
        TEST(test_cancel),
        TEST(test_timeouts_run_without_a_connection),
        TEST(test_reads_wait_through_sleep),
        TEST(test_surprise_removal_ends_all_for_good),
        TEST(test_without_a_com_name_vspcontrol_still_gets_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
