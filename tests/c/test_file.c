/* runtime/base/file: atomic writes and the removal of trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/file.h"

static int make_folder(void **state)
{
    char *path = vx_strdup("/tmp/vx-file-XXXXXX");

    *state = mkdtemp(path);
    return *state == NULL;
}

static int remove_folder(void **state)
{
    int rc = vx_file_remove_tree(*state, NULL);

    free(*state);
    return rc;
}

static void mkdir_p_makes_parents_and_accepts_what_exists(void **state)
{
    char *path = vx_strfmt("%s/a/b/c", (char *)*state);
    char *file = vx_strfmt("%s/f", (char *)*state),
         *below = vx_strfmt("%s/f/g", (char *)*state);
    struct vx_err err = { 0 };
    struct stat st;

    assert_int_equal(vx_file_mkdir_p(path, 0755, &err), 0);
    assert_int_equal(vx_file_mkdir_p(path, 0755, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(vx_file_write_atomic(file, "x", 1, 0600, &err), 0);
    assert_int_equal(vx_file_mkdir_p(file, 0755, &err), -1);
    assert_int_equal(vx_file_mkdir_p(below, 0755, &err), -1);
    free(path);
    free(file);
    free(below);
}

static void an_atomic_write_replaces_and_keeps_the_mode_asked_for(void **state)
{
    char *path = vx_strfmt("%s/f", (char *)*state);
    struct vx_buf buf = { 0 };
    struct vx_err err = { 0 };
    struct stat st;

    assert_int_equal(vx_file_write_atomic(path, "old content", 11, 0644, &err), 0);
    assert_int_equal(vx_file_write_atomic(path, "new", 3, 0666, &err), 0);
    assert_int_equal(vx_file_read(path, 100, &buf, &err), 0);
    assert_string_equal(vx_buf_cstr(&buf), "new");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0666);
    assert_int_equal(vx_file_read(path, 2, &buf, &err), -1);
    assert_int_equal(err.kind, VX_LIMIT);
    vx_buf_free(&buf);
    free(path);
}

static void removing_a_tree_never_follows_a_link(void **state)
{
    char *keep = vx_strfmt("%s/keep", (char *)*state),
         *file = vx_strfmt("%s/keep/f", (char *)*state);
    char *tree = vx_strfmt("%s/tree", (char *)*state),
         *deep = vx_strfmt("%s/tree/x/y", (char *)*state);
    char *link = vx_strfmt("%s/tree/x/link", (char *)*state);
    struct vx_err err = { 0 };
    struct stat st;

    assert_int_equal(vx_file_mkdir_p(keep, 0755, &err), 0);
    assert_int_equal(vx_file_write_atomic(file, "x", 1, 0600, &err), 0);
    assert_int_equal(vx_file_mkdir_p(deep, 0755, &err), 0);
    assert_int_equal(symlink(keep, link), 0);
    assert_int_equal(vx_file_remove_tree(tree, &err), 0);
    assert_int_equal(lstat(tree, &st), -1);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(vx_file_remove_tree(tree, &err), 0); /* nothing there: fine */
    assert_int_equal(symlink(keep, tree), 0);
    assert_int_equal(vx_file_remove_tree(tree, &err), 0); /* the link itself */
    assert_int_equal(stat(file, &st), 0);
    free(keep);
    free(file);
    free(tree);
    free(deep);
    free(link);
}

static void pieces_of_zeros_are_not_written(void **state)
{
    char *path = vx_strfmt("%s/f", (char *)*state);
    char data[10] = { 'a', 'b', 0, 0, 0, 0, 0, 0, 'c', 0 };
    struct vx_buf buf = { 0 };
    struct vx_err err = { 0 };
    FILE *file = NULL;

    assert_int_equal(vx_file_write_atomic(path, "............", 12, 0600, &err), 0);
    file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(vx_file_write_holes(fileno(file), data, sizeof data, 1, 4), 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(vx_file_read(path, 100, &buf, &err), 0);
    assert_int_equal(buf.len, 12);
    assert_memory_equal(buf.data, ".ab\0\0....c\0.", 12);
    vx_buf_free(&buf);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mkdir_p_makes_parents_and_accepts_what_exists,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(an_atomic_write_replaces_and_keeps_the_mode_asked_for,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(pieces_of_zeros_are_not_written, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(removing_a_tree_never_follows_a_link, make_folder,
                                        remove_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
