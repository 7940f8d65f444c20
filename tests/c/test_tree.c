/* Exclude patterns, and merging one tree into another. */
#include "runtime/data/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/file.h"
#include "runtime/data/match.h"

static void patterns_without_a_slash_mean_a_name_at_any_depth(void **state)
{
    (void)state;
    assert_true(vx_match("*.o", "a.o"));
    assert_true(vx_match("*.o", "x/y/a.o"));
    assert_false(vx_match("*.o", "a.o/x"));
    assert_true(vx_match("[a-c]?", "b1"));
    assert_false(vx_match("[!a-c]?", "b1"));
    assert_true(vx_match("a\\*", "a*"));
    assert_false(vx_match("a\\*", "ab"));
    assert_true(vx_match("[x", "[x"));
    assert_true(vx_match("*a*b*c*", "xxaxxbxxcxx"));
    assert_true(vx_match("\xff*", "\xff\xfe"));
}

static void patterns_with_a_slash_mean_the_whole_path(void **state)
{
    (void)state;
    assert_true(vx_match("build/*.o", "build/a.o"));
    assert_false(vx_match("build/*.o", "build/x/a.o"));
    assert_false(vx_match("build/*.o", "x/build/a.o"));
    assert_true(vx_match("build/**.o", "build/x/a.o"));
    assert_true(vx_match("**/x", "x"));
    assert_true(vx_match("**/x", "a/b/x"));
    assert_true(vx_match("a/**/z", "a/b/c/z"));
    assert_true(vx_match("/top", "top"));
    assert_false(vx_match("/top", "a/top"));
}

static void a_pattern_of_many_stars_is_not_slow(void **state)
{
    char path[200];

    (void)state;
    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_false(vx_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*ab", path));
}

static void a_link_stays_only_if_it_climbs_first_and_not_too_far(void **state)
{
    (void)state;
    assert_true(vx_tree_link_stays("a", 0));
    assert_true(vx_tree_link_stays("./a//b", 0));
    assert_true(vx_tree_link_stays("../../a", 2));
    assert_true(vx_tree_link_stays("...", 0));
    assert_false(vx_tree_link_stays("../../a", 1));
    assert_false(vx_tree_link_stays("/a", 5));
    assert_false(vx_tree_link_stays("a/../b", 5));
    assert_false(vx_tree_link_stays("..", 0));
    assert_false(vx_tree_link_stays("", 0));
}

static char base[64];

static const char *at(const char *name)
{
    static char paths[4][300];
    static int turn;
    char *path = paths[turn++ % 4];

    snprintf(path, 300, "%s/%s", base, name);
    return path;
}

static int setup(void **state)
{
    (void)state;
    strcpy(base, "/tmp/vx-test-tree-XXXXXX");
    if (mkdtemp(base) == NULL)
        return -1;
    return mkdir(at("from"), 0700) + mkdir(at("to"), 0700);
}

static int teardown(void **state)
{
    (void)state;
    return vx_file_remove_tree(base, NULL);
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(at(name), "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void assert_text(const char *name, const char *text)
{
    struct vx_buf buf = { 0 };

    assert_int_equal(vx_file_read(at(name), 1000, &buf, NULL), 0);
    assert_string_equal(vx_buf_cstr(&buf), text);
    vx_buf_free(&buf);
}

static int merge(bool mirror, const char *const *exclude, struct vx_err *err)
{
    struct vx_tree_merge opts = { .from = at("from"),
                                  .to = at("to"),
                                  .mirror = mirror,
                                  .exclude = exclude,
                                  .keep = ".temp" };

    return vx_tree_merge(&opts, err);
}

static void folders_merge_and_files_are_replaced(void **state)
{
    struct stat st;

    (void)state;
    mkdir(at("from/d"), 0555);
    mkdir(at("to/d"), 0750);
    chmod(at("from/d"), 0755);
    put("from/d/new", "n");
    put("from/d/both", "theirs");
    put("to/d/both", "ours");
    put("to/d/old", "o");
    mkdir(at("from/closed"), 0755);
    put("from/closed/x", "x");
    chmod(at("from/closed"), 0555);
    assert_int_equal(merge(false, NULL, NULL), 0);
    assert_text("to/d/new", "n");
    assert_text("to/d/both", "theirs");
    assert_text("to/d/old", "o");
    assert_int_equal(stat(at("to/d"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    assert_int_equal(stat(at("to/closed"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0555);
}

static void mirror_removes_what_is_not_there_but_for_what_is_excluded(void **state)
{
    static const char *const exclude[] = { "*.keep", NULL };

    (void)state;
    put("from/a", "a");
    put("to/b", "b");
    put("to/c.keep", "c");
    mkdir(at("to/.temp"), 0700);
    mkdir(at("to/d"), 0700);
    put("to/d/e", "e");
    assert_int_equal(merge(true, exclude, NULL), 0);
    assert_text("to/a", "a");
    assert_text("to/c.keep", "c");
    assert_int_equal(access(at("to/.temp"), F_OK), 0);
    assert_int_equal(access(at("to/b"), F_OK), -1);
    assert_int_equal(access(at("to/d"), F_OK), -1);
}

static void a_conflict_is_found_before_anything_is_changed(void **state)
{
    struct vx_err err = { 0 };

    (void)state;
    put("from/a", "new");
    put("to/a", "old");
    put("from/z", "file");
    mkdir(at("to/z"), 0700);
    assert_int_equal(merge(false, NULL, &err), -1);
    assert_int_equal(err.kind, VX_EXISTS);
    assert_text("to/a", "old");
    assert_int_equal(merge(true, NULL, &err), 0);
    assert_text("to/z", "file");
}

static void a_link_in_the_target_is_never_followed(void **state)
{
    struct vx_err err = { 0 };

    (void)state;
    mkdir(at("outside"), 0700);
    mkdir(at("from/d"), 0700);
    put("from/d/evil", "x");
    assert_int_equal(symlink("../outside", at("to/d")), 0);
    assert_int_equal(merge(false, NULL, &err), -1);
    assert_int_equal(err.kind, VX_EXISTS);
    assert_int_equal(access(at("outside/evil"), F_OK), -1);
    assert_int_equal(merge(true, NULL, &err), 0);
    assert_text("to/d/evil", "x");
    assert_int_equal(access(at("outside/evil"), F_OK), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_without_a_slash_mean_a_name_at_any_depth),
        cmocka_unit_test(patterns_with_a_slash_mean_the_whole_path),
        cmocka_unit_test(a_pattern_of_many_stars_is_not_slow),
        cmocka_unit_test(a_link_stays_only_if_it_climbs_first_and_not_too_far),
        TEST(folders_merge_and_files_are_replaced),
        TEST(mirror_removes_what_is_not_there_but_for_what_is_excluded),
        TEST(a_conflict_is_found_before_anything_is_changed),
        TEST(a_link_in_the_target_is_never_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
