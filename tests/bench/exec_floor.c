/* The floor that exec is measured against: a blocking libssh2 client that connects once and runs
 * a command N times. Prints: p50 in ms, CPU per command in ms.
 * exec_floor PORT USER KEY COMMAND N */
#include <arpa/inet.h>
#include <libssh2.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

static double now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static int run(LIBSSH2_SESSION *session, const char *command)
{
    LIBSSH2_CHANNEL *channel = libssh2_channel_open_session(session);
    char buf[32768];
    int status = -1;

    if (channel == NULL || libssh2_channel_exec(channel, command) != 0)
        return -1;
    libssh2_channel_send_eof(channel);
    while (libssh2_channel_read(channel, buf, sizeof buf) > 0)
        ;
    while (libssh2_channel_read_stderr(channel, buf, sizeof buf) > 0)
        ;
    libssh2_channel_close(channel);
    status = libssh2_channel_get_exit_status(channel);
    libssh2_channel_free(channel);
    return status;
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int n = argc == 6 ? atoi(argv[5]) : 0;
    double *times = calloc((size_t)n + 1, sizeof *times);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int one = 1;
    LIBSSH2_SESSION *session = libssh2_session_init();
    double cpu = 0;

    if (n < 1 || times == NULL)
        return 2;
    at.sin_port = htons((unsigned short)atoi(argv[1]));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        libssh2_session_handshake(session, fd) != 0 ||
        libssh2_userauth_publickey_fromfile(session, argv[2], NULL, argv[3], NULL) != 0)
        return 1;
    for (int i = 0; i < 20; i++)
        run(session, argv[4]);
    cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < n; i++) {
        double begun = now(CLOCK_MONOTONIC);
        if (run(session, argv[4]) != 0)
            return 1;
        times[i] = now(CLOCK_MONOTONIC) - begun;
    }
    cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    qsort(times, (size_t)n, sizeof *times, compare);
    printf("%.4f %.4f\n", times[n / 2], cpu / n);
    return 0;
}
