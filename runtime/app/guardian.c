#include "runtime/app/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "runtime/base/buf.h"
#include "runtime/base/sweep.h"

enum { LOCK_TRIES = 100 };

static struct {
    struct vx_buf input;
    char *record;
    char **paths; /* NULL-terminated */
    size_t count;
    bool done;
} guardian;

/* Only the end of our input may end us: no signal meant for the runtime, no terminal. */
static void detach(void)
{
    static const int ignored[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE };
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN);
    setsid(); /* fails when it was started as the leader of its session, which is as good */
    if (null >= 0) {
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        close(null);
    }
    if (chdir("/") != 0) /* so as to keep no file system from being unmounted */
        return;
#ifdef __linux__
    prctl(PR_SET_NAME, "vmatrix-guard");
#endif
}

static void obey(char *line)
{
    char *path = strchr(line, ' ');

    if (path != NULL)
        *path++ = '\0';
    if (strcmp(line, "done") == 0) {
        guardian.done = true;
    } else if (path != NULL && strcmp(line, "record") == 0) {
        free(guardian.record);
        guardian.record = vx_strdup(path);
    } else if (path != NULL && strcmp(line, "path") == 0) {
        guardian.paths =
            vx_realloc(guardian.paths, (guardian.count + 2) * sizeof *guardian.paths);
        guardian.paths[guardian.count++] = vx_strdup(path);
        guardian.paths[guardian.count] = NULL;
    }
}

/* Obeys the whole lines that have been read; half a line is what a dying runtime left unsaid. */
static void obey_lines(void)
{
    char *end = NULL;

    while (guardian.input.len > 0 &&
           (end = memchr(guardian.input.data, '\n', guardian.input.len)) != NULL) {
        *end = '\0';
        obey(guardian.input.data);
        vx_buf_drop(&guardian.input, (size_t)(end + 1 - guardian.input.data));
    }
}

static void listen_to_runtime(void)
{
    ssize_t len = 0;

    do {
        len = read(STDIN_FILENO, vx_buf_room(&guardian.input, 4096), 4096);
        if (len > 0) {
            vx_buf_added(&guardian.input, (size_t)len);
            obey_lines();
        }
    } while (!guardian.done && (len > 0 || (len < 0 && errno == EINTR)));
}

/* The owner's lock is free once the runtime is really gone; whoever else clears away dead runs
 * holds it meanwhile. */
static int lock_record(void)
{
    int fd = open(guardian.record, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct timespec wait = { 0, 50000000L };

    for (int i = 0; fd >= 0 && i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB) != 0; i++)
        nanosleep(&wait, NULL);
    return fd;
}

int guardian_main(void)
{
    static const char *const none[] = { NULL };
    struct vx_sweep done;
    int code = 0;

    detach();
    listen_to_runtime();
    if (!guardian.done) {
        int lock = guardian.record != NULL ? lock_record() : -1;

        if (vx_sweep(guardian.paths != NULL ? (const char *const *)guardian.paths : none, true,
                     &done, NULL) != 0)
            code = 1; /* the record stays, for `vmatrix prune` to try again */
        else if (guardian.record != NULL)
            unlink(guardian.record);
        if (lock >= 0)
            close(lock);
    }
    for (size_t i = 0; i < guardian.count; i++)
        free(guardian.paths[i]);
    free(guardian.paths);
    free(guardian.record);
    vx_buf_free(&guardian.input);
    return code;
}
