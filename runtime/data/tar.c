#include "runtime/data/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "runtime/data/tree.h"

enum { CHUNK = 256 * 1024, BLOCK = 64 * 1024, SPARSE_PIECES = 4096, SKIPPED_SHOWN = 16 * 1024 };

/* Simple readers set a folder's mode and time when they meet it, and filling it undoes that: in the
 * gnu format each comes open first, and again as it is at the end. */
struct folder {
    char *name;
    struct stat st;
};

struct packing {
    const struct vx_tar_pack *opts;
    const struct vx_tar_source *source;
    struct vx_tar_count *count;
    struct archive *archive;
    struct archive_entry *entry;
    char *chunk;
    struct vx_buf name;
    struct vx_err stream; /* why the write callback failed */
    bool broken;
    struct folder *folders;
    size_t folder_count, folder_cap;
};

void vx_tar_skip(struct vx_tar_count *count, const char *name)
{
    count->skipped++;
    if (count->skipped_names.len > SKIPPED_SHOWN)
        return;
    vx_tree_name(&count->skipped_names, name);
    vx_buf_str(&count->skipped_names, "\n");
}

static la_ssize_t give(struct archive *archive, void *arg, const void *data, size_t len)
{
    struct packing *p = arg;

    /* Freeing the archive flushes it: what follows a failure goes nowhere. */
    if (!p->broken && p->opts->write(data, len, p->opts->arg, &p->stream) != 0)
        p->broken = true;
    if (p->broken) {
        archive_set_error(archive, EPIPE, "the stream was broken");
        return -1;
    }
    return (la_ssize_t)len;
}

static int fail_archive(struct packing *p, struct vx_err *err, const char *name)
{
    struct vx_buf shown = { 0 };

    if (p->broken) {
        if (err != NULL)
            *err = p->stream;
        return -1;
    }
    vx_tree_name(&shown, name);
    vx_err_set(err, VX_FORMAT, archive_errno(p->archive), "cannot pack %s: %s",
               vx_buf_cstr(&shown), archive_error_string(p->archive));
    vx_buf_free(&shown);
    return -1;
}

static int fail_file(struct packing *p, struct vx_err *err, int code, const char *what)
{
    struct vx_buf shown = { 0 };

    vx_tree_name(&shown, p->source->path);
    vx_buf_str(&shown, ": ");
    vx_tree_name(&shown, vx_buf_cstr(&p->name));
    if (code != 0)
        vx_err_errno(err, code, "%s: cannot %s", vx_buf_cstr(&shown), what);
    else
        vx_err_set(err, VX_SYSTEM, 0, "%s: %s", vx_buf_cstr(&shown), what);
    vx_buf_free(&shown);
    return -1;
}

/* The parts of a sparse file that hold data, so that the holes need not travel. */
static void add_pieces(struct archive_entry *entry, int fd, const struct stat *st)
{
#ifdef SEEK_HOLE
    off_t at = 0, end = 0;
    int pieces = 0;

    if (st->st_blocks * 512 >= st->st_size)
        return;
    while (at < st->st_size && pieces < SPARSE_PIECES) {
        off_t data = lseek(fd, at, SEEK_DATA);
        if (data < 0)
            break;
        end = lseek(fd, data, SEEK_HOLE);
        if (end < 0 || end > st->st_size)
            end = st->st_size;
        archive_entry_sparse_add_entry(entry, data, end - data);
        at = end;
        pieces++;
    }
    if (pieces == SPARSE_PIECES) /* too many to list: the rest as one */
        archive_entry_sparse_add_entry(entry, at, st->st_size - at);
    else if (pieces == 0) /* no data at all; the format wants a piece */
        archive_entry_sparse_add_entry(entry, 0, st->st_size < 4096 ? st->st_size : 4096);
    lseek(fd, 0, SEEK_SET);
#else
    (void)entry, (void)fd, (void)st;
#endif
}

static int send_content(struct packing *p, int fd, int64_t size, struct vx_err *err)
{
    while (size > 0) {
        ssize_t len = read(fd, p->chunk, size < CHUNK ? (size_t)size : CHUNK);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            return fail_file(p, err, errno, "read it");
        if (len == 0)
            return fail_file(p, err, 0, "the file became shorter while it was being copied");
        if (archive_write_data(p->archive, p->chunk, (size_t)len) < 0)
            return fail_archive(p, err, vx_buf_cstr(&p->name));
        size -= len;
        p->count->bytes += (uint64_t)len;
    }
    return 0;
}

static int send_header(struct packing *p, const struct stat *st, struct vx_err *err)
{
    archive_entry_set_pathname(p->entry, vx_buf_cstr(&p->name));
    archive_entry_set_perm(p->entry, st->st_mode & 07777);
    archive_entry_set_mtime(p->entry, st->st_mtime, 0);
    archive_entry_set_uid(p->entry, 0);
    archive_entry_set_gid(p->entry, 0);
    archive_entry_set_uname(p->entry, "root");
    archive_entry_set_gname(p->entry, "root");
    if (archive_write_header(p->archive, p->entry) < ARCHIVE_OK)
        return fail_archive(p, err, vx_buf_cstr(&p->name));
    return 0;
}

static int pack_file(struct packing *p, const struct vx_tree_item *item, struct vx_err *err)
{
    int nofollow = item->path[0] == '\0' && p->source->follow ? 0 : O_NOFOLLOW;
    int fd = openat(item->dir, item->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | nofollow);
    struct stat st;
    int rc = 0;

    if (fd < 0)
        return fail_file(p, err, errno, "open it");
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return fail_file(p, err, 0, "it was replaced while it was being copied");
    }
    archive_entry_set_filetype(p->entry, AE_IFREG);
    archive_entry_set_size(p->entry, st.st_size);
    if (!p->opts->gnu)
        add_pieces(p->entry, fd, &st);
    rc = send_header(p, &st, err);
    if (rc == 0)
        rc = send_content(p, fd, st.st_size, err);
    close(fd);
    p->count->files++;
    return rc;
}

static int pack_link(struct packing *p, const struct vx_tree_item *item, struct vx_err *err)
{
    char target[PATH_MAX + 1];
    ssize_t len = readlinkat(item->dir, item->name, target, sizeof target - 1);

    if (len < 0)
        return fail_file(p, err, errno, "read the link");
    target[len] = '\0';
    archive_entry_set_filetype(p->entry, AE_IFLNK);
    archive_entry_set_size(p->entry, 0);
    archive_entry_set_symlink(p->entry, target);
    p->count->links++;
    return send_header(p, &item->st, err);
}

static int send_folder(struct packing *p, const struct stat *st, struct vx_err *err)
{
    archive_entry_set_filetype(p->entry, AE_IFDIR);
    archive_entry_set_size(p->entry, 0);
    return send_header(p, st, err);
}

static int pack_folder(struct packing *p, const struct stat *st, struct vx_err *err)
{
    struct stat open = *st;

    if (!p->opts->gnu)
        return send_folder(p, st, err);
    if (p->folder_count == p->folder_cap) {
        p->folder_cap = p->folder_cap > 0 ? p->folder_cap * 2 : 64;
        p->folders = vx_realloc(p->folders, p->folder_cap * sizeof *p->folders);
    }
    p->folders[p->folder_count++] =
        (struct folder){ .name = vx_strdup(vx_buf_cstr(&p->name)), .st = *st };
    open.st_mode |= 0700;
    return send_folder(p, &open, err);
}

static int repeat_folders(struct packing *p, struct vx_err *err)
{
    for (size_t i = p->folder_count; i-- > 0;) {
        p->name.len = 0;
        vx_buf_str(&p->name, p->folders[i].name);
        archive_entry_clear(p->entry);
        if (send_folder(p, &p->folders[i].st, err) != 0)
            return -1;
    }
    return 0;
}

static int pack_item(const struct vx_tree_item *item, void *arg, struct vx_err *err)
{
    struct packing *p = arg;

    p->name.len = 0;
    vx_buf_str(&p->name, p->source->name);
    if (item->path[0] != '\0') {
        vx_buf_str(&p->name, "/");
        vx_buf_str(&p->name, item->path);
    }
    archive_entry_clear(p->entry);
    if (S_ISREG(item->st.st_mode))
        return pack_file(p, item, err);
    if (S_ISLNK(item->st.st_mode))
        return pack_link(p, item, err);
    if (!S_ISDIR(item->st.st_mode)) {
        vx_tar_skip(p->count, item->path[0] != '\0' ? item->path : p->source->path);
        return 0;
    }
    p->count->folders++;
    return pack_folder(p, &item->st, err);
}

static int pack_last(struct packing *p, struct vx_err *err)
{
    struct stat st = { .st_mode = 0600, .st_mtime = time(NULL) };

    if (p->opts->last_name == NULL)
        return 0;
    p->name.len = 0;
    vx_buf_str(&p->name, p->opts->last_name);
    archive_entry_clear(p->entry);
    archive_entry_set_filetype(p->entry, AE_IFREG);
    archive_entry_set_size(p->entry, (int64_t)p->opts->last_len);
    if (send_header(p, &st, err) != 0)
        return -1;
    if (p->opts->last_len > 0 &&
        archive_write_data(p->archive, p->opts->last_data, p->opts->last_len) < 0)
        return fail_archive(p, err, p->opts->last_name);
    return 0;
}

static int open_archive(struct packing *p, struct vx_err *err)
{
    int rc = p->opts->gnu ? archive_write_set_format_gnutar(p->archive)
                          : archive_write_set_format_pax_restricted(p->archive);

    /* Names are bytes; no locale has a say in them. */
    if (rc == ARCHIVE_OK && !p->opts->gnu)
        rc = archive_write_set_options(p->archive, "hdrcharset=BINARY");
    if (rc == ARCHIVE_OK)
        rc = archive_write_set_bytes_per_block(p->archive, BLOCK);
    if (rc == ARCHIVE_OK)
        rc = archive_write_set_bytes_in_last_block(p->archive, 1);
    if (rc == ARCHIVE_OK)
        rc = archive_write_open(p->archive, p, NULL, give, NULL);
    return rc == ARCHIVE_OK ? 0 : fail_archive(p, err, "the archive");
}

int vx_tar_pack(const struct vx_tar_pack *opts, struct vx_tar_count *count, struct vx_err *err)
{
    struct packing p = { .opts = opts, .count = count };
    int rc = 0;

    p.archive = archive_write_new();
    p.entry = archive_entry_new();
    p.chunk = vx_alloc(CHUNK);
    rc = open_archive(&p, err);
    for (size_t i = 0; rc == 0 && i < opts->count; i++) {
        p.source = &opts->sources[i];
        rc = vx_tree_walk(p.source->path, p.source->follow, opts->exclude, pack_item, &p, err);
    }
    if (rc == 0)
        rc = repeat_folders(&p, err);
    if (rc == 0)
        rc = pack_last(&p, err);
    if (rc == 0 && archive_write_close(p.archive) != ARCHIVE_OK)
        rc = fail_archive(&p, err, "the archive");
    p.broken = true; /* nothing more is written by the freeing */
    archive_entry_free(p.entry);
    archive_write_free(p.archive);
    for (size_t i = 0; i < p.folder_count; i++)
        free(p.folders[i].name);
    free(p.folders);
    free(p.chunk);
    vx_buf_free(&p.name);
    return rc;
}
