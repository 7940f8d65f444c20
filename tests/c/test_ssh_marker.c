#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/ssh/marker.h"
#include "runtime/ssh/state.h"

static struct vx_buf fed(struct vx_marker *marker, const char *text, size_t step)
{
    struct vx_buf out = { 0 };
    char buf[64];
    size_t len = strlen(text);
    size_t got = 0;

    for (size_t at = 0; at < len; at += step) {
        size_t part = len - at < step ? len - at : step;

        memcpy(buf, text + at, part);
        got = vx_marker_pass(marker, 2, buf, part);
        vx_buf_add(&out, buf, got);
        while ((got = vx_marker_take(marker, 2, buf, sizeof buf)) > 0)
            vx_buf_add(&out, buf, got);
    }
    vx_marker_end(marker);
    while ((got = vx_marker_take(marker, 2, buf, sizeof buf)) > 0)
        vx_buf_add(&out, buf, got);
    return out;
}

static void expect(const char *text, const char *left, long group)
{
    for (size_t step = 1; step < 20; step += 3) {
        struct vx_marker marker;
        struct vx_buf out;

        vx_marker_init(&marker, "vx-1:", 2);
        out = fed(&marker, text, step);
        assert_string_equal(vx_buf_cstr(&out), left);
        assert_int_equal(marker.group, group);
        vx_buf_free(&out);
        vx_marker_free(&marker);
    }
}

static void the_line_is_taken_out_wherever_it_is_cut(void **state)
{
    (void)state;
    expect("vx-1:123\n", "", 123);
    expect("vx-1:123\r\nerr\n", "err\n", 123);
    expect("motd\nmore\nvx-1:77\nerr", "motd\nmore\nerr", 77);
    expect("vx-1:5\nvx-1:6\n", "vx-1:6\n", 5);
}

static void what_is_not_the_line_stays(void **state)
{
    (void)state;
    expect("no newline", "no newline", 0);
    expect(" vx-1:9\n", " vx-1:9\n", 0);
    expect("vx-2:9\n", "vx-2:9\n", 0);
    expect("", "", 0);
}

static void a_hostile_number_is_no_group(void **state)
{
    (void)state;
    expect("vx-1:1\n", "", 0);
    expect("vx-1:0\n", "", 0);
    expect("vx-1:-5\n", "", 0);
    expect("vx-1:12; reboot\n", "", 0);
    expect("vx-1:99999999999999999999\n", "", 0);
}

static void the_other_stream_passes(void **state)
{
    struct vx_marker marker;
    char buf[] = "vx-1:12\n";

    (void)state;
    vx_marker_init(&marker, "vx-1:", 2);
    assert_int_equal(vx_marker_pass(&marker, 1, buf, 8), 8);
    assert_int_equal(marker.group, 0);
    vx_marker_free(&marker);
}

/* A message in libssh2's hands that it gives back. */
static void pass(struct vx_session *session, const void *msg, size_t len)
{
    void *abstract = session;
    void *copy = vx_witness_alloc(len, &abstract);

    memcpy(copy, msg, len);
    vx_witness_free(session, copy);
}

static void a_status_is_seen_for_its_own_channel_only(void **state)
{
    static const char open[] = "\x5a\0\0\0\7session\0\0\0\5\0\x20\0\0\0\0\x80\0";
    static const char other[] = "\x62\0\0\0\6\0\0\0\x0b"
                                "exit-status\0\0\0\0\0";
    static const char mine[] = "\x62\0\0\0\5\0\0\0\x0b"
                               "exit-status\0\0\0\0\0";
    struct vx_session session = { 0 };
    struct vx_witness witness;

    (void)state;
    vx_list_init(&session.blocks);
    vx_list_init(&session.commands);
    pass(&session, open, sizeof open - 1);
    vx_witness_add(&session, &witness);
    assert_int_equal(witness.channel, 5);
    pass(&session, other, sizeof other - 1);
    assert_false(witness.status_seen);
    pass(&session, mine, sizeof mine - 1);
    assert_true(witness.status_seen);
    vx_witness_remove(&witness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_line_is_taken_out_wherever_it_is_cut),
        cmocka_unit_test(what_is_not_the_line_stays),
        cmocka_unit_test(a_hostile_number_is_no_group),
        cmocka_unit_test(the_other_stream_passes),
        cmocka_unit_test(a_status_is_seen_for_its_own_channel_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
