/* Packing, and unpacking what a hostile sender makes: archives written by hand, byte by byte. */
#include "runtime/data/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/buf.h"
#include "runtime/base/file.h"
#include "runtime/data/tree.h"

/* base/ is a fresh folder; base/in is unpacked into, base/outside must stay as it is. */
struct rig {
    char base[64], in[80], outside[80];
    struct vx_buf tar;
    size_t at;
    struct vx_tar_count count;
    struct vx_err err;
    struct vx_tar_unpack opts;
};

static ssize_t read_tar(void *data, size_t len, void *arg, struct vx_err *err)
{
    struct rig *rig = arg;
    size_t left = rig->tar.len - rig->at;

    (void)err;
    len = len < left ? len : left;
    len = len < 700 ? len : 700; /* pieces that fit nothing */
    if (len > 0)
        memcpy(data, rig->tar.data + rig->at, len);
    rig->at += len;
    return (ssize_t)len;
}

static int write_tar(const void *data, size_t len, void *arg, struct vx_err *err)
{
    struct rig *rig = arg;

    (void)err;
    vx_buf_add(&rig->tar, data, len);
    return 0;
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);

    strcpy(rig->base, "/tmp/vx-test-tar-XXXXXX");
    if (rig == NULL || mkdtemp(rig->base) == NULL)
        return -1;
    snprintf(rig->in, sizeof rig->in, "%s/in", rig->base);
    snprintf(rig->outside, sizeof rig->outside, "%s/outside", rig->base);
    mkdir(rig->in, 0755);
    mkdir(rig->outside, 0755);
    rig->opts = (struct vx_tar_unpack){
        .into = rig->in, .max_bytes = 1 << 20, .max_entries = 100, .read = read_tar, .arg = rig
    };
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    int rc = vx_file_remove_tree(rig->base, NULL);

    vx_buf_free(&rig->tar);
    vx_buf_free(&rig->count.skipped_names);
    free(rig);
    return rc;
}

/* One header with its content, as in POSIX.1-1988. */
static void add_sized(struct rig *rig, char type, const char *name, const char *target,
                      const char *content, unsigned long long size)
{
    char h[512] = { 0 };
    unsigned sum = 0;
    size_t len = content != NULL ? strlen(content) : 0;

    memcpy(h, name, strlen(name) < 100 ? strlen(name) : 100);
    memcpy(h + 100, "0004755", 8); /* set-user-id: must not arrive */
    memcpy(h + 108, "0000000", 8);
    memcpy(h + 116, "0000000", 8);
    snprintf(h + 124, 12, "%011llo", size & 077777777777ull);
    memcpy(h + 136, "07346545000", 12); /* 1000000000 */
    memset(h + 148, ' ', 8);
    h[156] = type;
    if (target != NULL)
        memcpy(h + 157, target, strlen(target));
    memcpy(h + 257,
           "ustar\0"
           "00",
           8);
    for (size_t i = 0; i < sizeof h; i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    vx_buf_add(&rig->tar, h, sizeof h);
    if (len > 0) {
        char block[512] = { 0 };
        memcpy(block, content, len);
        vx_buf_add(&rig->tar, block, sizeof block);
    }
}

static void add(struct rig *rig, char type, const char *name, const char *target,
                const char *content)
{
    add_sized(rig, type, name, target, content, content != NULL ? strlen(content) : 0);
}

static void end(struct rig *rig)
{
    static const char zeros[1024];

    vx_buf_add(&rig->tar, zeros, sizeof zeros);
}

static int unpack(struct rig *rig)
{
    return vx_tar_unpack(&rig->opts, &rig->count, &rig->err);
}

static int count_item(const struct vx_tree_item *item, void *arg, struct vx_err *err)
{
    (void)item, (void)err;
    ++*(int *)arg;
    return 0;
}

static void assert_nothing_outside(struct rig *rig)
{
    int items = 0;

    assert_int_equal(vx_tree_walk(rig->outside, false, NULL, count_item, &items, NULL), 0);
    assert_int_equal(items, 1); /* the folder itself */
    items = 0;
    assert_int_equal(vx_tree_walk(rig->base, false, NULL, count_item, &items, NULL), 0);
    assert_true(items >= 3);
}

static void assert_refused(struct rig *rig, enum vx_kind kind, const char *name)
{
    end(rig);
    assert_int_equal(unpack(rig), -1);
    if (rig->err.kind != kind || strstr(rig->err.msg, name) == NULL)
        fail_msg("%s expected about %s, got %s: %s", vx_kind_name(kind), name,
                 vx_kind_name(rig->err.kind), rig->err.msg);
    assert_nothing_outside(rig);
}

static const char *in(struct rig *rig, const char *name)
{
    static char path[1024];

    snprintf(path, sizeof path, "%s/%s", rig->in, name);
    return path;
}

static void absolute_names_are_refused(void **state)
{
    struct rig *rig = *state;
    char name[100];

    snprintf(name, sizeof name, "%s/evil", rig->outside);
    add(rig, '0', name, NULL, "x");
    assert_refused(rig, VX_UNSAFE, "/outside/evil: an absolute name");
}

static void dot_dot_is_refused_anywhere_in_a_name(void **state)
{
    struct rig *rig = *state;

    add(rig, '0', "a/../../outside/evil", NULL, "x");
    assert_refused(rig, VX_UNSAFE, "a/../../outside/evil: a name with '..'");
}

static void a_leading_dot_dot_is_refused_for_folders_too(void **state)
{
    struct rig *rig = *state;

    add(rig, '5', "../outside/evil/", NULL, NULL);
    assert_refused(rig, VX_UNSAFE, "'..'");
}

static void links_that_lead_outside_are_refused(void **state)
{
    struct rig *rig = *state;

    add(rig, '5', "d", NULL, NULL);
    add(rig, '2', "d/l", "../../outside", NULL);
    assert_refused(rig, VX_UNSAFE, "d/l: a symbolic link that leads outside, to ../../outside");
}

static void absolute_links_are_refused(void **state)
{
    struct rig *rig = *state;

    add(rig, '2', "l", "/etc/passwd", NULL);
    assert_refused(rig, VX_UNSAFE, "l: a symbolic link that leads outside");
}

static void links_that_climb_through_another_link_are_refused(void **state)
{
    struct rig *rig = *state;

    /* By its letters a/b/s/../../x is a/x; on disk a/b/s is the root and this leads outside it. */
    add(rig, '2', "a/b/s", "../..", NULL);
    add(rig, '2', "t", "a/b/s/../../outside", NULL);
    assert_refused(rig, VX_UNSAFE, "t: a symbolic link that leads outside");
}

static void nothing_is_written_through_an_earlier_link(void **state)
{
    struct rig *rig = *state;

    add(rig, '5', "real", NULL, NULL);
    add(rig, '2', "l", "real", NULL);
    add(rig, '0', "l/evil", NULL, "x");
    assert_refused(rig, VX_UNSAFE,
                   "l/evil: its way leads through something that is not a folder");
    assert_int_equal(access(in(rig, "real/evil"), F_OK), -1);
}

static void a_folder_does_not_replace_an_earlier_link(void **state)
{
    struct rig *rig = *state;

    add(rig, '5', "real", NULL, NULL);
    add(rig, '2', "l", "real", NULL);
    add(rig, '5', "l", NULL, NULL);
    assert_refused(rig, VX_UNSAFE, "l: ");
}

static void a_file_is_not_written_over_an_earlier_link(void **state)
{
    struct rig *rig = *state;

    add(rig, '2', "l", "target", NULL);
    add(rig, '0', "l", NULL, "x");
    assert_refused(rig, VX_UNSAFE, "l: the name comes twice");
    assert_int_equal(access(in(rig, "target"), F_OK), -1);
}

static void names_that_come_twice_are_refused(void **state)
{
    struct rig *rig = *state;

    add(rig, '0', "a", NULL, "x");
    add(rig, '0', "./a", NULL, "y");
    assert_refused(rig, VX_UNSAFE, "./a: the name comes twice");
}

static void hard_links_to_outside_are_refused(void **state)
{
    struct rig *rig = *state;

    add(rig, '1', "h", "/etc/passwd", NULL);
    assert_refused(rig, VX_UNSAFE, "h: an absolute name");
}

static void hard_links_with_dot_dot_are_refused(void **state)
{
    struct rig *rig = *state;

    add(rig, '1', "h", "../outside", NULL);
    assert_refused(rig, VX_UNSAFE, "h: a name with '..'");
}

static void hard_links_to_symbolic_links_are_refused(void **state)
{
    struct rig *rig = *state;

    /* Safe at depth two, it would lead outside from the root. */
    add(rig, '2', "a/b/s", "../../x", NULL);
    add(rig, '1', "h", "a/b/s", NULL);
    assert_refused(rig, VX_UNSAFE, "h: a hard link to something that is not a file");
}

static void devices_and_fifos_are_refused(void **state)
{
    struct rig *rig = *state;
    const char *const types = "346";

    for (size_t i = 0; types[i] != '\0'; i++) {
        rig->tar.len = rig->at = 0;
        add(rig, types[i], "node", NULL, NULL);
        assert_refused(rig, VX_UNSAFE, types[i] == '6' ? "node: a fifo" : "node: a device");
    }
}

static void what_is_unsafe_can_be_left_out_instead(void **state)
{
    struct rig *rig = *state;

    rig->opts.skip_unsafe = true;
    add(rig, '3', "node", NULL, NULL);
    add(rig, '2', "evil\x1b[2J", "/etc", NULL);
    add(rig, '0', "good", NULL, "x");
    end(rig);
    assert_int_equal(unpack(rig), 0);
    assert_int_equal(rig->count.skipped, 2);
    assert_string_equal(vx_buf_cstr(&rig->count.skipped_names), "node\nevil\\x1b[2J\n");
    assert_int_equal(access(in(rig, "good"), F_OK), 0);
    assert_int_equal(access(in(rig, "node"), F_OK), -1);
}

static void names_in_messages_are_escaped(void **state)
{
    struct rig *rig = *state;

    add(rig, '0', "/\x1b]0;title\a\n", NULL, "x");
    assert_refused(rig, VX_UNSAFE, "/\\x1b]0;title\\x07\\x0a: an absolute name");
}

static void more_bytes_than_allowed_are_refused_before_they_are_written(void **state)
{
    struct rig *rig = *state;

    add_sized(rig, '0', "big", NULL, NULL, 1 << 21);
    assert_refused(rig, VX_LIMIT, "big: ");
    assert_int_equal(access(in(rig, "big"), F_OK), -1);
}

static void sizes_that_overflow_are_refused(void **state)
{
    struct rig *rig = *state;

    add_sized(rig, '0', "a", NULL, "x", 1);
    add_sized(rig, '0', "huge", NULL, NULL, 077777777777ull);
    assert_refused(rig, VX_LIMIT, "huge: ");
}

static void more_entries_than_allowed_are_refused(void **state)
{
    struct rig *rig = *state;
    char name[20];

    for (int i = 0; i <= 100; i++) {
        snprintf(name, sizeof name, "f%d", i);
        add(rig, '0', name, NULL, NULL);
    }
    assert_refused(rig, VX_LIMIT, "f100: more entries than allowed");
}

static void an_endless_run_of_headers_is_refused(void **state)
{
    struct rig *rig = *state;

    for (int i = 0; i < 4000; i++)
        add(rig, 'g', "x", NULL, "6 a=b\n");
    end(rig);
    assert_int_equal(unpack(rig), -1);
    assert_true(rig->err.kind == VX_LIMIT || rig->err.kind == VX_FORMAT);
}

static void content_that_is_left_out_is_bounded_too(void **state)
{
    static const char *const exclude[] = { "big", NULL };
    static char megabytes[3 << 20];
    struct rig *rig = *state;

    rig->opts.exclude = exclude;
    rig->opts.max_bytes = 1000;
    rig->opts.max_entries = 2;
    add_sized(rig, '0', "big", NULL, NULL, sizeof megabytes);
    vx_buf_add(&rig->tar, megabytes, sizeof megabytes);
    end(rig);
    assert_int_equal(unpack(rig), -1);
    assert_int_equal(rig->err.kind, VX_LIMIT);
}

static void a_sparse_bomb_counts_with_its_holes(void **state)
{
    struct rig *rig = *state;
    static const char map[] = "1\n0\n1\n";

    add(rig, 'x', "p", NULL,
        "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
        "40 GNU.sparse.realsize=9000000000000000\n25 GNU.sparse.name=bomb\n");
    add_sized(rig, '0', "GNUSparseFile.0/bomb", NULL, map, 513);
    add(rig, '0', "z", NULL, NULL);
    end(rig);
    assert_int_equal(unpack(rig), -1);
    assert_true(rig->err.kind == VX_LIMIT || rig->err.kind == VX_FORMAT);
    assert_int_equal(access(in(rig, "bomb"), F_OK), -1);
}

static void names_too_deep_or_too_long_are_refused(void **state)
{
    struct rig *rig = *state;
    static char deep[2048];

    for (size_t i = 0; i + 2 < sizeof deep; i += 2)
        memcpy(deep + i, "d/", 2);
    add_sized(rig, 'L', "././@LongLink", NULL, NULL, strlen(deep) + 1);
    vx_buf_add(&rig->tar, deep, sizeof deep);
    add(rig, '0', "short", NULL, "x");
    assert_refused(rig, VX_LIMIT, "d/d/d");
}

static void a_file_for_the_folder_itself_is_refused(void **state)
{
    struct rig *rig = *state;

    add(rig, '0', "./", NULL, "x");
    rig->tar.data[156] = '2';
    rig->tar.len = 0;
    add(rig, '2', ".", "x", NULL);
    assert_refused(rig, VX_UNSAFE, ".: a file in place of the folder itself");
}

static void stripped_names_are_judged_at_their_new_depth(void **state)
{
    struct rig *rig = *state;

    rig->opts.strip = 2;
    add(rig, '2', "a/b/l", "../outside", NULL);
    assert_refused(rig, VX_UNSAFE, "a/b/l: a symbolic link that leads outside");
}

static void a_stream_cut_in_a_file_is_an_error(void **state)
{
    struct rig *rig = *state;

    add_sized(rig, '0', "cut", NULL, "x", 2000);
    assert_int_equal(unpack(rig), -1);
    assert_int_equal(rig->err.kind, VX_FORMAT);
}

static void rubbish_is_an_error(void **state)
{
    struct rig *rig = *state;

    for (int i = 0; i < 300; i++)
        vx_buf_str(&rig->tar, "not a tar archive\n");
    assert_int_equal(unpack(rig), -1);
    assert_int_equal(rig->err.kind, VX_FORMAT);
    rig->tar.len = rig->at = 0;
    assert_int_equal(unpack(rig), -1);
}

static void bytes_behind_the_end_are_bounded(void **state)
{
    struct rig *rig = *state;
    static char megabytes[3 << 20];

    add(rig, '0', "a", NULL, "x");
    end(rig);
    rig->opts.max_bytes = 100 << 20;
    vx_buf_add(&rig->tar, megabytes, sizeof megabytes);
    assert_int_equal(unpack(rig), -1);
    assert_int_equal(rig->err.kind, VX_FORMAT);
}

static void modes_lose_set_user_id_and_keep_the_rest(void **state)
{
    struct rig *rig = *state;
    struct stat st;

    add(rig, '0', "a", NULL, "hello");
    end(rig);
    assert_int_equal(unpack(rig), 0);
    assert_int_equal(stat(in(rig, "a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(st.st_mtime, 1000000000);
    assert_int_equal(st.st_size, 5);
}

static void put(const char *base, const char *name, const char *text, mode_t mode)
{
    char path[300];
    FILE *file = NULL;
    struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1234567890 } };

    snprintf(path, sizeof path, "%s/%s", base, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    chmod(path, mode);
    utimensat(AT_FDCWD, path, times, 0);
}

static void round_trip(struct rig *rig, bool gnu)
{
    static const char *const names[] = { "plain",        "with space",     "new\nline",
                                         "\xff\xfe raw", "\xc3\xa4 utf-8", "back\\slash" };
    struct vx_tar_source source = { .path = rig->outside, .name = "t" };
    static const char *const exclude[] = { "*.o", "no/way", NULL };
    struct vx_tar_pack pack = { .sources = &source,
                                .count = 1,
                                .exclude = exclude,
                                .gnu = gnu,
                                .last_name = "end",
                                .last_data = "bye",
                                .last_len = 3,
                                .write = write_tar,
                                .arg = rig };
    struct vx_tar_count packed = { 0 };
    char path[400], longname[256], target[100];
    struct stat st;
    FILE *file = NULL;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        put(rig->outside, names[i], names[i], (mode_t)(0600 + i));
    memset(longname, 'n', 250);
    longname[250] = '\0';
    put(rig->outside, longname, "long", 0444);
    put(rig->outside, "left.o", "x", 0600);
    snprintf(path, sizeof path, "%s/no", rig->outside);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/no/way", rig->outside);
    mkdir(path, 0755);
    put(rig->outside, "no/way/hidden", "x", 0600);
    put(rig->outside, "no/way.c", "x", 0600);
    snprintf(path, sizeof path, "%s/closed", rig->outside);
    mkdir(path, 0755);
    put(rig->outside, "closed/file", "y", 0600);
    chmod(path, 0555);
    snprintf(path, sizeof path, "%s/link", rig->outside);
    assert_int_equal(symlink("new\nline", path), 0);
    snprintf(path, sizeof path, "%s/fifo", rig->outside);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof path, "%s/sparse", rig->outside);
    file = fopen(path, "w");
    assert_int_equal(ftruncate(fileno(file), 3 << 20), 0);
    fseek(file, 1 << 20, SEEK_SET);
    fputs("middle", file);
    fclose(file);

    assert_int_equal(vx_tar_pack(&pack, &packed, &rig->err), 0);
    assert_int_equal(packed.skipped, 1);
    assert_string_equal(vx_buf_cstr(&packed.skipped_names), "fifo\n");
    vx_buf_free(&packed.skipped_names);
    rig->opts.max_bytes = 10 << 20;
    if (unpack(rig) != 0)
        fail_msg("%s", rig->err.msg);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct vx_buf text = { 0 };
        snprintf(path, sizeof path, "t/%s", names[i]);
        assert_int_equal(stat(in(rig, path), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600 + i);
        assert_int_equal(st.st_mtime, 1234567890);
        assert_int_equal(st.st_uid, geteuid());
        assert_int_equal(vx_file_read(in(rig, path), 1000, &text, NULL), 0);
        assert_string_equal(vx_buf_cstr(&text), names[i]);
        vx_buf_free(&text);
    }
    snprintf(path, sizeof path, "t/%s", longname);
    assert_int_equal(access(in(rig, path), F_OK), 0);
    assert_int_equal(access(in(rig, "t/left.o"), F_OK), -1);
    assert_int_equal(access(in(rig, "t/no/way"), F_OK), -1);
    assert_int_equal(access(in(rig, "t/no/way.c"), F_OK), 0);
    assert_int_equal(stat(in(rig, "t/closed"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0555);
    assert_int_equal(access(in(rig, "end"), F_OK), 0);
    assert_int_equal(stat(in(rig, "t/sparse"), &st), 0);
    assert_int_equal(st.st_size, 3 << 20);
    assert_true(st.st_blocks < 2048);
    if (!gnu)
        assert_true(rig->tar.len < 1 << 20); /* the holes did not travel */
    assert_int_equal(readlink(in(rig, "t/link"), target, sizeof target), 8);
}

static void a_tree_comes_back_as_it_was(void **state)
{
    round_trip(*state, false);
}

static void a_tree_comes_back_in_gnu_format_too(void **state)
{
    round_trip(*state, true);
}

static int refuse_write(const void *data, size_t len, void *arg, struct vx_err *err)
{
    (void)data, (void)len, (void)arg;
    return vx_err_set(err, VX_CONNECTION, 0, "the guest is gone");
}

static void a_broken_stream_ends_the_packing_with_its_own_error(void **state)
{
    struct rig *rig = *state;
    struct vx_tar_source source = { .path = rig->base, .name = "t" };
    struct vx_tar_pack pack = { .sources = &source, .count = 1, .write = refuse_write };

    assert_int_equal(vx_tar_pack(&pack, &rig->count, &rig->err), -1);
    assert_int_equal(rig->err.kind, VX_CONNECTION);
    assert_string_equal(rig->err.msg, "the guest is gone");
}

static void packing_what_does_not_exist_says_so(void **state)
{
    struct rig *rig = *state;
    struct vx_tar_source source = { .path = "/nonexistent/x", .name = "t" };
    struct vx_tar_pack pack = {
        .sources = &source, .count = 1, .write = write_tar, .arg = rig
    };

    assert_int_equal(vx_tar_pack(&pack, &rig->count, &rig->err), -1);
    assert_int_equal(rig->err.kind, VX_NOTFOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(absolute_names_are_refused),
        TEST(dot_dot_is_refused_anywhere_in_a_name),
        TEST(a_leading_dot_dot_is_refused_for_folders_too),
        TEST(links_that_lead_outside_are_refused),
        TEST(absolute_links_are_refused),
        TEST(links_that_climb_through_another_link_are_refused),
        TEST(nothing_is_written_through_an_earlier_link),
        TEST(a_folder_does_not_replace_an_earlier_link),
        TEST(a_file_is_not_written_over_an_earlier_link),
        TEST(names_that_come_twice_are_refused),
        TEST(hard_links_to_outside_are_refused),
        TEST(hard_links_with_dot_dot_are_refused),
        TEST(hard_links_to_symbolic_links_are_refused),
        TEST(devices_and_fifos_are_refused),
        TEST(what_is_unsafe_can_be_left_out_instead),
        TEST(names_in_messages_are_escaped),
        TEST(more_bytes_than_allowed_are_refused_before_they_are_written),
        TEST(sizes_that_overflow_are_refused),
        TEST(more_entries_than_allowed_are_refused),
        TEST(an_endless_run_of_headers_is_refused),
        TEST(content_that_is_left_out_is_bounded_too),
        TEST(a_sparse_bomb_counts_with_its_holes),
        TEST(names_too_deep_or_too_long_are_refused),
        TEST(a_file_for_the_folder_itself_is_refused),
        TEST(stripped_names_are_judged_at_their_new_depth),
        TEST(a_stream_cut_in_a_file_is_an_error),
        TEST(rubbish_is_an_error),
        TEST(bytes_behind_the_end_are_bounded),
        TEST(modes_lose_set_user_id_and_keep_the_rest),
        TEST(a_tree_comes_back_as_it_was),
        TEST(a_tree_comes_back_in_gnu_format_too),
        TEST(a_broken_stream_ends_the_packing_with_its_own_error),
        TEST(packing_what_does_not_exist_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
