#include "runtime/app/edit.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "runtime/base/buf.h"

enum { HISTORY_MAX = 10000, TAB_STOP = 8, TYPED_MAX = 256 };

struct edit {
    EditLine *el;
    History *history;
    struct edit_ops ops;
    void *arg;
    struct termios before;
    mbstate_t decoder;
    char *prompt;
    bool active;           /* inside edit_gets */
    bool hidden;           /* and the input line is not on the screen */
    bool half_line;        /* what was written meanwhile did not end its line */
    bool stopped;          /* ops->next said so */
    bool answered;         /* the end of the input was typed last */
    int ahead;             /* bytes that were typed before the line was edited */
    int unseen;            /* those that the terminal did not echo: it had taken single keys */
    char typed[TYPED_MAX]; /* those that were read at once */
    int typed_at, typed_end;
};

static struct edit *self_of(EditLine *el)
{
    void *self = NULL;

    el_get(el, EL_CLIENTDATA, &self);
    return self;
}

static char *prompt_of(EditLine *el)
{
    return self_of(el)->prompt;
}

/* --- where the cursor is -------------------------------------------------------------------- */

struct place {
    int row, col;
};

static struct winsize screen(void)
{
    struct winsize size = { 0 };

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
        size.ws_col = 80;
        size.ws_row = 24;
    }
    return size;
}

/* Puts a character where libedit puts it. */
static void advance(struct place *at, wchar_t c, int cols)
{
    int width = wcwidth(c);

    if (c == L'\n') {
        at->row++;
        at->col = 0;
        return;
    }
    if (c == L'\t')
        width = TAB_STOP - at->col % TAB_STOP;
    else if (width < 0)
        width = c < 0x20 || c == 0x7f ? 2 : 8; /* ^X, \U+nnnnn */
    if (at->col + width > cols) {
        at->row++;
        at->col = 0;
    }
    at->col += width;
    if (at->col >= cols) {
        at->row++;
        at->col = 0;
    }
}

static struct place place_of(const struct edit *self, const wchar_t *from, const wchar_t *to,
                             int cols)
{
    struct place at = { 0, 0 };
    mbstate_t state = { 0 };
    const char *prompt = self->prompt;
    wchar_t c = 0;

    for (size_t left = strlen(prompt); left > 0;) {
        size_t used = mbrtowc(&c, prompt, left, &state);

        if (used == 0 || used > left)
            break;
        advance(&at, c, cols);
        prompt += used;
        left -= used;
    }
    for (; from < to; from++)
        advance(&at, *from, cols);
    return at;
}

static bool is_dumb(void)
{
    const char *term = getenv("TERM");

    return term == NULL || strcmp(term, "dumb") == 0;
}

/* Leaves the whole line on the screen, with the cursor behind it. */
static void go_to_end(const struct edit *self)
{
    const LineInfoW *line = el_wline(self->el);
    int cols = screen().ws_col;
    struct place at = place_of(self, line->buffer, line->cursor, cols);
    struct place end = place_of(self, line->buffer, line->lastchar, cols);

    for (int row = at.row; row < end.row; row++)
        fputs("\n", stdout);
    if (!is_dumb())
        fprintf(stdout, end.col > 0 ? "\r\033[%dC" : "\r", end.col);
    fflush(stdout);
}

/* --- reading ------------------------------------------------------------------------------ */

/* A key for the end of the input (Ctrl-D) that is typed while a line runs, so that the terminal
 * takes whole lines, becomes a NUL in Linux's queue of what is not read yet. One that ended the
 * last line answers no further question: whoever typed it has not seen it. */
static void take_end(struct edit *self, char *byte)
{
    cc_t key = self->before.c_cc[VEOF];

    if (self->ahead <= 0)
        return;
    self->ahead--;
    if (*byte == '\0' && !self->answered && key != _POSIX_VDISABLE)
        *byte = (char)key;
}

/* The columns that the terminal's echo of what was typed takes, or -1 where that is not known. */
static int echo_width(const char *text, int len)
{
    mbstate_t state = { 0 };
    int width = 0;

    while (len > 0) {
        wchar_t c = 0;
        size_t used = mbrtowc(&c, text, (size_t)len, &state);

        if (used > (size_t)len || c == L'\t')
            return -1;
        if (used == 0)
            used = 1; /* a Ctrl-D, which is not echoed */
        else
            width += wcwidth(c) >= 0 ? wcwidth(c) : 2; /* ^X */
        text += used;
        len -= (int)used;
    }
    return width;
}

static int queued(void)
{
    int count = 0;

    return ioctl(STDIN_FILENO, FIONREAD, &count) == 0 ? count : 0;
}

/* What was typed while a line ran has been echoed where the cursor stood. As far as it was not
 * entered, libedit shows it behind the prompt, and so it goes away there. Nothing is taken beyond
 * the end of a line: whoever reads next may be somebody else. */
static void take_typed(struct edit *self)
{
    int width = 0;

    self->typed_at = self->typed_end = 0;
    if ((self->before.c_lflag & ECHO) == 0 || self->ahead <= self->unseen ||
        self->ahead > TYPED_MAX)
        return;
    while (self->typed_end < self->ahead) {
        char *byte = &self->typed[self->typed_end];

        if (read(STDIN_FILENO, byte, 1) != 1)
            return;
        self->typed_end++;
        if (*byte == '\n' || *byte == '\r') {
            if (self->typed_end < self->ahead)
                fputs("\n", stdout); /* the echo of what follows */
            return;
        }
    }
    width = echo_width(self->typed + self->unseen, self->ahead - self->unseen);
    if (width < 0 || width >= screen().ws_col)
        return;
    for (const char *step = "\b \b"; *step != '\0'; step++) {
        for (int i = 0; i < width; i++)
            fputc(*step, stdout);
    }
    fflush(stdout);
}

static int next_byte(struct edit *self, char *byte)
{
    if (self->typed_at < self->typed_end) {
        *byte = self->typed[self->typed_at++];
        return 1;
    }
    return self->ops.next(self->arg, byte);
}

/* One character from as many bytes as it takes; what is no character is dropped. */
static int read_char(EditLine *el, wchar_t *out)
{
    struct edit *self = self_of(el);

    for (;;) {
        char byte = '\0';
        int got = next_byte(self, &byte);
        size_t used = 0;

        if (got <= 0) {
            self->stopped = got < 0;
            if (self->stopped)
                go_to_end(self);
            return got;
        }
        take_end(self, &byte);
        used = mbrtowc(out, &byte, 1, &self->decoder);
        if (used == 1 || used == 0)
            return 1;
        if (used == (size_t)-1)
            memset(&self->decoder, 0, sizeof self->decoder);
    }
}

static unsigned char complete_key(EditLine *el, int key)
{
    struct edit *self = self_of(el);
    const LineInfo *line = el_line(el);
    char *before = vx_strndup(line->buffer, (size_t)(line->cursor - line->buffer));
    char *after = vx_strndup(line->cursor, (size_t)(line->lastchar - line->cursor));

    (void)key;
    self->ops.complete(self->arg, before, after);
    free(before);
    free(after);
    return CC_REFRESH;
}

static void set_keys(EditLine *el)
{
    static const char *const keys[][2] = {
        { "^I", "vmatrix-complete" },   { "^R", "em-inc-search-prev" },
        { "^S", "em-inc-search-next" }, { "\\e[1;5D", "ed-prev-word" },
        { "\\e[1;5C", "em-next-word" }, { "\\e[3~", "ed-delete-next-char" },
        { "\\e[H", "ed-move-to-beg" },  { "\\e[F", "ed-move-to-end" },
        { "\\e[1~", "ed-move-to-beg" }, { "\\e[4~", "ed-move-to-end" },
        { "\\e[7~", "ed-move-to-beg" }, { "\\e[8~", "ed-move-to-end" },
    };

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        el_set(el, EL_BIND, keys[i][0], keys[i][1], NULL);
}

/* What is typed is UTF-8 nearly everywhere, also where the environment does not say so. */
static void set_locale(void)
{
    if (setlocale(LC_CTYPE, "") != NULL && strcmp(nl_langinfo(CODESET), "UTF-8") == 0)
        return;
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL && setlocale(LC_CTYPE, "en_US.UTF-8") == NULL)
        setlocale(LC_CTYPE, "");
}

struct edit *edit_new(const struct edit_ops *ops, void *arg, struct vx_err *err)
{
    struct edit *self = NULL;
    HistEvent event;
    struct termios before;

    if (tcgetattr(STDIN_FILENO, &before) != 0 || !isatty(STDOUT_FILENO)) {
        vx_err_set(err, VX_USAGE, 0, "standard input and output are no terminal");
        return NULL;
    }
    set_locale();
    self = vx_zalloc(sizeof *self);
    self->ops = *ops;
    self->arg = arg;
    self->before = before;
    self->el = el_init("vmatrix", stdin, stdout, stderr);
    self->history = history_init();
    if (self->el == NULL || self->history == NULL) {
        vx_err_set(err, VX_UNSUPPORTED, 0,
                   "the line editor cannot be used on this terminal (TERM is %s)",
                   getenv("TERM") != NULL ? getenv("TERM") : "not set");
        edit_free(self);
        return NULL;
    }
    history(self->history, &event, H_SETSIZE, HISTORY_MAX);
    history(self->history, &event, H_SETUNIQUE, 1);
    el_set(self->el, EL_CLIENTDATA, self);
    el_set(self->el, EL_PROMPT, prompt_of);
    el_set(self->el, EL_EDITOR, "emacs");
    el_set(self->el, EL_SIGNAL, 0);
    el_set(self->el, EL_HIST, history, self->history);
    /* Wide: narrow ones are converted, and never freed. */
    el_wset(self->el, EL_ADDFN, L"vmatrix-complete", L"Complete what stands before the cursor",
            complete_key);
    set_keys(self->el);
    el_source(self->el, NULL);
    el_wset(self->el, EL_GETCFN, read_char);
    return self;
}

void edit_free(struct edit *self)
{
    if (self == NULL)
        return;
    if (self->el != NULL)
        el_end(self->el);
    if (self->history != NULL)
        history_end(self->history);
    free(self->prompt);
    free(self);
}

enum edit_end edit_gets(struct edit *self, const char *prompt, char **line)
{
    const char *text = NULL;
    size_t len = 0;
    int count = 0;

    free(self->prompt);
    self->prompt = vx_strdup(prompt);
    self->stopped = self->hidden = false;
    self->active = true;
    memset(&self->decoder, 0, sizeof self->decoder);
    /* Before the prompt is seen, not after: what is typed at it is never taken for a line. */
    el_set(self->el, EL_PREP_TERM, 1);
    self->ahead = queued() + self->typed_end - self->typed_at;
    if (self->half_line)
        fputs("\n", stdout); /* which may have the echo in it: it stays */
    else if (self->typed_at == self->typed_end)
        take_typed(self);
    self->half_line = false;
    text = el_gets(self->el, &count);
    self->active = false;
    self->unseen = queued();
    if (self->stopped)
        self->typed_at = self->typed_end = 0;
    self->answered = text == NULL && !self->stopped;
    if (text == NULL || count <= 0 || self->stopped)
        return self->stopped || (text == NULL && count < 0) ? EDIT_STOP : EDIT_EOF;
    len = (size_t)count;
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    *line = vx_strndup(text, len);
    return EDIT_LINE;
}

void edit_remember(struct edit *self, const char *text)
{
    HistEvent event;

    history(self->history, &event, H_ENTER, text);
}

/* --- sharing the terminal ------------------------------------------------------------------- */

void edit_hide(struct edit *self)
{
    const LineInfoW *line = NULL;
    struct place at;

    if (!self->active || self->hidden)
        return;
    line = el_wline(self->el);
    at = place_of(self, line->buffer, line->cursor, screen().ws_col);
    if (is_dumb()) {
        fputs("\n", stdout);
    } else {
        if (at.row > 0)
            fprintf(stdout, "\033[%dA", at.row);
        fputs("\r\033[J", stdout);
    }
    fflush(stdout);
    self->hidden = true;
    self->half_line = false;
}

void edit_wrote(struct edit *self, bool ends_line)
{
    self->half_line = !ends_line;
}

bool edit_hidden(const struct edit *self)
{
    return self->active && self->hidden;
}

void edit_show(struct edit *self)
{
    if (!edit_hidden(self))
        return;
    if (self->half_line)
        fputs("\n", stdout);
    fflush(stdout);
    self->hidden = self->half_line = false;
    el_set(self->el, EL_REFRESH);
    fflush(stdout);
}

void edit_resize(struct edit *self)
{
    if (self->active)
        edit_hide(self);
    el_resize(self->el);
}

void edit_complete(struct edit *self, size_t drop, const char *insert, const char *listing)
{
    if (listing != NULL) {
        const LineInfoW *line = el_wline(self->el);
        int cols = screen().ws_col;
        struct place at = place_of(self, line->buffer, line->cursor, cols);
        struct place end = place_of(self, line->buffer, line->lastchar, cols);

        edit_show(self); /* something may have been written meanwhile */
        for (int row = at.row; row <= end.row; row++)
            fputs("\n", stdout);
        fputs("\r", stdout);
        fputs(listing, stdout);
        self->hidden = true;
        edit_show(self);
    }
    if (drop > 0) {
        /* libedit counts characters. */
        const LineInfo *line = el_line(self->el);
        size_t there = (size_t)(line->cursor - line->buffer);
        int count = 0;

        for (const char *at = line->cursor - (drop < there ? drop : there); at < line->cursor;
             at++)
            count += ((unsigned char)*at & 0xC0) != 0x80;
        el_deletestr(self->el, count);
    }
    if (insert[0] != '\0')
        el_insertstr(self->el, insert);
}

void edit_restore(const struct edit *self)
{
    if (self->active)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &self->before);
}

void edit_leave(struct edit *self)
{
    edit_hide(self);
    if (self->active)
        el_set(self->el, EL_PREP_TERM, 0);
}

void edit_again(struct edit *self)
{
    if (!self->active)
        return;
    /* libedit does nothing for a mode that it believes to be set. */
    el_set(self->el, EL_PREP_TERM, 0);
    el_set(self->el, EL_PREP_TERM, 1);
    self->hidden = true;
    self->half_line = false;
}
