#include "runtime/data/iso.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "runtime/base/file.h"

static int failed(struct vx_err *err, struct archive *archive, const char *out)
{
    const char *why = archive_error_string(archive);

    return vx_err_set(err, VX_SYSTEM, archive_errno(archive), "cannot write %s: %s", out,
                      why != NULL ? why : "libarchive cannot make an ISO image");
}

static int add_file(struct archive *archive, const struct vx_iso_file *file, const char *out,
                    struct vx_err *err)
{
    struct archive_entry *head = archive_entry_new();
    int rc = 0;

    archive_entry_set_pathname(head, file->name);
    archive_entry_set_mode(head, S_IFREG | 0444);
    archive_entry_set_mtime(head, 0, 0);
    archive_entry_set_size(head, (la_int64_t)file->len);
    if (archive_write_header(archive, head) != ARCHIVE_OK ||
        (file->len > 0 &&
         archive_write_data(archive, file->data, file->len) != (la_ssize_t)file->len))
        rc = failed(err, archive, out);
    archive_entry_free(head);
    return rc;
}

static int write_all(int fd, const char *out, const char *volume,
                     const struct vx_iso_file *files, size_t count, struct vx_err *err)
{
    struct archive *archive = archive_write_new();
    int rc = 0;

    if (archive_write_set_format_iso9660(archive) != ARCHIVE_OK ||
        archive_write_set_format_option(archive, "iso9660", "volume-id", volume) !=
            ARCHIVE_OK ||
        archive_write_add_filter_none(archive) != ARCHIVE_OK ||
        archive_write_open_fd(archive, fd) != ARCHIVE_OK)
        rc = failed(err, archive, out);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = add_file(archive, &files[i], out, err);
    if (rc == 0 && archive_write_close(archive) != ARCHIVE_OK)
        rc = failed(err, archive, out);
    archive_write_free(archive);
    return rc;
}

int vx_iso_write(const char *out, const char *volume, const struct vx_iso_file *files,
                 size_t count, struct vx_err *err)
{
    char *temp = NULL;
    int fd = vx_file_temp(out, 0600, &temp, err);
    int rc = 0;

    if (fd < 0)
        return -1;
    rc = write_all(fd, out, volume, files, count, err);
    if (rc == 0) {
        rc = vx_file_commit(fd, temp, out, false, err);
    } else {
        close(fd);
        unlink(temp);
    }
    free(temp);
    return rc;
}
