/* runtime/data: digests, keys, archives, decompression. */
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
#include "runtime/data/cpio.h"
#include "runtime/data/digest.h"
#include "runtime/data/key.h"
#include "runtime/data/unpack.h"

static int make_folder(void **state)
{
    char *path = vx_strdup("/tmp/vx-data-XXXXXX");

    *state = mkdtemp(path);
    return *state == NULL;
}

static int remove_folder(void **state)
{
    int rc = vx_file_remove_tree(*state, NULL);

    free(*state);
    return rc;
}

static void sha256_of_bytes_and_of_a_file_agree_with_the_standard(void **state)
{
    /* FIPS 180-2, appendix B.1. */
    static const char abc[] =
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    char *path = vx_strfmt("%s/abc", (char *)*state);
    char hex[VX_SHA256_HEX];
    struct vx_err err = { 0 };

    assert_int_equal(vx_sha256_bytes("abc", 3, hex, &err), 0);
    assert_string_equal(hex, abc);
    assert_int_equal(vx_file_write_atomic(path, "abc", 3, 0600, &err), 0);
    assert_int_equal(vx_sha256_file(path, hex, &err), 0);
    assert_string_equal(hex, abc);
    assert_int_equal(vx_sha256_file("/nonexistent", hex, &err), -1);
    assert_int_equal(err.kind, VX_NOTFOUND);
    free(path);
}

static void a_key_has_a_public_line_and_a_dropbear_form(void **state)
{
    struct vx_key key, other;
    struct vx_err err = { 0 };

    (void)state;
    assert_int_equal(vx_key_new("who@where", &key, &err), 0);
    assert_int_equal(vx_key_new("", &other, &err), 0);
    assert_int_equal(strncmp(vx_buf_cstr(&key.public_line), "ssh-ed25519 AAAA", 16), 0);
    assert_non_null(strstr(vx_buf_cstr(&key.public_line), " who@where"));
    assert_string_not_equal(vx_buf_cstr(&key.public_line), vx_buf_cstr(&other.public_line));
    assert_int_equal(key.dropbear.len, 4 + 11 + 4 + 64);
    vx_key_free(&key);
    vx_key_free(&key);
    vx_key_free(&other);
    assert_int_equal(vx_key_new("two\nlines", &key, &err), -1);
    assert_int_equal(err.kind, VX_USAGE);
}

static void the_same_entries_give_the_same_bytes_with_every_filter(void **state)
{
    static const char *const filters[] = { "none", "gzip", "xz", "zstd" };
    struct vx_cpio_entry entries[] = {
        { .path = "etc", .mode = S_IFDIR | 0755 },
        { .path = "etc/motd", .mode = S_IFREG | 0644, .data = "hello", .len = 5 },
        { .path = "bin", .mode = S_IFLNK | 0777, .link = "usr/bin" },
        { .path = "dev/console", .mode = S_IFCHR | 0600, .major = 5, .minor = 1 },
        { .path = "home", .mode = S_IFDIR | 0755, .owner = 1000 },
    };
    struct vx_err err = { 0 };

    for (size_t i = 0; i < 4; i++) {
        char *one = vx_strfmt("%s/one", (char *)*state),
             *two = vx_strfmt("%s/two", (char *)*state);
        struct vx_cpio_opts opts = { .compress = filters[i] };
        struct vx_buf a = { 0 }, b = { 0 }, plain = { 0 };

        assert_int_equal(vx_cpio_write(one, entries, 5, &opts, &err), 0);
        assert_int_equal(vx_cpio_write(two, entries, 5, &opts, &err), 0);
        assert_int_equal(vx_file_read(one, 1 << 20, &a, &err), 0);
        assert_int_equal(vx_file_read(two, 1 << 20, &b, &err), 0);
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.data, b.data, a.len);
        if (i == 0) {
            assert_int_equal(a.len % 4, 0);
            assert_memory_equal(a.data, "070701", 6);
            assert_non_null(memmem(a.data, a.len, "hello", 5));
            assert_non_null(memmem(a.data, a.len, "TRAILER!!!", 10));
        } else {
            assert_int_equal(vx_unpack(a.data, a.len, 1 << 20, &plain, &err), 0);
            assert_non_null(memmem(plain.data, plain.len, "usr/bin", 7));
        }
        vx_buf_free(&a);
        vx_buf_free(&b);
        vx_buf_free(&plain);
        free(one);
        free(two);
    }
}

static void an_archive_that_cannot_be_made_leaves_no_file(void **state)
{
    struct vx_cpio_entry entry = { .path = "x",
                                   .mode = S_IFREG | 0644,
                                   .file = "/nonexistent" };
    char *path = vx_strfmt("%s/out", (char *)*state);
    struct vx_err err = { 0 };

    assert_int_equal(vx_cpio_write(path, &entry, 1, &(struct vx_cpio_opts){ 0 }, &err), -1);
    assert_int_equal(err.kind, VX_NOTFOUND);
    assert_int_equal(
        vx_cpio_write(path, &entry, 0, &(struct vx_cpio_opts){ .compress = "rot13" }, &err),
        -1);
    assert_int_equal(err.kind, VX_UNSUPPORTED);
    assert_int_equal(rmdir(*state), 0); /* empty */
    assert_int_equal(mkdir(*state, 0700), 0);
    free(path);
}

static void damaged_or_oversize_data_is_an_error(void **state)
{
    struct vx_cpio_entry entry = { .path = "x", .mode = S_IFREG | 0644 };
    char *path = vx_strfmt("%s/big", (char *)*state);
    char *zeros = vx_zalloc(1 << 20);
    struct vx_buf a = { 0 }, plain = { 0 };
    struct vx_err err = { 0 };

    entry.data = zeros;
    entry.len = 1 << 20;
    assert_int_equal(
        vx_cpio_write(path, &entry, 1, &(struct vx_cpio_opts){ .compress = "xz" }, &err), 0);
    assert_int_equal(vx_file_read(path, 1 << 20, &a, &err), 0);
    assert_int_equal(vx_unpack(a.data, a.len, 1 << 19, &plain, &err), -1);
    assert_int_equal(err.kind, VX_LIMIT);
    vx_buf_free(&plain);
    memset(a.data + a.len / 2, 0x55, a.len / 4);
    assert_int_equal(vx_unpack(a.data, a.len, 1 << 24, &plain, &err), -1);
    assert_int_equal(err.kind, VX_FORMAT);
    vx_buf_free(&a);
    vx_buf_free(&plain);
    free(zeros);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sha256_of_bytes_and_of_a_file_agree_with_the_standard,
                                        make_folder, remove_folder),
        cmocka_unit_test(a_key_has_a_public_line_and_a_dropbear_form),
        cmocka_unit_test_setup_teardown(the_same_entries_give_the_same_bytes_with_every_filter,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(an_archive_that_cannot_be_made_leaves_no_file,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(damaged_or_oversize_data_is_an_error, make_folder,
                                        remove_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
