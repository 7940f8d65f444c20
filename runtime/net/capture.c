/* Frames in a file that tcpdump and Wireshark read: the classic format of libpcap, version 2.4. */
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "runtime/net/internal.h"

struct file_head {
    uint32_t magic; /* of times in nanoseconds, in this machine's order of bytes */
    uint16_t major;
    uint16_t minor;
    uint32_t zone;
    uint32_t figures;
    uint32_t most;
    uint32_t link; /* 1: Ethernet */
};

struct frame_head {
    uint32_t seconds;
    uint32_t nanoseconds;
    uint32_t kept;
    uint32_t len;
};

FILE *capture_open(const char *path, struct vx_err *err)
{
    const struct file_head head = { 0xa1b23c4d, 2, 4, 0, 0, FRAME_MAX, 1 };
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;

    if (file == NULL) {
        vx_err_errno(err, errno, "cannot write the capture %s", path);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    fwrite(&head, sizeof head, 1, file);
    fflush(file);
    return file;
}

void capture_frame(FILE *file, const unsigned char *bytes, size_t len)
{
    struct timespec now;
    struct frame_head head = { 0 };

    clock_gettime(CLOCK_REALTIME, &now);
    head.seconds = (uint32_t)now.tv_sec;
    head.nanoseconds = (uint32_t)now.tv_nsec;
    head.kept = head.len = (uint32_t)len;
    fwrite(&head, sizeof head, 1, file);
    fwrite(bytes, 1, len, file);
}
