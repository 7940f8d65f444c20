/* Lets libraries that start daemons (libvirt) work beside libuv, which keeps a pipe for its
 * signals and, in every forked child, closes it and makes a new one of the lowest free numbers.
 * libvirt forks twice for a daemon and closes every descriptor in between; what it opens then
 * gets the lowest numbers, and were those libuv's of before, the second fork would close them
 * under its feet. So the lowest numbers are held here for the life of the process, before libuv
 * opens anything: its pipe is then always above them, and what is opened after such a closing
 * is below. */
#include <fcntl.h>
#include <unistd.h>

#include "runtime/loop/internal.h"

enum { HELD = 16 };

void vx_fork_hold(void)
{
    static bool held;
    int fd = -1;

    if (held)
        return;
    held = true;
    do {
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    } while (fd >= 0 && fd < HELD);
    if (fd >= 0)
        close(fd);
}
