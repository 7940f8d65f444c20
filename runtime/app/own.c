#include "runtime/app/own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "runtime/base/buf.h"

enum { LOG_MAX = 1024 * 1024, FD_MAX = 4096 };

static int open_log(const char *home)
{
    char *path = vx_strfmt("%s/owner.log", home);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat st;

    if (fd < 0)
        fprintf(stderr, "vmatrix: cannot write %s: %s\n", path, strerror(errno));
    else if (fstat(fd, &st) == 0 && st.st_size > LOG_MAX && ftruncate(fd, 0) != 0)
        fprintf(stderr, "vmatrix: cannot shorten %s: %s\n", path, strerror(errno));
    free(path);
    return fd;
}

/* A pipe of its starter's that it held open would keep whoever reads that from seeing its end. */
static void close_others(void)
{
    DIR *dir = opendir("/dev/fd");
    struct dirent *entry = NULL;

    if (dir == NULL) {
        for (int fd = 3; fd < FD_MAX; fd++)
            close(fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        int fd = atoi(entry->d_name);

        if (fd > STDERR_FILENO && fd != dirfd(dir))
            close(fd);
    }
    closedir(dir);
}

int own_detach(const char *home)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int log = open_log(home);
    pid_t pid = -1;

    if (null < 0 || log < 0)
        return 1;
    pid = fork();
    if (pid < 0) {
        fprintf(stderr, "vmatrix: cannot go into the background: %s\n", strerror(errno));
        return 1;
    }
    if (pid > 0)
        return 0;
    setsid();
#ifdef __linux__
    prctl(PR_SET_NAME, "vmatrix-own");
#endif
    if (dup2(null, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0)
        _exit(1);
    close_others();
    if (chdir("/") != 0)
        fprintf(stderr,
                "vmatrix: the folder that the owner was started in cannot be unmounted: %s\n",
                strerror(errno));
    return -1;
}
