#include "runtime/data/inflate.h"

#include <stdbool.h>
#include <stdlib.h>

#include <archive.h>
#include <archive_entry.h>

#include "runtime/base/buf.h"

#define PIECE ((size_t)256 * 1024)

struct source {
    const struct vx_inflate *inflate;
    char *piece;
    struct vx_err err;
    bool failed;
};

static la_ssize_t read_cb(struct archive *archive, void *arg, const void **data)
{
    struct source *source = arg;
    ssize_t len =
        source->inflate->read(source->piece, PIECE, source->inflate->read_arg, &source->err);

    *data = source->piece;
    if (len < 0) {
        source->failed = true;
        archive_set_error(archive, 0, "%s", source->err.msg);
    }
    return len;
}

static int open_archive(struct archive *archive, struct source *source)
{
    struct archive_entry *entry = NULL;

    /* The "raw" format is one file of any content, behind whatever filters apply. */
    if (archive_read_support_filter_xz(archive) < ARCHIVE_WARN ||
        archive_read_support_filter_zstd(archive) < ARCHIVE_WARN ||
        archive_read_support_filter_gzip(archive) < ARCHIVE_WARN ||
        archive_read_support_filter_bzip2(archive) < ARCHIVE_WARN ||
        archive_read_support_format_raw(archive) != ARCHIVE_OK ||
        archive_read_open(archive, source, NULL, read_cb, NULL) != ARCHIVE_OK ||
        archive_read_next_header(archive, &entry) != ARCHIVE_OK)
        return -1;
    return 0;
}

static int pump(struct archive *archive, const struct vx_inflate *inflate, struct vx_err *err)
{
    const void *data = NULL;
    size_t len = 0;
    la_int64_t offset = 0;
    uint64_t total = 0;

    for (;;) {
        int rc = archive_read_data_block(archive, &data, &len, &offset);

        if (rc == ARCHIVE_EOF)
            return 0;
        if (rc < ARCHIVE_WARN)
            return -1;
        total += len;
        if (total > inflate->max)
            return vx_err_set(err, VX_LIMIT, 0,
                              "decompressed it is larger than %llu bytes, the limit",
                              (unsigned long long)inflate->max);
        if (len > 0 && inflate->write(data, len, inflate->write_arg, err) != 0)
            return -1;
    }
}

int vx_inflate_run(const struct vx_inflate *inflate, struct vx_err *err)
{
    struct archive *archive = archive_read_new();
    struct source source = { .inflate = inflate, .piece = vx_alloc(PIECE) };
    int rc = 0;

    err->kind = VX_OK;
    rc = open_archive(archive, &source);
    if (rc == 0 && archive_filter_count(archive) < 2)
        rc = vx_err_set(err, VX_FORMAT, 0, "it is not compressed by xz, zstd, gzip or bzip2");
    if (rc == 0)
        rc = pump(archive, inflate, err);
    if (source.failed)
        *err = source.err;
    else if (rc != 0 && err->kind == VX_OK)
        vx_err_set(err, VX_FORMAT, archive_errno(archive), "cannot decompress it: %s",
                   archive_error_string(archive) ? archive_error_string(archive)
                                                 : "the data is damaged");
    archive_read_free(archive);
    free(source.piece);
    return rc;
}
