#include "runtime/data/cpio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "runtime/base/buf.h"
#include "runtime/base/file.h"

#define PIECE (256 * 1024)

static int failed(struct vx_err *err, struct archive *archive, const char *out)
{
    return vx_err_set(err, archive_errno(archive) == ENOSPC ? VX_NOSPACE : VX_SYSTEM,
                      archive_errno(archive), "cannot write %s: %s", out,
                      archive_error_string(archive) ? archive_error_string(archive)
                                                    : "no reason");
}

static int add_filter(struct archive *archive, const char *compress, struct vx_err *err)
{
    int rc = ARCHIVE_FATAL;

    if (strcmp(compress, "none") == 0)
        rc = archive_write_add_filter_none(archive);
    else if (strcmp(compress, "xz") == 0)
        rc = archive_write_add_filter_xz(archive);
    else if (strcmp(compress, "zstd") == 0)
        rc = archive_write_add_filter_zstd(archive);
    else if (strcmp(compress, "gzip") == 0)
        rc = archive_write_add_filter_gzip(archive);
    /* The moment of writing must not be in the bytes; nor may xz use a check the kernel lacks.
     */
    if (rc == ARCHIVE_OK && strcmp(compress, "gzip") == 0)
        rc = archive_write_set_options(archive, "gzip:!timestamp");
    if (rc != ARCHIVE_OK)
        return vx_err_set(err, VX_UNSUPPORTED, 0, "this libarchive cannot compress with %s",
                          compress);
    return 0;
}

static int copy_file(struct archive *archive, const struct vx_cpio_entry *entry, int fd,
                     const char *out, struct vx_err *err)
{
    char *piece = vx_alloc(PIECE);
    ssize_t len = 0;
    int rc = 0;

    while (rc == 0 && (len = read(fd, piece, PIECE)) != 0) {
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            rc = vx_err_errno(err, errno, "cannot read %s", entry->file);
        else if (archive_write_data(archive, piece, (size_t)len) != len)
            rc = failed(err, archive, out);
    }
    free(piece);
    return rc;
}

static int add_entry(struct archive *archive, const struct vx_cpio_entry *entry,
                     const char *out, struct vx_err *err)
{
    struct archive_entry *head = archive_entry_new();
    size_t len = entry->len;
    struct stat st;
    int fd = -1;
    int rc = 0;

    if (entry->file != NULL) {
        fd = open(entry->file, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) != 0) {
            rc = vx_err_errno(err, errno, "cannot read %s", entry->file);
            goto out;
        }
        len = (size_t)st.st_size;
    }
    archive_entry_set_pathname(head, entry->path);
    archive_entry_set_mode(head, (mode_t)entry->mode);
    archive_entry_set_mtime(head, 0, 0);
    archive_entry_set_nlink(head, 1);
    archive_entry_set_uid(head, entry->owner);
    archive_entry_set_gid(head, entry->owner);
    archive_entry_set_rdevmajor(head, entry->major);
    archive_entry_set_rdevminor(head, entry->minor);
    if (entry->link != NULL)
        archive_entry_set_symlink(head, entry->link);
    archive_entry_set_size(head, S_ISREG(entry->mode) ? (la_int64_t)len : 0);
    if (archive_write_header(archive, head) != ARCHIVE_OK)
        rc = failed(err, archive, out);
    else if (fd >= 0)
        rc = copy_file(archive, entry, fd, out, err);
    else if (S_ISREG(entry->mode) && len > 0 &&
             archive_write_data(archive, entry->data, len) != (la_ssize_t)len)
        rc = failed(err, archive, out);
out:
    if (fd >= 0)
        close(fd);
    archive_entry_free(head);
    return rc;
}

static int write_all(int fd, const char *out, const struct vx_cpio_entry *entries, size_t count,
                     const char *compress, struct vx_err *err)
{
    struct archive *archive = archive_write_new();
    int rc = add_filter(archive, compress, err);

    if (rc == 0 && (archive_write_set_format_cpio_newc(archive) != ARCHIVE_OK ||
                    archive_write_set_bytes_in_last_block(archive, 1) != ARCHIVE_OK ||
                    archive_write_open_fd(archive, fd) != ARCHIVE_OK))
        rc = failed(err, archive, out);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = add_entry(archive, &entries[i], out, err);
    if (rc == 0 && archive_write_close(archive) != ARCHIVE_OK)
        rc = failed(err, archive, out);
    archive_write_free(archive);
    return rc;
}

/* Copies the file to fd, and zeros up to a multiple of four. */
static int copy_first(int fd, const char *path, const char *out, struct vx_err *err)
{
    static const char zeros[4];
    int from = open(path, O_RDONLY | O_CLOEXEC);
    char *piece = NULL;
    ssize_t len = 0;
    size_t total = 0;
    int rc = 0;

    if (from < 0)
        return vx_err_errno(err, errno, "cannot open %s", path);
    piece = vx_alloc(PIECE);
    while (rc == 0 && (len = read(from, piece, PIECE)) != 0) {
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            rc = vx_err_errno(err, errno, "cannot read %s", path);
        else if (vx_file_write(fd, piece, (size_t)len) != 0)
            rc = vx_err_errno(err, errno, "cannot write %s", out);
        else
            total += (size_t)len;
    }
    if (rc == 0 && vx_file_write(fd, zeros, -total & 3) != 0)
        rc = vx_err_errno(err, errno, "cannot write %s", out);
    free(piece);
    close(from);
    return rc;
}

int vx_cpio_write(const char *out, const struct vx_cpio_entry *entries, size_t count,
                  const struct vx_cpio_opts *opts, struct vx_err *err)
{
    const char *compress = opts->compress != NULL ? opts->compress : "none";
    mode_t mode = opts->mode != 0 ? (mode_t)opts->mode : 0644;
    char *temp = NULL;
    int fd = vx_file_temp(out, mode, &temp, err);
    int rc = 0;

    if (fd < 0)
        return -1;
    if (opts->after != NULL)
        rc = copy_first(fd, opts->after, out, err);
    if (rc == 0)
        rc = write_all(fd, out, entries, count, compress, err);
    if (rc == 0) {
        rc = vx_file_commit(fd, temp, out, !opts->scratch, err);
    } else {
        close(fd);
        unlink(temp);
    }
    free(temp);
    return rc;
}
