/* Reaps the QEMUs of the embedded driver at once. libvirt starts them as daemons, so that they
 * are orphans, and after killing one it polls until the process is gone: a zombie is not, and
 * process 1 may take seconds to reap it. On Linux we become the parent of orphans ourselves and
 * take those that are known to be libvirt's: QEMU's name, and a session that is neither ours
 * nor its own. A child that somebody here started and waits for is in our session or leads its
 * own. */
#include "runtime/virt/internal.h"

#include <errno.h>
#include <pthread.h>
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

struct known {
    struct known *next;
    long pid;
    char *name;
};

static pthread_mutex_t known_lock = PTHREAD_MUTEX_INITIALIZER;
static struct known *known_list; /* QEMUs that run, under the lock */

static struct {
    unsigned users;
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

static void forget_known(void)
{
    pthread_mutex_lock(&known_lock);
    while (known_list != NULL) {
        struct known *known = known_list;

        known_list = known->next;
        free(known->name);
        free(known);
    }
    pthread_mutex_unlock(&known_lock);
}

void reaper_release(void)
{
    if (--reaper.users > 0)
        return;
    vx_signal_free(reaper.sig);
    reaper.sig = NULL;
    forget_known();
    for (size_t i = 0; i < KEPT; i++) {
        free(reaper.ended[i].name);
        reaper.ended[i].name = NULL;
    }
}

#ifdef __linux__

void reaper_know(const char *root, const char *name)
{
    long pid = domain_pid(root, name);
    struct known *known = NULL;

    if (pid == 0)
        return;
    known = vx_zalloc(sizeof *known);
    known->pid = pid;
    known->name = vx_strdup(name);
    pthread_mutex_lock(&known_lock);
    known->next = known_list;
    known_list = known;
    pthread_mutex_unlock(&known_lock);
}

/* Takes the name of a guest from the list; NULL when its pid was never told. The caller's. */
static char *take_name(long pid)
{
    struct known **at = &known_list;
    char *name = NULL;

    pthread_mutex_lock(&known_lock);
    while (*at != NULL && (*at)->pid != pid)
        at = &(*at)->next;
    if (*at != NULL) {
        struct known *found = *at;

        *at = found->next;
        name = found->name;
        free(found);
    }
    pthread_mutex_unlock(&known_lock);
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

/* Keeps how a guest's QEMU ended, for its "stopped" event; name becomes ours. */
static void note(char *name, int status)
{
    if (name == NULL)
        return;
    free(reaper.ended[reaper.next].name);
    reaper.ended[reaper.next].name = name;
    reaper.ended[reaper.next].status = status;
    reaper.next = (reaper.next + 1) % KEPT;
}

static void reap(pid_t pid)
{
    siginfo_t info = { 0 };
    int status = 0;

    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
        info.si_pid != pid || !is_ours(pid))
        return;
    if (waitpid(pid, &status, WNOHANG) == pid)
        note(take_name(pid), status);
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

int reaper_acquire(struct vx_loop *loop, struct vx_err *err)
{
    if (reaper.users++ > 0)
        return 0;
    reaper.sig = vx_signal_new(loop, SIGCHLD, on_child, NULL, err);
    if (reaper.sig == NULL) {
        reaper.users = 0;
        return -1;
    }
    if (prctl(PR_SET_CHILD_SUBREAPER, 1L) < 0)
        vx_log(VX_LOG_WARN, NULL,
               "cannot become the parent of orphans (%s): stopping a guest "
               "takes up to 2 s longer",
               strerror(errno));
    return 0;
}

#else

void reaper_know(const char *root, const char *name)
{
    (void)root;
    (void)name;
}

int reaper_acquire(struct vx_loop *loop, struct vx_err *err)
{
    (void)loop;
    (void)err;
    reaper.users++;
    return 0;
}

#endif
