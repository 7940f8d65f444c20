#include "runtime/ssh/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/ssh/state.h"

enum { KEY_MAX = 64 * 1024 };
enum way { KEY, KEY_TEXT, AGENT, PASSWORD, INTERACTIVE, NO_MORE };

struct vx_auth {
    struct vx_session *session;
    enum way way;
    struct vx_buf key; /* the text of a key file */
    LIBSSH2_AGENT *agent;
    struct libssh2_agent_publickey *identity;
    bool agent_ready;
    struct vx_buf refused; /* what was tried and why it did not do */
};

/* What can be said about a private key from its text. */
struct key_kind {
    bool rsa, encrypted;
};

static struct key_kind look_at_key(const char *text, size_t len)
{
    static const char open_mark[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
    struct key_kind kind = { false, false };
    const char *body = memmem(text, len, open_mark, sizeof open_mark - 1);
    char packed[400];
    unsigned char bytes[300];
    size_t used = 0;
    size_t made = 0;

    if (body == NULL) {
        kind.rsa = memmem(text, len, "BEGIN RSA PRIVATE", 17) != NULL;
        kind.encrypted = memmem(text, len, "ENCRYPTED", 9) != NULL;
        return kind;
    }
    for (body += sizeof open_mark - 1; body < text + len && used < sizeof packed; body++)
        if (*body != '\n' && *body != '\r')
            packed[used++] = *body;
    made = vx_base64_decode(packed, used, bytes, sizeof bytes);
    /* "openssh-key-v1\0", then the cipher's name as a string. */
    kind.encrypted = made > 23 && memcmp(bytes + 19, "none", 4) != 0;
    kind.rsa = memmem(bytes, made, "\0\0\0\7ssh-rsa", 11) != NULL;
    return kind;
}

static bool signs_rsa_with_sha2(void)
{
    return libssh2_version(0x010b00) != NULL;
}

static void refused(struct vx_auth *auth, const char *what, const char *why)
{
    if (auth->refused.len < 600)
        vx_buf_fmt(&auth->refused, "%s%.200s: %.200s", auth->refused.len > 0 ? "; " : "", what,
                   why);
}

static void key_refused(struct vx_auth *auth, int rc, const char *what, const char *text,
                        size_t len)
{
    struct key_kind kind = look_at_key(text, len);
    char why[300];

    if (kind.rsa && !signs_rsa_with_sha2())
        snprintf(why, sizeof why,
                 "an RSA key, which libssh2 %s can only use with SHA-1 signatures that servers "
                 "no longer take: use an ed25519 key (ssh-keygen -t ed25519) or libssh2 1.11",
                 libssh2_version(0));
    else if (rc == LIBSSH2_ERROR_AUTHENTICATION_FAILED ||
             rc == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED)
        snprintf(why, sizeof why, "the server does not accept this key");
    else if (kind.encrypted && auth->session->opts.passphrase == NULL)
        snprintf(why, sizeof why, "the key is encrypted and no passphrase was given");
    else if (kind.encrypted)
        snprintf(why, sizeof why, "the passphrase does not fit, or the key is damaged");
    else
        snprintf(why, sizeof why, "not a private key that libssh2 %s can read",
                 libssh2_version(0));
    refused(auth, what, why);
}

/* Each of these returns 0 when in, 1 for "wait", -1 for "the next way". */

static int by_key(struct vx_auth *auth, const char *what, const char *text, size_t len)
{
    struct vx_session *session = auth->session;
    int rc = libssh2_userauth_publickey_frommemory(session->ssh, session->opts.user,
                                                   strlen(session->opts.user), NULL, 0, text,
                                                   len, session->opts.passphrase);

    if (rc == LIBSSH2_ERROR_EAGAIN)
        return 1;
    if (rc != 0)
        key_refused(auth, rc, what, text, len);
    return rc == 0 ? 0 : -1;
}

static int read_key(struct vx_auth *auth)
{
    const char *path = auth->session->opts.key;
    FILE *file = fopen(path, "re");
    size_t got = 0;
    struct stat info;

    if (file == NULL || fstat(fileno(file), &info) != 0 || !S_ISREG(info.st_mode)) {
        refused(auth, path, file == NULL ? strerror(errno) : "not a file");
        if (file != NULL)
            fclose(file);
        return -1;
    }
    if (info.st_size > KEY_MAX) {
        refused(auth, path, "too big for a private key");
        fclose(file);
        return -1;
    }
    got = fread(vx_buf_room(&auth->key, (size_t)info.st_size), 1, (size_t)info.st_size, file);
    vx_buf_added(&auth->key, got);
    fclose(file);
    if (got == 0) {
        refused(auth, path, "the file is empty");
        return -1;
    }
    return 0;
}

static int by_key_file(struct vx_auth *auth)
{
    if (auth->session->opts.key == NULL)
        return -1;
    if (auth->key.len == 0 && read_key(auth) != 0)
        return -1;
    return by_key(auth, auth->session->opts.key, auth->key.data, auth->key.len);
}

static int by_key_text(struct vx_auth *auth)
{
    const struct vx_session_opts *opts = &auth->session->opts;

    if (opts->key_text == NULL)
        return -1;
    return by_key(auth, "the key given as text", opts->key_text, opts->key_text_len);
}

static int ask_agent(struct vx_auth *auth)
{
    auth->agent = libssh2_agent_init(auth->session->ssh);
    if (auth->agent == NULL || libssh2_agent_connect(auth->agent) != 0 ||
        libssh2_agent_list_identities(auth->agent) != 0) {
        refused(auth, "the SSH agent", "no agent answers (is SSH_AUTH_SOCK set?)");
        return -1;
    }
    if (libssh2_agent_get_identity(auth->agent, &auth->identity, NULL) != 0) {
        refused(auth, "the SSH agent", "it holds no key");
        return -1;
    }
    auth->agent_ready = true;
    return 0;
}

static int by_agent(struct vx_auth *auth)
{
    if (!auth->session->opts.agent)
        return -1;
    if (!auth->agent_ready && ask_agent(auth) != 0)
        return -1;
    for (;;) {
        int rc = libssh2_agent_userauth(auth->agent, auth->session->opts.user, auth->identity);

        if (rc == 0)
            return 0;
        if (rc == LIBSSH2_ERROR_EAGAIN)
            return 1;
        if (auth->session->cut)
            return -1;
        if (libssh2_agent_get_identity(auth->agent, &auth->identity, auth->identity) != 0) {
            refused(auth, "the SSH agent", "the server accepts none of its keys");
            return -1;
        }
    }
}

static int by_password(struct vx_auth *auth)
{
    const struct vx_session_opts *opts = &auth->session->opts;
    int rc = 0;

    if (opts->password == NULL)
        return -1;
    rc = libssh2_userauth_password_ex(auth->session->ssh, opts->user,
                                      (unsigned)strlen(opts->user), opts->password,
                                      (unsigned)strlen(opts->password), NULL);
    if (rc == LIBSSH2_ERROR_EAGAIN)
        return 1;
    if (rc != 0)
        refused(auth, "password", "the server does not accept it");
    return rc == 0 ? 0 : -1;
}

/* Every question is answered with the password, which is what servers that ask this way want. */
static void answer(const char *name, int name_len, const char *text, int text_len, int count,
                   const LIBSSH2_USERAUTH_KBDINT_PROMPT *prompts,
                   LIBSSH2_USERAUTH_KBDINT_RESPONSE *responses, void **abstract)
{
    struct vx_session *session = *abstract;
    size_t len = strlen(session->opts.password);

    (void)name, (void)name_len, (void)text, (void)text_len, (void)prompts;
    for (int i = 0; i < count; i++) {
        responses[i].text = vx_witness_alloc(len + 1, abstract);
        if (responses[i].text == NULL)
            continue;
        memcpy(responses[i].text, session->opts.password, len + 1);
        responses[i].length = (unsigned)len;
    }
}

static int by_questions(struct vx_auth *auth)
{
    const struct vx_session_opts *opts = &auth->session->opts;
    int rc = 0;

    if (opts->password == NULL)
        return -1;
    rc = libssh2_userauth_keyboard_interactive_ex(auth->session->ssh, opts->user,
                                                  (unsigned)strlen(opts->user), answer);
    if (rc == LIBSSH2_ERROR_EAGAIN)
        return 1;
    return rc == 0 ? 0 : -1;
}

struct vx_auth *vx_auth_new(struct vx_session *session)
{
    struct vx_auth *auth = vx_zalloc(sizeof *auth);

    auth->session = session;
    return auth;
}

int vx_auth_step(struct vx_auth *auth, struct vx_err *err)
{
    static int (*const ways[NO_MORE])(struct vx_auth *) = {
        [KEY] = by_key_file,      [KEY_TEXT] = by_key_text,     [AGENT] = by_agent,
        [PASSWORD] = by_password, [INTERACTIVE] = by_questions,
    };
    struct vx_session *session = auth->session;

    for (; auth->way < NO_MORE; auth->way++) {
        int rc = ways[auth->way](auth);

        if (rc >= 0)
            return rc;
        if (session->cut) {
            vx_ssh_failed(session, LIBSSH2_ERROR_SOCKET_RECV, err,
                          "the server ended the log-in");
            return -1;
        }
    }
    return vx_err_set(err, VX_AUTH, 0, "%s: the log-in was refused: %s", session->name,
                      auth->refused.len > 0 ? auth->refused.data
                                            : "no key, agent or password was given");
}

void vx_auth_free(struct vx_auth *auth)
{
    if (auth == NULL)
        return;
    if (auth->agent != NULL) {
        libssh2_agent_disconnect(auth->agent);
        libssh2_agent_free(auth->agent);
    }
    vx_wipe(auth->key.data, auth->key.len);
    vx_buf_free(&auth->key);
    vx_buf_free(&auth->refused);
    free(auth);
}
