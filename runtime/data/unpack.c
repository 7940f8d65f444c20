#include "runtime/data/unpack.h"

#include <archive.h>
#include <archive_entry.h>

#define PIECE ((size_t)256 * 1024)

int vx_unpack(const void *data, size_t len, size_t max, struct vx_buf *out, struct vx_err *err)
{
    struct archive *archive = archive_read_new();
    struct archive_entry *entry = NULL;
    size_t start = out->len;
    la_ssize_t got = 0;
    int rc = 0;

    /* The "raw" format is one file of any content, behind whatever filters apply. */
    if (archive_read_support_filter_all(archive) < ARCHIVE_WARN ||
        archive_read_support_format_raw(archive) != ARCHIVE_OK ||
        archive_read_open_memory(archive, data, len) != ARCHIVE_OK ||
        archive_read_next_header(archive, &entry) != ARCHIVE_OK)
        got = -1;
    while (rc == 0 && got >= 0) {
        got = archive_read_data(archive, vx_buf_room(out, PIECE), PIECE);
        if (got <= 0)
            break;
        vx_buf_added(out, (size_t)got);
        if (out->len - start > max)
            rc = vx_err_set(err, VX_LIMIT, 0, "the decompressed data is larger than %zu bytes",
                            max);
    }
    if (got < 0)
        rc = vx_err_set(err, VX_FORMAT, archive_errno(archive), "cannot decompress: %s",
                        archive_error_string(archive) ? archive_error_string(archive)
                                                      : "the data is damaged");
    archive_read_free(archive);
    return rc;
}
