/* A private sshd on loopback, for the C tests: started by setup, ended by teardown. */
#ifndef TESTS_C_SSHD_H
#define TESTS_C_SSHD_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct sshd {
    char dir[64];
    int port;
    pid_t pid;
    char user[64];
    char key[128];
    char host_key[512];
};

static inline int sshd_shell(const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    return system(line);
}

static inline int sshd_free_port(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        abort();
    close(fd);
    return ntohs(at.sin_port);
}

static inline bool sshd_answers(int port)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons((unsigned short)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool yes = connect(fd, (struct sockaddr *)&at, sizeof at) == 0;

    close(fd);
    return yes;
}

/* extra: more lines for sshd_config. False when sshd is not installed. */
static inline bool sshd_start(struct sshd *sshd, const char *extra)
{
    char path[160];
    FILE *file = NULL;
    struct timespec pause = { .tv_nsec = 20000000 };

    if (access("/usr/sbin/sshd", X_OK) != 0)
        return false;
    strcpy(sshd->dir, "/tmp/vx-sshd-XXXXXX");
    if (mkdtemp(sshd->dir) == NULL)
        return false;
    snprintf(sshd->user, sizeof sshd->user, "%s", getpwuid(getuid())->pw_name);
    snprintf(sshd->key, sizeof sshd->key, "%s/key", sshd->dir);
    if (sshd_shell(
            "cd %s && ssh-keygen -qt ed25519 -N '' -f key && ssh-keygen -qt ed25519 -N '' "
            "-f host && ssh-keygen -qt ecdsa -N '' -f host2 && ssh-keygen -qt rsa -b 2048 "
            "-N '' -f rsa && ssh-keygen -qt ed25519 -N '' -f other && "
            "cat key.pub rsa.pub > authorized && mkdir -p /run/sshd 2>/dev/null; true",
            sshd->dir) != 0)
        return false;
    snprintf(path, sizeof path, "%s/host.pub", sshd->dir);
    file = fopen(path, "r");
    if (file == NULL || fgets(sshd->host_key, sizeof sshd->host_key, file) == NULL)
        abort();
    fclose(file);
    sshd->port = sshd_free_port();
    snprintf(path, sizeof path, "%s/config", sshd->dir);
    file = fopen(path, "w");
    /* SHLVL keeps bash from reading this machine's ~/.bashrc. */
    fprintf(file,
            "ListenAddress 127.0.0.1:%d\nHostKey %s/host2\nHostKey %s/host\n"
            "AuthorizedKeysFile %s/authorized\nPidFile none\nUsePAM no\nStrictModes no\n"
            "PermitRootLogin yes\nMaxStartups 1000\nPrintMotd no\nUseDNS no\n"
            "SetEnv SHLVL=2\nSubsystem sftp internal-sftp\n%s\n",
            sshd->port, sshd->dir, sshd->dir, sshd->dir,
            extra != NULL ? extra : "MaxSessions 1000");
    fclose(file);
    sshd->pid = fork();
    if (sshd->pid == 0) {
        char log[160];
        alarm(300);
        snprintf(log, sizeof log, "%s/log", sshd->dir);
        execl("/usr/sbin/sshd", "/usr/sbin/sshd", "-D", "-f", path, "-E", log, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500 && !sshd_answers(sshd->port); i++)
        nanosleep(&pause, NULL);
    return true;
}

static inline void sshd_stop(struct sshd *sshd)
{
    if (sshd->pid > 0) {
        kill(sshd->pid, SIGTERM);
        waitpid(sshd->pid, NULL, 0);
    }
    sshd_shell("rm -rf %s", sshd->dir);
}

#endif
