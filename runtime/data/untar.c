/* The half of tar.h that reads. libarchive only parses; every name is walked and every node made
 * here, below one open folder, never through a link. */
#include "runtime/data/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/data/match.h"
#include "runtime/data/tree.h"
#include "runtime/data/untar.h"

enum { CHUNK = 256 * 1024, PIECE = 64 * 1024, MAX_PARTS = 512, TRAILER = 1024 * 1024 };

static la_ssize_t take(struct archive *archive, void *arg, const void **data)
{
    struct unpacking *u = arg;
    ssize_t len = u->broken ? -1 : u->opts->read(u->chunk, CHUNK, u->opts->arg, &u->stream);

    if (len > 0 && (u->raw += (uint64_t)len) > u->raw_max) {
        vx_err_set(&u->stream, VX_LIMIT, 0, "the archive is longer than its bounds allow");
        len = -1;
    }
    if (len < 0) {
        u->broken = true;
        archive_set_error(archive, EPIPE, "the stream was broken");
    }
    *data = u->chunk;
    return len;
}

static int fail_archive(struct unpacking *u)
{
    const char *why = archive_error_string(u->archive);

    if (u->broken) {
        if (u->err != NULL)
            *u->err = u->stream;
        return -1;
    }
    return vx_untar_refuse(u, VX_FORMAT, 0, why != NULL ? why : "not a tar archive");
}

/* Fills path from the entry's name. 1: go on, 0: nothing is left of it, -1: refused. */
static int take_name(struct unpacking *u, const char *name, struct vx_buf *path, size_t *parts)
{
    size_t strip = u->opts->strip;

    path->len = 0;
    vx_buf_add(path, "", 0);
    *parts = 0;
    if (*name == '\0')
        return vx_untar_refuse(u, VX_UNSAFE, 0, "an empty name");
    if (*name == '/')
        return vx_untar_refuse(u, VX_UNSAFE, 0, "an absolute name");
    if (strlen(name) >= PATH_MAX)
        return vx_untar_refuse(u, VX_LIMIT, 0, "a name that is too long");
    while (*name != '\0') {
        size_t len = strcspn(name, "/");
        if (len == 2 && name[0] == '.' && name[1] == '.')
            return vx_untar_refuse(u, VX_UNSAFE, 0, "a name with '..'");
        if (len > 0 && !(len == 1 && name[0] == '.')) {
            if (strip > 0) {
                strip--;
            } else {
                if (++*parts > MAX_PARTS)
                    return vx_untar_refuse(u, VX_LIMIT, 0, "a name with too many parts");
                if (path->len > 0)
                    vx_buf_str(path, "/");
                vx_buf_add(path, name, len);
            }
        }
        name += len;
        name += strspn(name, "/");
    }
    return path->len > 0;
}

static int fail_make(struct unpacking *u, int code, const char *what)
{
    if (code == EEXIST)
        return vx_untar_refuse(u, VX_UNSAFE, 0, "the name comes twice");
    return vx_untar_refuse(u, VX_SYSTEM, code, what);
}

static int copy_content(struct unpacking *u, int fd, int64_t size)
{
    const void *data = NULL;
    size_t len = 0;
    la_int64_t at = 0;
    int rc = 0;

    while ((rc = archive_read_data_block(u->archive, &data, &len, &at)) == ARCHIVE_OK) {
        if (at < 0 || at > size || (int64_t)len > size - at)
            return vx_untar_refuse(u, VX_FORMAT, 0,
                                   "its content is longer than its header says");
        if (vx_file_write_holes(fd, data, len, at, PIECE) != 0)
            return vx_untar_refuse(u, VX_SYSTEM, errno, "cannot write it");
        u->count->bytes += len;
    }
    if (rc != ARCHIVE_EOF)
        return fail_archive(u);
    if (ftruncate(fd, size) != 0)
        return vx_untar_refuse(u, VX_SYSTEM, errno, "cannot write it");
    return 0;
}

static int check_size(struct unpacking *u, struct archive_entry *entry, int64_t size)
{
    struct statvfs vfs;

    if (size < 0)
        return vx_untar_refuse(u, VX_FORMAT, 0, "a negative size");
    if ((uint64_t)size > u->opts->max_bytes - u->promised)
        return vx_untar_refuse(u, VX_LIMIT, 0,
                               "with it the copy is larger than max_bytes allows");
    u->promised += (uint64_t)size;
    if (size > CHUNK && archive_entry_sparse_count(entry) == 0 &&
        fstatvfs(u->root, &vfs) == 0 && (uint64_t)size / vfs.f_frsize > vfs.f_bavail)
        return vx_untar_refuse(u, VX_NOSPACE, 0, "it is larger than what is free on this disk");
    return 0;
}

static int make_file(struct unpacking *u, struct archive_entry *entry, const char *name)
{
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
                                 { .tv_sec = archive_entry_mtime(entry) } };
    int64_t size = archive_entry_size(entry);
    int fd = -1, rc = 0;

    if (check_size(u, entry, size) != 0)
        return -1;
    fd = openat(u->parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_make(u, errno, "cannot make it");
    rc = copy_content(u, fd, size);
    if (rc == 0 &&
        (futimens(fd, times) != 0 || fchmod(fd, archive_entry_perm(entry) & 0777) != 0))
        rc = vx_untar_refuse(u, VX_SYSTEM, errno, "cannot set its mode and time");
    /* Some file systems report a full disk only now. */
    if (close(fd) != 0 && rc == 0)
        rc = vx_untar_refuse(u, VX_SYSTEM, errno, "cannot write it");
    u->count->files++;
    return rc;
}

/* 0: left out, -1: refused. */
static int unsafe(struct unpacking *u, const char *why)
{
    if (!u->opts->skip_unsafe)
        return vx_untar_refuse(u, VX_UNSAFE, 0, why);
    vx_tar_skip(u->count, u->shown);
    return 0;
}

static int make_link(struct unpacking *u, struct archive_entry *entry, const char *name)
{
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
                                 { .tv_sec = archive_entry_mtime(entry) } };
    const char *target = archive_entry_symlink(entry);
    int rc = 0;

    if (target == NULL)
        return vx_untar_refuse(u, VX_FORMAT, 0, "a link without a target");
    if (!vx_tree_link_stays(target, u->parts - 1)) {
        struct vx_buf why = { 0 };
        vx_buf_str(&why, "a symbolic link that leads outside, to ");
        vx_tree_name(&why, target);
        rc = unsafe(u, vx_buf_cstr(&why));
        vx_buf_free(&why);
        return rc;
    }
    if (symlinkat(target, u->parent, name) != 0)
        return fail_make(u, errno, "cannot make the link");
    utimensat(u->parent, name, times, AT_SYMLINK_NOFOLLOW); /* not every file system can */
    u->count->links++;
    return 0;
}

/* A further name of a file that came before. */
static int make_hardlink(struct unpacking *u, const char *target, const char *name)
{
    struct vx_buf path = { 0 };
    struct stat st;
    const char *slash = NULL, *last = NULL;
    size_t parts = 0;
    int fd = -1, rc = take_name(u, target, &path, &parts);

    if (rc == 0)
        rc = vx_untar_refuse(u, VX_UNSAFE, 0, "a hard link to a folder");
    if (rc > 0) {
        slash = strrchr(path.data, '/');
        last = slash != NULL ? slash + 1 : path.data;
        fd = vx_untar_open_folder(u, path.data, slash != NULL ? (size_t)(slash - path.data) : 0,
                                  false);
        rc = fd < 0 ? -1 : 0;
    }
    /* A symbolic link that is safe where it is may lead outside from elsewhere: only files. */
    if (rc == 0 && (fstatat(fd, last, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)))
        rc = vx_untar_refuse(u, VX_UNSAFE, 0,
                             "a hard link to something that is not a file of the archive");
    else if (rc == 0 && linkat(fd, last, u->parent, name, 0) != 0)
        rc = fail_make(u, errno, "cannot make the hard link");
    if (rc == 0)
        u->count->files++;
    if (fd >= 0)
        close(fd);
    vx_buf_free(&path);
    return rc;
}

/* An excluded folder excludes what is in it. */
static bool excluded(const struct unpacking *u)
{
    char *path = u->path.data;

    for (char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        bool hit = false;
        *slash = '\0';
        hit = vx_match_any(u->opts->exclude, path);
        *slash = '/';
        if (hit)
            return true;
    }
    return vx_match_any(u->opts->exclude, path);
}

static int make_entry(struct unpacking *u, struct archive_entry *entry)
{
    const char *hardlink = archive_entry_hardlink(entry);
    const char *name = NULL;
    int rc = 0;

    u->shown = archive_entry_pathname(entry);
    if (u->shown == NULL)
        return vx_untar_refuse(u, VX_FORMAT, 0, "an entry without a name");
    if (++u->entries > u->opts->max_entries)
        return vx_untar_refuse(u, VX_LIMIT, 0, "more entries than allowed");
    rc = take_name(u, u->shown, &u->path, &u->parts);
    if (rc < 0)
        return -1;
    if (hardlink == NULL && archive_entry_filetype(entry) == AE_IFDIR)
        return rc == 0 && u->opts->strip > 0    ? 0
               : u->path.len > 0 && excluded(u) ? 0
                                                : vx_untar_make_folder(u, entry);
    if (rc == 0)
        return vx_untar_refuse(u, VX_UNSAFE, 0, "a file in place of the folder itself");
    if (excluded(u))
        return 0;
    if (vx_untar_open_parent(u, &name) != 0)
        return -1;
    if (hardlink != NULL)
        return make_hardlink(u, hardlink, name);
    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
        return make_file(u, entry, name);
    case AE_IFLNK:
        return make_link(u, entry, name);
    case AE_IFCHR:
    case AE_IFBLK:
        return unsafe(u, "a device");
    case AE_IFIFO:
        return unsafe(u, "a fifo");
    default:
        return unsafe(u, "neither a file, a folder nor a link");
    }
}

/* The padding behind the archive's end must be read too, or the sender dies of a broken pipe. */
static int drain(struct unpacking *u)
{
    size_t total = 0;
    ssize_t len = 0;

    u->shown = NULL;
    while ((len = u->opts->read(u->chunk, CHUNK, u->opts->arg, u->err)) > 0) {
        total += (size_t)len;
        if (total > TRAILER)
            return vx_untar_refuse(u, VX_FORMAT, 0, "there are bytes behind its end");
    }
    return len < 0 ? -1 : 0;
}

static int unpack_all(struct unpacking *u)
{
    struct archive_entry *entry = NULL;
    int rc = 0;

    if (archive_read_support_format_tar(u->archive) != ARCHIVE_OK ||
        archive_read_open(u->archive, u, NULL, take, NULL) != ARCHIVE_OK)
        return fail_archive(u);
    while ((rc = archive_read_next_header(u->archive, &entry)) == ARCHIVE_OK) {
        if (make_entry(u, entry) != 0)
            return -1;
    }
    /* A warning says that a name or a number was changed on the way: that is no copy. */
    if (rc != ARCHIVE_EOF)
        return fail_archive(u);
    return drain(u) != 0 ? -1 : vx_untar_finish_folders(u);
}

int vx_tar_unpack(const struct vx_tar_unpack *opts, struct vx_tar_count *count,
                  struct vx_err *err)
{
    struct unpacking u = { .opts = opts, .count = count, .err = err, .parent = -1 };
    int rc = 0;

    u.root = open(opts->into, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (u.root < 0)
        return vx_err_errno(err, errno, "cannot open the folder %s", opts->into);
    /* Headers and padding of an honest archive stay below 4 KiB an entry. */
    u.raw_max = UINT64_MAX;
    if (opts->max_entries < UINT64_MAX / 8192 && opts->max_bytes < UINT64_MAX / 2)
        u.raw_max = opts->max_bytes + (opts->max_entries + 256) * 4096;
    u.chunk = vx_alloc(CHUNK);
    u.archive = archive_read_new();
    rc = unpack_all(&u);
    archive_read_free(u.archive);
    vx_untar_free_folders(&u);
    free(u.chunk);
    vx_buf_free(&u.path);
    close(u.root);
    return rc;
}
