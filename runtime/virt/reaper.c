/* Reaps the QEMUs of the embedded driver at once. libvirt starts them as daemons, so that they
 * are orphans, and after killing one it polls until the process is gone: a zombie is not, and
 * process 1 may take seconds to reap it. On Linux we become the parent of orphans ourselves and
 * take those that are known to be libvirt's: QEMU's name, and a session that is neither ours
 * nor its own. A child that somebody here started and waits for is in our session or leads its
 * own. */
#include "runtime/virt/internal.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/buf.h"
#include "runtime/base/log.h"
#include "runtime/loop/signal.h"
#ifdef __linux__
#include <sys/prctl.h>
#endif

enum { KEPT = 256 };

struct ended {
    char *name;
    int status;
};

static struct {
    unsigned users;
    char *root;
    struct vx_signal *sig;
    struct ended ended[KEPT]; /* a ring: the newest is before next */
    size_t next;
} reaper;

bool reaper_status(const char *name, int *status)
{
    for (size_t i = 1; i <= KEPT; i++) {
        struct ended *ended = &reaper.ended[(reaper.next + KEPT - i) % KEPT];

        if (ended->name == NULL || strcmp(ended->name, name) != 0)
            continue;
        *status = ended->status;
        free(ended->name); /* told once: a later run of that name has its own end */
        ended->name = NULL;
        return true;
    }
    return false;
}

void reaper_release(void)
{
    if (--reaper.users > 0)
        return;
    vx_signal_free(reaper.sig);
    reaper.sig = NULL;
    free(reaper.root);
    reaper.root = NULL;
    for (size_t i = 0; i < KEPT; i++) {
        free(reaper.ended[i].name);
        reaper.ended[i].name = NULL;
    }
}

#ifdef __linux__

/* The guest whose pid file holds that pid; NULL when there is none. The caller's. */
static char *name_of(long pid)
{
    char *path = vx_strfmt("%s/run/qemu", reaper.root);
    DIR *dir = opendir(path);
    struct dirent *entry = NULL;
    char *name = NULL;

    free(path);
    while (dir != NULL && name == NULL && (entry = readdir(dir)) != NULL) {
        size_t len = strlen(entry->d_name);

        if (len <= 4 || strcmp(entry->d_name + len - 4, ".pid") != 0)
            continue;
        name = vx_strndup(entry->d_name, len - 4);
        if (domain_pid(reaper.root, name) != pid) {
            free(name);
            name = NULL;
        }
    }
    if (dir != NULL)
        closedir(dir);
    return name;
}

static bool is_ours(long pid)
{
    char path[64];
    char line[512];
    FILE *file = NULL;
    const char *comm = NULL;
    const char *rest = NULL;
    long session = 0;
    size_t len = 0;

    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    len = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[len] = '\0';
    comm = strchr(line, '(');
    rest = strrchr(line, ')');
    if (comm == NULL || rest == NULL || sscanf(rest + 1, " %*c %*d %*d %ld", &session) != 1)
        return false;
    return strncmp(comm + 1, "qemu", 4) == 0 && session != pid && session != getsid(0);
}

static void reap(pid_t pid)
{
    siginfo_t info = { 0 };
    char *name = NULL;
    int status = 0;

    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
        info.si_pid != pid || !is_ours(pid))
        return;
    name = name_of(pid);
    if (waitpid(pid, &status, WNOHANG) != pid) {
        free(name);
        return;
    }
    if (name == NULL)
        return;
    free(reaper.ended[reaper.next].name);
    reaper.ended[reaper.next].name = name;
    reaper.ended[reaper.next].status = status;
    reaper.next = (reaper.next + 1) % KEPT;
}

/* Orphans become children of the process's first thread. */
static void on_child(int signum, void *arg)
{
    char path[64];
    FILE *file = NULL;
    long pid = 0;

    (void)signum;
    (void)arg;
    snprintf(path, sizeof path, "/proc/self/task/%ld/children", (long)getpid());
    file = fopen(path, "re");
    if (file == NULL)
        return;
    while (fscanf(file, "%ld", &pid) == 1)
        reap((pid_t)pid);
    fclose(file);
}

int reaper_acquire(struct vx_loop *loop, const char *root, struct vx_err *err)
{
    if (reaper.users++ > 0)
        return 0;
    reaper.sig = vx_signal_new(loop, SIGCHLD, on_child, NULL, err);
    if (reaper.sig == NULL) {
        reaper.users = 0;
        return -1;
    }
    reaper.root = vx_strdup(root);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1L) < 0)
        vx_log(VX_LOG_WARN, NULL,
               "cannot become the parent of orphans (%s): stopping a guest "
               "takes up to 2 s longer",
               strerror(errno));
    return 0;
}

#else

int reaper_acquire(struct vx_loop *loop, const char *root, struct vx_err *err)
{
    (void)loop;
    (void)root;
    (void)err;
    reaper.users++;
    return 0;
}

#endif
