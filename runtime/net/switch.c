/* The thread and its lock. The lock is held by whoever looks at the ports and let go only while the
 * thread sleeps, so a caller waits for one turn of the thread at most: some hundred kilobytes of
 * frames. */
#include "runtime/net/switch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/net/internal.h"

struct vx_switch {
    pthread_t thread;
    pthread_mutex_t lock;
    int wake[2]; /* a pipe: a byte in it ends the thread's sleep */
    bool stopping;
    unsigned changes; /* of the set of ports: what poll said before means nothing after one */
    uint64_t random;
    FILE *capture;
    struct port *ports[VX_SWITCH_PORTS_MAX];
    int ports_len; /* one more than the highest number in use */
    struct pollfd fds[1 + 2 * VX_SWITCH_PORTS_MAX]; /* the thread's */
};

/* ---- frames ---- */

static void hand_to(struct vx_switch *sw, struct port *port, const unsigned char *bytes,
                    size_t len)
{
    struct line *line = &port->line[VX_TO_GUEST];

    if (port->fd < 0)
        return;
    if (line_is_clear(line))
        port_send(port, bytes, len);
    else
        line_put(line, &port->count[VX_TO_GUEST], &sw->random, bytes, len);
}

static void learn(struct vx_switch *sw, struct port *from, const unsigned char *mac)
{
    if ((mac[0] & 1) != 0 || port_knows(from, mac))
        return;
    for (int i = 0; i < sw->ports_len; i++) {
        if (sw->ports[i] != NULL)
            port_forget(sw->ports[i], mac);
    }
    port_learn(from, mac);
}

/* To the port behind which the address was seen, or to all others. */
static void forward(struct vx_switch *sw, struct port *from, const unsigned char *bytes,
                    size_t len)
{
    struct port *to = NULL;

    learn(sw, from, bytes + MAC);
    for (int i = 0; i < sw->ports_len && (bytes[0] & 1) == 0; i++) {
        if (sw->ports[i] != NULL && port_knows(sw->ports[i], bytes)) {
            to = sw->ports[i];
            break;
        }
    }
    if (to != NULL) {
        if (to != from)
            hand_to(sw, to, bytes, len);
        return;
    }
    for (int i = 0; i < sw->ports_len; i++) {
        if (sw->ports[i] != NULL && sw->ports[i] != from)
            hand_to(sw, sw->ports[i], bytes, len);
    }
}

static void take_in(struct vx_switch *sw, struct port *from, const unsigned char *bytes,
                    size_t len)
{
    struct vx_port_count *count = &from->count[VX_FROM_GUEST];
    struct line *line = &from->line[VX_FROM_GUEST];

    if (len < FRAME_MIN)
        return;
    count->frames++;
    count->bytes += len;
    if (sw->capture != NULL)
        capture_frame(sw->capture, bytes, len);
    if (line_is_clear(line))
        forward(sw, from, bytes, len);
    else
        line_put(line, count, &sw->random, bytes, len);
}

static void read_from(struct vx_switch *sw, struct port *port)
{
    const unsigned char *bytes = NULL;
    bool open = port_read(port);
    bool bad = false;
    size_t at = 0;
    size_t len = 0;

    while ((bytes = port_frame(port, &at, &len, &bad)) != NULL)
        take_in(sw, port, bytes, len);
    vx_buf_drop(&port->in, at);
    if (!open || bad)
        port_disconnect(port);
}

/* ---- the thread ---- */

/* Two places for each port: its connection and its listener. */
static nfds_t gather(struct vx_switch *sw)
{
    nfds_t n = 0;

    sw->fds[n++] = (struct pollfd){ .fd = sw->wake[0], .events = POLLIN };
    for (int i = 0; i < sw->ports_len; i++) {
        const struct port *port = sw->ports[i];
        short events = port != NULL && port->out.len > 0 ? POLLIN | POLLOUT : POLLIN;

        /* poll passes over negative descriptors */
        sw->fds[n++] = (struct pollfd){ .fd = port != NULL ? port->fd : -1, .events = events };
        sw->fds[n++] =
            (struct pollfd){ .fd = port != NULL ? port->listener : -1, .events = POLLIN };
    }
    return n;
}

static void serve(struct vx_switch *sw, nfds_t n)
{
    for (nfds_t i = 1; i + 1 < n; i += 2) {
        struct port *port = sw->ports[(i - 1) / 2];

        if (port == NULL)
            continue;
        if ((sw->fds[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && port->fd >= 0)
            read_from(sw, port);
        if ((sw->fds[i + 1].revents & POLLIN) != 0)
            port_accept(port);
    }
}

static void release_due(struct vx_switch *sw)
{
    double now = net_now();
    struct frame *frame = NULL;

    for (int i = 0; i < sw->ports_len; i++) {
        while (sw->ports[i] != NULL &&
               (frame = line_take(&sw->ports[i]->line[VX_FROM_GUEST], now)) != NULL) {
            forward(sw, sw->ports[i], frame->bytes, frame->len);
            free(frame);
        }
    }
    for (int i = 0; i < sw->ports_len; i++) {
        while (sw->ports[i] != NULL &&
               (frame = line_take(&sw->ports[i]->line[VX_TO_GUEST], now)) != NULL) {
            port_send(sw->ports[i], frame->bytes, frame->len);
            free(frame);
        }
        if (sw->ports[i] != NULL)
            port_flush(sw->ports[i]);
    }
}

static double earlier(double a, double b)
{
    if (a < 0)
        return b;
    return b < 0 || a < b ? a : b;
}

/* Seconds until the next frame is due; negative when there is none. */
static double until_due(const struct vx_switch *sw)
{
    double due = -1;
    double left = 0;

    for (int i = 0; i < sw->ports_len; i++) {
        if (sw->ports[i] != NULL) {
            due = earlier(due, line_due(&sw->ports[i]->line[VX_FROM_GUEST]));
            due = earlier(due, line_due(&sw->ports[i]->line[VX_TO_GUEST]));
        }
    }
    if (due < 0)
        return -1;
    left = due - net_now();
    return left > 0 ? left : 0;
}

static void sleep_on(struct pollfd *fds, nfds_t n, double seconds)
{
#ifdef __linux__
    struct timespec time = { .tv_sec = (time_t)seconds };

    time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
    if (ppoll(fds, n, seconds < 0 ? NULL : &time, NULL) >= 0)
        return;
#else
    if (poll(fds, n, seconds < 0 ? -1 : (int)(seconds * 1000) + 1) >= 0)
        return;
#endif
    for (nfds_t i = 0; i < n; i++) /* interrupted: it said nothing */
        fds[i].revents = 0;
}

static void *run(void *arg)
{
    struct vx_switch *sw = arg;
    char bytes[64];

    pthread_mutex_lock(&sw->lock);
    while (!sw->stopping) {
        nfds_t n = gather(sw);
        unsigned changes = sw->changes;
        double seconds = until_due(sw);

        pthread_mutex_unlock(&sw->lock);
        sleep_on(sw->fds, n, seconds);
        pthread_mutex_lock(&sw->lock);
        while (read(sw->wake[0], bytes, sizeof bytes) > 0) {
        }
        if (sw->changes == changes)
            serve(sw, n);
        release_due(sw);
    }
    pthread_mutex_unlock(&sw->lock);
    return NULL;
}

/* It takes no signal: those are the loop's. */
static int start_thread(struct vx_switch *sw)
{
    sigset_t all;
    sigset_t old;
    int rc = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&sw->thread, NULL, run, sw);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

/* ---- what others call ---- */

static void lock(struct vx_switch *sw)
{
    pthread_mutex_lock(&sw->lock);
}

static void unlock_and_wake(struct vx_switch *sw)
{
    ssize_t n = write(sw->wake[1], "", 1); /* a full pipe wakes as well */

    (void)n;
    pthread_mutex_unlock(&sw->lock);
}

static struct port *find(struct vx_switch *sw, int port)
{
    return port >= 0 && port < sw->ports_len ? sw->ports[port] : NULL;
}

static int make_pipe(int fds[2])
{
#ifdef __linux__
    return pipe2(fds, O_CLOEXEC | O_NONBLOCK);
#else
    if (pipe(fds) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    return 0;
#endif
}

struct vx_switch *vx_switch_new(uint64_t seed, struct vx_err *err)
{
    struct vx_switch *sw = vx_zalloc(sizeof *sw);
    int rc = 0;

    sw->random = seed != 0 ? seed : 1; /* 0 is where the generator would stay */
    if (make_pipe(sw->wake) < 0) {
        vx_err_errno(err, errno, "cannot make a network");
        free(sw);
        return NULL;
    }
    pthread_mutex_init(&sw->lock, NULL);
    rc = start_thread(sw);
    if (rc != 0) {
        vx_err_errno(err, rc, "cannot start the thread of a network");
        pthread_mutex_destroy(&sw->lock);
        close(sw->wake[0]);
        close(sw->wake[1]);
        free(sw);
        return NULL;
    }
    return sw;
}

void vx_switch_free(struct vx_switch *sw)
{
    if (sw == NULL)
        return;
    lock(sw);
    sw->stopping = true;
    unlock_and_wake(sw);
    pthread_join(sw->thread, NULL);
    for (int i = 0; i < sw->ports_len; i++) {
        if (sw->ports[i] != NULL)
            port_free(sw->ports[i]);
    }
    if (sw->capture != NULL)
        fclose(sw->capture);
    pthread_mutex_destroy(&sw->lock);
    close(sw->wake[0]);
    close(sw->wake[1]);
    free(sw);
}

int vx_switch_add(struct vx_switch *sw, const char *path, struct vx_err *err)
{
    struct port *port = port_new(path, err);
    int i = 0;

    if (port == NULL)
        return -1;
    lock(sw);
    while (i < sw->ports_len && sw->ports[i] != NULL)
        i++;
    if (i < VX_SWITCH_PORTS_MAX) {
        sw->ports[i] = port;
        if (i == sw->ports_len)
            sw->ports_len++;
        sw->changes++;
    }
    unlock_and_wake(sw);
    if (i == VX_SWITCH_PORTS_MAX) {
        port_free(port);
        return vx_err_set(err, VX_LIMIT, 0, "a network has at most %d cards",
                          (int)VX_SWITCH_PORTS_MAX);
    }
    return i;
}

void vx_switch_remove(struct vx_switch *sw, int number)
{
    struct port *port = NULL;

    lock(sw);
    port = find(sw, number);
    if (port != NULL) {
        sw->ports[number] = NULL;
        while (sw->ports_len > 0 && sw->ports[sw->ports_len - 1] == NULL)
            sw->ports_len--;
        sw->changes++;
        port_free(port);
    }
    unlock_and_wake(sw);
}

void vx_switch_shape(struct vx_switch *sw, int number, enum vx_direction direction,
                     const struct vx_shape *shape)
{
    struct port *port = NULL;

    lock(sw);
    port = find(sw, number);
    if (port != NULL)
        port->line[direction].shape = *shape;
    unlock_and_wake(sw);
}

struct vx_port_stats vx_switch_stats(struct vx_switch *sw, int number)
{
    struct vx_port_stats stats = { 0 };
    const struct port *port = NULL;

    lock(sw);
    port = find(sw, number);
    if (port != NULL) {
        stats.connected = port->fd >= 0;
        memcpy(stats.count, port->count, sizeof stats.count);
    }
    pthread_mutex_unlock(&sw->lock);
    return stats;
}

int vx_switch_capture(struct vx_switch *sw, const char *path, struct vx_err *err)
{
    FILE *file = NULL;
    FILE *old = NULL;

    if (path != NULL && (file = capture_open(path, err)) == NULL)
        return -1;
    lock(sw);
    old = sw->capture;
    sw->capture = file;
    pthread_mutex_unlock(&sw->lock);
    if (old != NULL)
        fclose(old);
    return 0;
}
