/* A file copied with its holes: the RAM of a guest is mostly holes. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"

enum { CHUNK = 1 << 20, PAGE = 4096 };

static bool is_zero(const char *data, size_t len)
{
    return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

/* Writes all of it; a disk that is full takes a part first, and says why only when asked again. */
static int write_at(int to, off_t at, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t done = pwrite(to, data, len, at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return -1;
        data += done;
        at += done;
        len -= (size_t)done;
    }
    return 0;
}

int vx_file_write_holes(int fd, const void *bytes, size_t len, off_t at, size_t piece)
{
    const char *data = bytes;
    size_t begin = 0;

    while (begin < len) {
        size_t end = begin;

        while (end < len && !is_zero(data + end, len - end < piece ? len - end : piece))
            end += len - end < piece ? len - end : piece;
        if (end > begin && write_at(fd, at + (off_t)begin, data + begin, end - begin) != 0)
            return -1;
        begin = end == begin ? begin + piece : end;
    }
    return 0;
}

/* Where the next data begins, from `at` on; the size when there is none. */
static off_t next_data(int from, off_t at, off_t size)
{
#ifdef SEEK_DATA
    off_t data = lseek(from, at, SEEK_DATA);

    if (data >= 0)
        return data;
    return errno == ENXIO ? size : at;
#else
    (void)from;
    (void)size;
    return at;
#endif
}

static int copy_data(int from, int to, off_t size)
{
    char *data = malloc(CHUNK);
    int rc = data != NULL ? 0 : -1;

    for (off_t at = next_data(from, 0, size); rc == 0 && at < size;
         at = next_data(from, at, size)) {
        ssize_t len = pread(from, data, CHUNK, at);

        if (len < 0 && errno == EINTR)
            continue;
        if (len == 0)
            errno = EIO; /* it became shorter meanwhile */
        /* Pages of zeros become holes, also where the source has none. */
        rc = len <= 0 ? -1 : vx_file_write_holes(to, data, (size_t)len, at, PAGE);
        at += len;
    }
    free(data);
    return rc;
}

int vx_file_copy(const char *src, const char *dst, mode_t mode, struct vx_err *err)
{
    int from = open(src, O_RDONLY | O_CLOEXEC);
    int to = -1;
    struct stat st;
    int rc = 0;

    if (from < 0)
        return vx_err_errno(err, errno, "cannot open %s", src);
    to = open(dst, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (to < 0) {
        rc = vx_err_errno(err, errno, "cannot make %s", dst);
    } else {
        if (fstat(from, &st) < 0 || ftruncate(to, st.st_size) < 0 ||
            copy_data(from, to, st.st_size) < 0 || fsync(to) < 0)
            rc = vx_err_errno(err, errno, "cannot copy %s to %s", src, dst);
        if (close(to) < 0 && rc == 0)
            rc = vx_err_errno(err, errno, "cannot write %s", dst);
        if (rc < 0)
            unlink(dst);
    }
    close(from);
    return rc;
}

int vx_file_sync(const char *path, struct vx_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0)
        return vx_err_errno(err, errno, "cannot open %s", path);
    if (fsync(fd) < 0)
        rc = vx_err_errno(err, errno, "cannot sync %s", path);
    close(fd);
    return rc;
}
