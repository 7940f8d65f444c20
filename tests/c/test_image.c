/* The parts of a download: rings between threads, decompression, digests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/buf.h"
#include "runtime/data/digest.h"
#include "runtime/data/inflate.h"
#include "runtime/image/ring.h"

#define TOTAL ((size_t)3 * 1024 * 1024 + 17)

static char byte_at(size_t at)
{
    return (char)(at * 7 + at / 251);
}

static void *put_all(void *arg)
{
    struct vx_err err = { 0 };
    char piece[5000];

    for (size_t at = 0; at < TOTAL;) {
        size_t len = at % sizeof piece + 1;

        len = len < TOTAL - at ? len : TOTAL - at;
        for (size_t i = 0; i < len; i++)
            piece[i] = byte_at(at + i);
        if (vx_ring_put(arg, piece, len, &err) != 0)
            return "broken";
        at += len;
    }
    vx_ring_end(arg);
    return NULL;
}

static void a_ring_hands_over_every_byte_in_order(void **state)
{
    (void)state;
    static const size_t caps[] = { 1, 3, 4096, 65536 };

    for (size_t i = 0; i < sizeof caps / sizeof *caps; i++) {
        struct vx_ring *ring = vx_ring_new(caps[i]);
        struct vx_err err = { 0 };
        pthread_t thread;
        void *broken = NULL;
        char piece[3001];
        ssize_t len = 0;
        size_t at = 0;
        size_t limit = caps[i] < 16 ? 20000 : TOTAL; /* a byte at a time takes long */

        assert_int_equal(pthread_create(&thread, NULL, put_all, ring), 0);
        while (at < limit && (len = vx_ring_take(ring, piece, sizeof piece, &err)) > 0) {
            for (ssize_t k = 0; k < len; k++)
                if (piece[k] != byte_at(at + (size_t)k))
                    fail_msg("byte %zu is another one", at + (size_t)k);
            at += (size_t)len;
        }
        if (limit == TOTAL) {
            assert_int_equal(at, TOTAL);
        } else {
            vx_err_set(&err, VX_CLOSED, 0, "enough");
            vx_ring_break(ring, &err);
        }
        pthread_join(thread, &broken);
        assert_true((broken != NULL) == (limit != TOTAL));
        vx_ring_free(ring);
    }
}

static void *break_it(void *arg)
{
    struct vx_err err = { 0 };

    usleep(20000);
    vx_err_set(&err, VX_NOSPACE, 0, "the first reason");
    vx_ring_break(arg, &err);
    vx_err_set(&err, VX_CLOSED, 0, "another");
    vx_ring_break(arg, &err);
    return NULL;
}

static void a_break_wakes_whoever_waits_and_says_why(void **state)
{
    (void)state;
    for (int putting = 0; putting < 2; putting++) {
        struct vx_ring *ring = vx_ring_new(100);
        struct vx_err err = { 0 };
        pthread_t thread;
        char piece[200] = "";

        assert_int_equal(pthread_create(&thread, NULL, break_it, ring), 0);
        if (putting)
            assert_int_equal(vx_ring_put(ring, piece, sizeof piece, &err), -1);
        else
            assert_int_equal(vx_ring_take(ring, piece, sizeof piece, &err), -1);
        assert_int_equal(err.kind, VX_NOSPACE);
        assert_string_equal(err.msg, "the first reason");
        pthread_join(thread, NULL);
        vx_ring_free(ring);
    }
}

struct source {
    const char *data;
    size_t len;
    bool fails;
};

static ssize_t read_some(void *data, size_t len, void *arg, struct vx_err *err)
{
    struct source *source = arg;
    size_t piece = source->len < 10 ? source->len : 10;

    if (source->fails)
        return vx_err_set(err, VX_CONNECTION, 0, "the source is gone");
    piece = piece < len ? piece : len;
    memcpy(data, source->data, piece);
    source->data += piece;
    source->len -= piece;
    return (ssize_t)piece;
}

static int keep(const void *data, size_t len, void *arg, struct vx_err *err)
{
    (void)err;
    vx_buf_add(arg, data, len);
    return 0;
}

/* "hello\n" by gzip -9n. */
static const char hello[] =
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\xe7\x02"
    "\x00\x20\x30\x3a\x36\x06\x00\x00\x00";

static int inflate(struct source source, uint64_t max, struct vx_buf *out, struct vx_err *err)
{
    struct vx_inflate inflate = {
        .read = read_some, .read_arg = &source, .write = keep, .max = max
    };

    inflate.write_arg = out;
    return vx_inflate_run(&inflate, err);
}

static void a_stream_is_decompressed_up_to_its_limit(void **state)
{
    (void)state;
    struct source source = { .data = hello, .len = sizeof hello - 1 };
    struct vx_buf out = { 0 };
    struct vx_err err = { 0 };

    assert_int_equal(inflate(source, 6, &out, &err), 0);
    assert_string_equal(vx_buf_cstr(&out), "hello\n");
    assert_int_equal(inflate(source, 5, &out, &err), -1);
    assert_int_equal(err.kind, VX_LIMIT);
    vx_buf_free(&out);
}

static void what_is_cut_off_or_not_compressed_is_an_error(void **state)
{
    (void)state;
    struct vx_buf out = { 0 };
    struct vx_err err = { 0 };
    struct source cut = { .data = hello, .len = sizeof hello - 12 };
    struct source plain = { .data = "hello, hello, hello", .len = 19 };
    struct source gone = { .data = hello, .len = sizeof hello - 1, .fails = true };

    assert_int_equal(inflate(cut, 100, &out, &err), -1);
    assert_int_equal(err.kind, VX_FORMAT);
    assert_int_equal(inflate(plain, 100, &out, &err), -1);
    assert_int_equal(err.kind, VX_FORMAT);
    assert_int_equal(inflate(gone, 100, &out, &err), -1);
    assert_int_equal(err.kind, VX_CONNECTION);
    assert_string_equal(err.msg, "the source is gone");
    vx_buf_free(&out);
}

static void digests_are_those_of_the_standard(void **state)
{
    (void)state;
    struct vx_err err = { 0 };
    char hex[VX_DIGEST_HEX] = "";
    struct vx_digest *digest = vx_digest_new("sha512", &err);

    vx_digest_add(digest, "a", 1);
    vx_digest_add(digest, "bc", 2);
    assert_int_equal(vx_digest_end(digest, hex, &err), 0);
    vx_digest_free(digest);
    assert_string_equal(hex,
                        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
    assert_null(vx_digest_new("md5", &err));
    assert_int_equal(err.kind, VX_USAGE);
    assert_int_equal(vx_digest_file("/nonexistent/file", "sha512", hex, &err), -1);
    assert_int_equal(err.kind, VX_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ring_hands_over_every_byte_in_order),
        cmocka_unit_test(a_break_wakes_whoever_waits_and_says_why),
        cmocka_unit_test(a_stream_is_decompressed_up_to_its_limit),
        cmocka_unit_test(what_is_cut_off_or_not_compressed_is_an_error),
        cmocka_unit_test(digests_are_those_of_the_standard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
