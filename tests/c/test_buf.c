/* runtime/base/buf and list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/buf.h"
#include "runtime/base/list.h"

static void an_empty_buffer_is_an_empty_string(void **state)
{
    struct vx_buf buf = { 0 };

    (void)state;
    assert_string_equal(vx_buf_cstr(&buf), "");
    vx_buf_free(&buf);
    vx_buf_free(&buf);
}

static void bytes_are_kept_in_order_whatever_they_are(void **state)
{
    struct vx_buf buf = { 0 };

    (void)state;
    vx_buf_add(&buf, "a\0b", 3);
    vx_buf_str(&buf, "cd");
    vx_buf_fmt(&buf, "%d-%s", 42, "x");
    assert_int_equal(buf.len, 9);
    assert_memory_equal(buf.data, "a\0bcd42-x\0", 10);
    vx_buf_free(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.len, 0);
}

static void it_grows_far_beyond_its_first_size(void **state)
{
    struct vx_buf buf = { 0 };

    (void)state;
    for (int i = 0; i < 100000; i++) {
        char c = (char)('a' + i % 26);

        vx_buf_add(&buf, &c, 1);
    }
    assert_int_equal(buf.len, 100000);
    assert_int_equal(buf.data[26 * 100 + 3], 'd');
    assert_int_equal(buf.data[100000], '\0');
    vx_buf_free(&buf);
}

static void a_long_format_is_not_cut(void **state)
{
    struct vx_buf buf = { 0 };
    char text[5000];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    vx_buf_fmt(&buf, "<%s>", text);
    assert_int_equal(buf.len, sizeof text + 1);
    assert_int_equal(buf.data[buf.len - 1], '>');
    vx_buf_free(&buf);
}

static void room_is_there_and_counts_only_what_was_written(void **state)
{
    struct vx_buf buf = { 0 };
    char *room = NULL;

    (void)state;
    vx_buf_str(&buf, "ab");
    room = vx_buf_room(&buf, 1000);
    memset(room, 'z', 1000);
    vx_buf_added(&buf, 2);
    assert_string_equal(vx_buf_cstr(&buf), "abzz");
    vx_buf_free(&buf);
}

static void dropping_takes_from_the_front(void **state)
{
    struct vx_buf buf = { 0 };

    (void)state;
    vx_buf_str(&buf, "one two");
    vx_buf_drop(&buf, 4);
    assert_string_equal(vx_buf_cstr(&buf), "two");
    vx_buf_drop(&buf, 3);
    assert_string_equal(vx_buf_cstr(&buf), "");
    assert_int_equal(buf.len, 0);
    vx_buf_free(&buf);
}

static void copies_of_strings_are_whole_and_ours(void **state)
{
    char *a = vx_strdup("abc");
    char *b = vx_strndup("abcdef", 2);
    char *c = vx_strfmt("%s/%s", a, b);
    char *none = vx_zalloc(0);

    (void)state;
    assert_string_equal(a, "abc");
    assert_string_equal(b, "ab");
    assert_string_equal(c, "abc/ab");
    assert_non_null(none);
    free(a);
    free(b);
    free(c);
    free(none);
}

struct item {
    int number;
    struct vx_link link;
};

static void a_list_keeps_its_order_and_unlinking_twice_is_harmless(void **state)
{
    struct vx_link head;
    struct item items[3] = { { .number = 0 }, { .number = 1 }, { .number = 2 } };

    (void)state;
    vx_list_init(&head);
    assert_true(vx_list_empty(&head));
    for (int i = 0; i < 3; i++)
        vx_list_push(&head, &items[i].link);
    vx_list_unlink(&items[1].link);
    vx_list_unlink(&items[1].link);
    assert_int_equal(VX_OF(head.next, struct item, link)->number, 0);
    assert_int_equal(VX_OF(head.prev, struct item, link)->number, 2);
    vx_list_unlink(&items[0].link);
    vx_list_unlink(&items[2].link);
    assert_true(vx_list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_buffer_is_an_empty_string),
        cmocka_unit_test(bytes_are_kept_in_order_whatever_they_are),
        cmocka_unit_test(it_grows_far_beyond_its_first_size),
        cmocka_unit_test(a_long_format_is_not_cut),
        cmocka_unit_test(room_is_there_and_counts_only_what_was_written),
        cmocka_unit_test(dropping_takes_from_the_front),
        cmocka_unit_test(copies_of_strings_are_whole_and_ours),
        cmocka_unit_test(a_list_keeps_its_order_and_unlinking_twice_is_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
