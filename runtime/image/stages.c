#include "runtime/image/stages.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/buf.h"
#include "runtime/base/file.h"
#include "runtime/data/inflate.h"
#include "runtime/image/ring.h"

#define RING  ((size_t)8 * 1024 * 1024)
#define PIECE ((size_t)256 * 1024)
#define HOLE  ((size_t)64 * 1024) /* this many zeros are not written */

struct vx_stages {
    struct vx_fetch *fetch;
    struct vx_digest *download, *content; /* content: only when it is decompressed */
    struct vx_ring *packed, *plain;       /* plain: the same */
    pthread_t inflater, sink;
    bool inflating, sinking;
    struct vx_err inflate_err, sink_err;
    int inflate_rc, sink_rc;
};

static ssize_t take_packed(void *data, size_t len, void *arg, struct vx_err *err)
{
    return vx_ring_take(((struct vx_stages *)arg)->packed, data, len, err);
}

static int put_plain(const void *data, size_t len, void *arg, struct vx_err *err)
{
    return vx_ring_put(((struct vx_stages *)arg)->plain, data, len, err);
}

static void *inflate_thread(void *arg)
{
    struct vx_stages *stages = arg;
    struct vx_inflate inflate = {
        .read = take_packed,
        .read_arg = stages,
        .write = put_plain,
        .write_arg = stages,
        .max = stages->fetch->max_unpacked,
    };

    stages->inflate_rc = vx_inflate_run(&inflate, &stages->inflate_err);
    if (stages->inflate_rc == 0) {
        char rest[4096];
        ssize_t len = 0;

        /* Whatever is behind the stream belongs to the download and to its digest. */
        while ((len = vx_ring_take(stages->packed, rest, sizeof rest, &stages->inflate_err)) >
               0)
            continue;
        stages->inflate_rc = len < 0 ? -1 : 0;
    }
    if (stages->inflate_rc == 0) {
        vx_ring_end(stages->plain);
    } else {
        vx_ring_break(stages->packed, &stages->inflate_err);
        vx_ring_break(stages->plain, &stages->inflate_err);
    }
    return NULL;
}

/* Fills buf as far as it can, so that pieces are whole. */
static ssize_t take_full(struct vx_ring *ring, char *buf, size_t size, struct vx_err *err)
{
    size_t have = 0;

    while (have < size) {
        ssize_t len = vx_ring_take(ring, buf + have, size - have, err);

        if (len < 0)
            return -1;
        if (len == 0)
            break;
        have += (size_t)len;
    }
    return (ssize_t)have;
}

static int sink_file(struct vx_stages *stages, char *piece)
{
    const char *path = stages->fetch->into;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    off_t at = 0, begun = 0;
    ssize_t len = 0;
    int rc = 0;

    if (fd < 0)
        return vx_err_errno(&stages->sink_err, errno, "cannot make %s", path);
    while (rc == 0 && (len = take_full(stages->plain, piece, PIECE, &stages->sink_err)) > 0) {
        vx_digest_add(stages->content, piece, (size_t)len);
        if (vx_file_write_holes(fd, piece, (size_t)len, at, HOLE) != 0)
            rc = vx_err_errno(&stages->sink_err, errno, "cannot write %s", path);
        at += len;
        stages->fetch->written = (uint64_t)at;
        vx_file_write_behind(fd, &begun, at);
    }
    if (len < 0)
        rc = -1;
    if (rc == 0 && ftruncate(fd, at) != 0)
        rc = vx_err_errno(&stages->sink_err, errno, "cannot write %s", path);
    if (close(fd) != 0 && rc == 0)
        rc = vx_err_errno(&stages->sink_err, errno, "cannot write %s", path);
    return rc;
}

static int sink_digest(struct vx_stages *stages, char *piece)
{
    ssize_t len = 0;

    while ((len = vx_ring_take(stages->packed, piece, PIECE, &stages->sink_err)) > 0)
        vx_digest_add(stages->download, piece, (size_t)len);
    return len < 0 ? -1 : 0;
}

static void *sink_thread(void *arg)
{
    struct vx_stages *stages = arg;
    char *piece = vx_alloc(PIECE);

    if (stages->plain != NULL)
        stages->sink_rc = sink_file(stages, piece);
    else
        stages->sink_rc = sink_digest(stages, piece);
    if (stages->sink_rc != 0)
        vx_ring_break(stages->plain != NULL ? stages->plain : stages->packed,
                      &stages->sink_err);
    free(piece);
    return NULL;
}

static int start_threads(struct vx_stages *stages, struct vx_err *err)
{
    int code = pthread_create(&stages->sink, NULL, sink_thread, stages);

    stages->sinking = code == 0;
    if (code == 0 && stages->plain != NULL) {
        code = pthread_create(&stages->inflater, NULL, inflate_thread, stages);
        stages->inflating = code == 0;
    }
    return code == 0 ? 0 : vx_err_errno(err, code, "cannot start a thread");
}

struct vx_stages *vx_stages_start(struct vx_fetch *fetch, struct vx_err *err)
{
    struct vx_stages *stages = vx_zalloc(sizeof *stages);

    stages->fetch = fetch;
    stages->packed = vx_ring_new(RING);
    stages->download = vx_digest_new(fetch->algorithm, err);
    if (fetch->into != NULL) {
        stages->plain = vx_ring_new(RING);
        stages->content = vx_digest_new("sha256", err);
    }
    if (stages->download == NULL || start_threads(stages, err) != 0) {
        struct vx_err ignored;

        vx_stages_end(stages, err, &ignored);
        return NULL;
    }
    return stages;
}

int vx_stages_put(struct vx_stages *stages, const void *data, size_t len, struct vx_err *err)
{
    if (stages->plain != NULL) /* nobody else has this digest then */
        vx_digest_add(stages->download, data, len);
    return vx_ring_put(stages->packed, data, len, err);
}

int vx_stages_end(struct vx_stages *stages, const struct vx_err *why, struct vx_err *err)
{
    int rc = 0;

    if (why == NULL) {
        vx_ring_end(stages->packed);
    } else {
        vx_ring_break(stages->packed, why);
        if (stages->plain != NULL)
            vx_ring_break(stages->plain, why);
    }
    if (stages->inflating)
        pthread_join(stages->inflater, NULL);
    if (stages->sinking)
        pthread_join(stages->sink, NULL);
    if (stages->inflate_rc != 0 || stages->sink_rc != 0) {
        *err = stages->inflate_rc != 0 ? stages->inflate_err : stages->sink_err;
        rc = -1;
    }
    if (rc == 0 && why == NULL)
        rc = vx_digest_end(stages->download, stages->fetch->digest, err);
    if (rc == 0 && why == NULL && stages->content != NULL)
        rc = vx_digest_end(stages->content, stages->fetch->content_digest, err);
    vx_digest_free(stages->download);
    vx_digest_free(stages->content);
    vx_ring_free(stages->packed);
    vx_ring_free(stages->plain);
    free(stages);
    return rc;
}
