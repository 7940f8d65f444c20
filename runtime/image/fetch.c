#include "runtime/image/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <curl/curl.h>

#include "runtime/base/buf.h"
#include "runtime/base/file.h"
#include "runtime/image/stages.h"

#define PIECE   ((size_t)256 * 1024)
#define POLL_MS 100 /* how soon a cancel is seen */
#define MIB     (1024.0 * 1024.0)

struct transfer {
    struct vx_fetch *fetch;
    CURL *curl;
    struct vx_stages *stages; /* NULL until the first byte */
    int fd;
    uint64_t offset; /* bytes that are there and were not asked for again */
    off_t begun;     /* of it, what the kernel was told to write */
    bool has_range;
    uint64_t range_start; /* of the answer, by its Content-Range */
    bool failed;          /* by ourselves: err says how */
    struct vx_err err;
    char detail[CURL_ERROR_SIZE];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int fail(struct transfer *transfer, int rc)
{
    if (rc != 0)
        transfer->failed = true;
    return rc;
}

static long status_of(struct transfer *transfer)
{
    long status = 0;

    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static bool is_file(const char *url)
{
    return strncasecmp(url, "file:", 5) == 0;
}

/* Whether a status comes with the content that was asked for. */
static bool brings_content(struct transfer *transfer)
{
    long status = status_of(transfer);

    return is_file(transfer->fetch->url) || (status >= 200 && status < 300);
}

static int check_space(struct transfer *transfer, uint64_t more)
{
    struct vx_fetch *fetch = transfer->fetch;
    struct statvfs space;
    uint64_t room = 0;

    if (fstatvfs(transfer->fd, &space) != 0)
        return 0; /* then writing will tell */
    room = (uint64_t)space.f_bavail * space.f_frsize;
    if (room >= more + fetch->spare)
        return 0;
    return vx_err_set(
        &transfer->err, VX_NOSPACE, ENOSPC,
        "it needs %.0f MiB and %.0f MiB to spare, and the disk of %s has %.0f MiB "
        "free",
        (double)more / MIB, (double)fetch->spare / MIB, fetch->part, (double)room / MIB);
}

/* What had come before goes through the stages first. */
static int replay(struct transfer *transfer)
{
    char *piece = vx_alloc(PIECE);
    uint64_t at = 0;
    int rc = 0;

    while (rc == 0 && at < transfer->offset) {
        uint64_t left = transfer->offset - at;
        ssize_t len =
            pread(transfer->fd, piece, left < PIECE ? (size_t)left : PIECE, (off_t)at);

        if (len <= 0) {
            rc = vx_err_errno(&transfer->err, len < 0 ? errno : EIO, "cannot read %s",
                              transfer->fetch->part);
        } else {
            rc = vx_stages_put(transfer->stages, piece, (size_t)len, &transfer->err);
            at += (uint64_t)len;
        }
    }
    free(piece);
    return rc;
}

/* The first byte is here, or the end: now it is known whether the server went on where we asked. */
static int begin(struct transfer *transfer)
{
    struct vx_fetch *fetch = transfer->fetch;
    curl_off_t length = -1;

    if (transfer->offset > 0 && status_of(transfer) != 206 && status_of(transfer) != 416)
        transfer->offset =
            0; /* it does not know ranges, or has another file: all of it comes */
    if (transfer->offset > 0 && transfer->has_range &&
        transfer->range_start != transfer->offset)
        return vx_err_set(&transfer->err, VX_FORMAT, 0,
                          "the server sent bytes from %" PRIu64 " on instead of %" PRIu64,
                          transfer->range_start, transfer->offset);
    curl_easy_getinfo(transfer->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length > 0 && status_of(transfer) != 416) {
        fetch->total = transfer->offset + (uint64_t)length;
        if (fetch->total > fetch->max)
            return vx_err_set(&transfer->err, VX_LIMIT, 0,
                              "it is %.0f MiB large; the limit is %.0f MiB",
                              (double)fetch->total / MIB, (double)fetch->max / MIB);
        if (check_space(transfer, (uint64_t)length) != 0)
            return -1;
    }
    if (ftruncate(transfer->fd, (off_t)transfer->offset) != 0 ||
        lseek(transfer->fd, 0, SEEK_END) < 0)
        return vx_err_errno(&transfer->err, errno, "cannot write %s", fetch->part);
    transfer->stages = vx_stages_start(fetch, &transfer->err);
    if (transfer->stages == NULL)
        return -1;
    fetch->resumed = transfer->offset;
    fetch->received = transfer->offset;
    return replay(transfer);
}

static int take(struct transfer *transfer, const char *data, size_t len)
{
    struct vx_fetch *fetch = transfer->fetch;

    if (transfer->stages == NULL && begin(transfer) != 0)
        return -1;
    if (fetch->received + len > fetch->max)
        return vx_err_set(&transfer->err, VX_LIMIT, 0, "it is larger than %.0f MiB, the limit",
                          (double)fetch->max / MIB);
    if (vx_file_write(transfer->fd, data, len) != 0)
        return vx_err_errno(&transfer->err, errno, "cannot write %s", fetch->part);
    fetch->received += len;
    if (fetch->into == NULL) /* otherwise it goes when its content is there */
        vx_file_write_behind(transfer->fd, &transfer->begun, (off_t)fetch->received);
    return vx_stages_put(transfer->stages, data, len, &transfer->err);
}

static size_t write_cb(char *data, size_t size, size_t count, void *arg)
{
    struct transfer *transfer = arg;

    if (!brings_content(transfer))
        return size * count; /* the page that comes with an error */
    return fail(transfer, take(transfer, data, size * count)) == 0 ? size * count : 0;
}

static size_t header_cb(char *data, size_t size, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    char line[128] = "";
    size_t len = size * count < sizeof line - 1 ? size * count : sizeof line - 1;

    memcpy(line, data, len);
    if (strncasecmp(line, "http/", 5) == 0)
        transfer->has_range = false;
    else if (strncasecmp(line, "content-range: bytes ", 21) == 0 && line[21] != '*') {
        transfer->has_range = true;
        transfer->range_start = strtoull(line + 21, NULL, 10);
    }
    return size * count;
}

static void set_limits(struct transfer *transfer)
{
    struct vx_fetch *fetch = transfer->fetch;
    CURL *curl = transfer->curl;

    if (fetch->rate > 0)
        curl_easy_setopt(curl, CURLOPT_MAX_RECV_SPEED_LARGE, (curl_off_t)fetch->rate);
    if (fetch->connect_timeout > 0)
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)(fetch->connect_timeout * 1e3));
    if (fetch->stall_timeout > 0) {
        long seconds = (long)(fetch->stall_timeout + 0.999);

        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, seconds > 0 ? seconds : 1L);
    }
}

static void set_options(struct transfer *transfer)
{
    struct vx_fetch *fetch = transfer->fetch;
    CURL *curl = transfer->curl;
    const char *scheme = is_file(fetch->url)                        ? "file"
                         : strncasecmp(fetch->url, "http:", 5) == 0 ? "http"
                                                                    : "https";
    char range[32];

    curl_easy_setopt(curl, CURLOPT_URL, fetch->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, scheme);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)PIECE);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, write_cb);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, header_cb);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->detail);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, fetch->agent);
    if (fetch->ca_file != NULL)
        curl_easy_setopt(curl, CURLOPT_CAINFO, fetch->ca_file);
    if (fetch->ca_folder != NULL)
        curl_easy_setopt(curl, CURLOPT_CAPATH, fetch->ca_folder);
    if (fetch->proxy != NULL)
        curl_easy_setopt(curl, CURLOPT_PROXY, fetch->proxy);
    if (transfer->offset > 0) {
        snprintf(range, sizeof range, "%" PRIu64 "-", transfer->offset);
        curl_easy_setopt(curl, CURLOPT_RANGE, range);
    }
    set_limits(transfer);
}

/* libcurl's own loop, which sees a cancel even while nothing comes. */
static CURLcode perform(struct transfer *transfer)
{
    CURLM *multi = curl_multi_init();
    CURLcode code = CURLE_OK;
    int running = 1, left = 0;
    CURLMsg *msg = NULL;

    curl_multi_add_handle(multi, transfer->curl);
    while (running > 0 && !transfer->fetch->cancel) {
        if (curl_multi_perform(multi, &running) != CURLM_OK)
            break;
        if (running > 0)
            curl_multi_poll(multi, NULL, 0, POLL_MS, NULL);
    }
    while ((msg = curl_multi_info_read(multi, &left)) != NULL) {
        if (msg->msg == CURLMSG_DONE)
            code = msg->data.result;
    }
    if (running > 0)
        code = CURLE_ABORTED_BY_CALLBACK;
    curl_multi_remove_handle(multi, transfer->curl);
    curl_multi_cleanup(multi);
    return code;
}

static enum vx_kind kind_of(CURLcode code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return VX_TIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return VX_UNSAFE;
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        return VX_FORMAT;
    case CURLE_FILE_COULDNT_READ_FILE:
        return VX_NOTFOUND;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return VX_USAGE;
    default:
        return VX_CONNECTION;
    }
}

static int http_failed(long status, struct vx_err *err)
{
    enum vx_kind kind = VX_UNSUPPORTED;

    if (status == 404 || status == 410)
        kind = VX_NOTFOUND;
    else if (status == 401 || status == 403 || status == 407)
        kind = VX_DENIED;
    else if (status == 408 || status == 425 || status == 429 || status >= 500)
        kind = VX_CONNECTION;
    return vx_err_set(err, kind, (int)status, "the server answers with status %ld%s", status,
                      status == 404   ? " (not found)"
                      : status == 403 ? " (forbidden)"
                      : status == 410 ? " (gone)"
                                      : "");
}

static int judge(struct transfer *transfer, CURLcode code)
{
    struct vx_err *err = &transfer->fetch->err;
    long status = status_of(transfer);

    if (transfer->failed) {
        *err = transfer->err;
        return -1;
    }
    if (transfer->fetch->cancel)
        return vx_err_set(err, VX_CANCELLED, 0, "the download was stopped");
    if (code != CURLE_OK)
        return vx_err_set(err, kind_of(code), (int)code, "%s",
                          transfer->detail[0] != '\0' ? transfer->detail
                                                      : curl_easy_strerror(code));
    if (status >= 400 && !(status == 416 && transfer->offset > 0))
        return http_failed(status, err);
    return 0;
}

static int finish(struct transfer *transfer, int rc)
{
    struct vx_fetch *fetch = transfer->fetch;
    long status = status_of(transfer);
    char *redirect = NULL;

    fetch->status = (int)status;
    if (rc == 0 && status >= 300 && status < 400) {
        curl_easy_getinfo(transfer->curl, CURLINFO_REDIRECT_URL, &redirect);
        if (redirect == NULL)
            return vx_err_set(&fetch->err, VX_UNSUPPORTED, (int)status,
                              "the server answers with status %ld and leads nowhere", status);
        fetch->redirect = vx_strdup(redirect);
        return 0;
    }
    if (rc == 0 && transfer->stages == NULL && begin(transfer) != 0) {
        fetch->err = transfer->err;
        rc = -1;
    }
    if (transfer->stages != NULL) {
        struct vx_err err = { 0 };

        if (vx_stages_end(transfer->stages, rc == 0 ? NULL : &fetch->err, &err) != 0 &&
            rc == 0) {
            fetch->err = err;
            rc = -1;
        }
    }
    return rc;
}

static int open_part(struct transfer *transfer)
{
    struct vx_fetch *fetch = transfer->fetch;
    struct stat st;
    int flags = O_RDWR | O_CREAT | O_CLOEXEC | (fetch->fresh ? O_TRUNC : 0);

    transfer->fd = open(fetch->part, flags, 0600);
    if (transfer->fd < 0 || fstat(transfer->fd, &st) != 0)
        return vx_err_errno(&fetch->err, errno, "cannot make %s", fetch->part);
    if (!is_file(fetch->url))
        transfer->offset = (uint64_t)st.st_size;
    return 0;
}

void vx_fetch_work(void *arg)
{
    struct transfer transfer = { .fetch = arg, .fd = -1 };
    struct vx_fetch *fetch = arg;

    pthread_once(&once, init_curl);
    transfer.curl = curl_easy_init();
    if (transfer.curl == NULL) {
        fetch->rc = vx_err_set(&fetch->err, VX_UNSUPPORTED, 0, "libcurl cannot be used");
        return;
    }
    fetch->rc = open_part(&transfer);
    if (fetch->rc == 0) {
        set_options(&transfer);
        fetch->rc = judge(&transfer, perform(&transfer));
        fetch->rc = finish(&transfer, fetch->rc);
    }
    curl_easy_cleanup(transfer.curl);
    if (transfer.fd >= 0)
        close(transfer.fd);
}
