/* runtime/base/err: kinds, messages and what is added to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/err.h"

static void every_kind_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int a = 0; a < VX_KINDS; a++) {
        assert_string_not_equal(vx_kind_name((enum vx_kind)a), "unknown");
        for (int b = 0; b < a; b++)
            assert_string_not_equal(vx_kind_name((enum vx_kind)a),
                                    vx_kind_name((enum vx_kind)b));
    }
    assert_string_equal(vx_kind_name(VX_KINDS), "unknown");
    assert_string_equal(vx_kind_name((enum vx_kind) - 1), "unknown");
}

static void setting_fills_all_and_says_minus_one(void **state)
{
    struct vx_err err;

    (void)state;
    assert_int_equal(vx_err_set(&err, VX_LIMIT, 7, "%s has %d", "x", 3), -1);
    assert_int_equal(err.kind, VX_LIMIT);
    assert_int_equal(err.code, 7);
    assert_string_equal(err.msg, "x has 3");
}

static void an_errno_decides_the_kind_and_is_told(void **state)
{
    static const struct {
        int errnum;
        enum vx_kind kind;
    } cases[] = {
        { ENOENT, VX_NOTFOUND }, { EEXIST, VX_EXISTS },           { EACCES, VX_DENIED },
        { ENOSPC, VX_NOSPACE },  { ECONNREFUSED, VX_CONNECTION }, { ETIMEDOUT, VX_TIMEOUT },
        { EIO, VX_SYSTEM },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct vx_err err;
        char wanted[200];

        assert_int_equal(vx_err_errno(&err, cases[i].errnum, "cannot open %s", "/x"), -1);
        snprintf(wanted, sizeof wanted, "cannot open /x: %s", strerror(cases[i].errnum));
        assert_int_equal(err.kind, cases[i].kind);
        assert_int_equal(err.code, cases[i].errnum);
        assert_string_equal(err.msg, wanted);
    }
}

static void a_prefix_goes_before_the_message_and_keeps_the_rest(void **state)
{
    struct vx_err err;

    (void)state;
    vx_err_set(&err, VX_TIMEOUT, 1, "time limit passed");
    assert_int_equal(vx_err_prefix(&err, "guest %s", "a"), -1);
    assert_string_equal(err.msg, "guest a: time limit passed");
    assert_int_equal(err.kind, VX_TIMEOUT);
    assert_int_equal(err.code, 1);
}

static void a_message_that_is_too_long_is_cut_and_ends(void **state)
{
    struct vx_err err;
    char text[3000];

    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    vx_err_set(&err, VX_SYSTEM, 0, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    vx_err_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    vx_err_errno(&err, EIO, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
}

static void nobody_has_to_ask_for_the_error(void **state)
{
    (void)state;
    assert_int_equal(vx_err_set(NULL, VX_SYSTEM, 0, "x"), -1);
    assert_int_equal(vx_err_errno(NULL, EIO, "x"), -1);
    assert_int_equal(vx_err_prefix(NULL, "x"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_has_a_name_of_its_own),
        cmocka_unit_test(setting_fills_all_and_says_minus_one),
        cmocka_unit_test(an_errno_decides_the_kind_and_is_told),
        cmocka_unit_test(a_prefix_goes_before_the_message_and_keeps_the_rest),
        cmocka_unit_test(a_message_that_is_too_long_is_cut_and_ends),
        cmocka_unit_test(nobody_has_to_ask_for_the_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
