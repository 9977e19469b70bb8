#include "send/intake.h"

#include "message/fixup.h"
#include "message/mailboxes.h"
#include "smtp/dots.h"

#include <errno.h>
#include <stdio.h>

#define GATHERED_MAX ((size_t)16 * 1024) /* octets of lines before they go on */

/* What a field is for. */
enum role { ROLE_NONE, ROLE_TO, ROLE_FROM, ROLE_SENDER };

/* The fields of a message that is sent again stand on top of the ones it was first sent with. */
enum block { BLOCK_FIRST, BLOCK_RESENT, BLOCK_COUNT };

/* The address of a From or Sender field. */
struct author {
    char address[SMTP_PATH_MAX + 1]; /* the first */
    int count;
};

struct intake {
    struct intake_config cfg;
    struct send_text *text;
    struct recipients *to;
    struct intake_facts facts;
    struct fixup *fixup;
    char why[INTAKE_WHY_MAX];

    /* line ends */
    struct buf lines; /* ready to go on */
    size_t crs;       /* held back: what follows tells what they are */
    bool line_start;  /* behind a LF, or at the very beginning */
    bool dot;         /* held back at the start of a line */
    bool in_line;     /* the last line has no end yet */
    size_t line; /* number of the one being read; below the header CRs count, too: they end lines */

    /* body, as it goes on */
    bool in_body;
    size_t body_lines; /* complete ones */
    size_t column;

    /* header */
    char name[32]; /* of the field being read */
    enum role role;
    enum block block;
    struct buf field;
    bool field_too_long;
    bool resent, resent_over; /* the newest block was seen, and is over */
    struct author from[BLOCK_COUNT], sender[BLOCK_COUNT];
    struct recipients named[BLOCK_COUNT];
    int field_error; /* of the first destination field that cannot be read */
};

/* ---- the header ---- */

static int take_author(void *arg, struct str address)
{
    struct author *a = arg;
    if (a->count++ == 0 && address.len <= SMTP_PATH_MAX) {
        memcpy(a->address, address.p, address.len);
        a->address[address.len] = '\0';
    }
    return 0;
}

static void destination_trouble(struct intake *in, int error)
{
    if (in->field_error)
        return;
    in->field_error = error;
    if (error == -E2BIG || in->field_too_long)
        (void)snprintf(in->why, sizeof(in->why), "the field %s names too many recipients",
                       in->name);
    else
        (void)snprintf(in->why, sizeof(in->why),
                       "the field %s is no list of addresses; write \"Bob <bob@example.org>, "
                       "carol@example.org\"",
                       in->name);
}

/* The field being read is complete. */
static void end_field(struct intake *in)
{
    struct str body = buf_str(&in->field);
    int r = 0;
    if (in->role == ROLE_TO)
        r = in->field_too_long ? -E2BIG : recipients_read(&in->named[in->block], body);
    if (r < 0)
        destination_trouble(in, r);
    struct author *author = in->role == ROLE_FROM     ? &in->from[in->block]
                            : in->role == ROLE_SENDER ? &in->sender[in->block]
                                                      : NULL;
    if (author && mailboxes_each_unqualified(body, take_author, author) < 0)
        *author = (struct author){0}; /* not readable is as good as not there */
    in->role = ROLE_NONE;
    in->field_too_long = false;
    buf_clear(&in->field);
}

static enum role role_of(struct str name)
{
    static const struct {
        const char *name;
        enum role role;
    } roles[] = {
        {"To",     ROLE_TO    },
        {"Cc",     ROLE_TO    },
        {"Bcc",    ROLE_TO    },
        {"From",   ROLE_FROM  },
        {"Sender", ROLE_SENDER},
    };
    for (size_t i = 0; i < ARRAY_LEN(roles); i++)
        if (str_eq_nocase(name, str_of(roles[i].name)))
            return roles[i].role;
    return ROLE_NONE;
}

static void begin_field(struct intake *in, struct str name)
{
    static const struct str again = {"Resent-", 7};
    bool resent = str_starts_nocase(name, again);
    if (in->resent && !resent)
        in->resent_over = true;
    bool older = resent && in->resent_over;
    in->resent = in->resent || resent;
    in->block = resent ? BLOCK_RESENT : BLOCK_FIRST;
    in->role = older ? ROLE_NONE : role_of(resent ? str_from(name, again.len) : name);
    if (in->role == ROLE_TO && !in->cfg.take_recipients)
        in->role = ROLE_NONE;
    (void)snprintf(in->name, sizeof(in->name), "%.*s", STR_FMT(str_upto(name, 31)));
}

static void on_field(void *arg, struct str name, struct str piece)
{
    struct intake *in = arg;
    if (name.len) {
        end_field(in);
        begin_field(in, name);
    } else if (in->role != ROLE_NONE && buf_append_str(&in->field, piece) < 0) {
        in->field_too_long = true;
    }
}

static int on_names(void *arg, const struct fixup_names *names, struct buf *add)
{
    struct intake *in = arg;
    end_field(in);
    if (names->n_from > 0 || !in->cfg.from)
        return 0;
    return buf_printf(add, "From: %s\r\n", in->cfg.from);
}

/* The line being read is the first of the body; it may be the empty one. */
static void begin_body(struct intake *in)
{
    in->in_body = true;
    in->facts.body_at = in->text->size;
    in->facts.body_line = in->line;
}

/* Every CR and LF here is part of a line end. */
static void measure_lines(struct intake *in, struct str s)
{
    while (s.len) {
        ssize_t lf = str_find(s, '\n');
        size_t len = lf < 0 ? s.len : (size_t)lf;
        in->column += len - (len > 0 && s.p[len - 1] == '\r');
        if (in->column > DOTS_LINE_MAX && !in->facts.long_line)
            in->facts.long_line = in->facts.body_line + in->body_lines;
        if (lf >= 0) {
            in->body_lines++;
            in->column = 0;
        }
        s = str_from(s, len + 1);
    }
}

static int on_text(void *arg, const char *data, size_t len)
{
    struct intake *in = arg;
    if (!in->in_body && fixup_facts(in->fixup)->header_done)
        begin_body(in);
    if (in->in_body)
        measure_lines(in, (struct str){data, len});
    return send_text_append(in->text, data, len);
}

/* ---- line ends ---- */

static int pass_on(struct intake *in)
{
    int r = fixup_write(in->fixup, in->lines.data, in->lines.len);
    buf_clear(&in->lines);
    return r;
}

static int put(struct intake *in, struct str s)
{
    while (s.len > 0) {
        struct str piece = str_upto(s, GATHERED_MAX - in->lines.len);
        int r = buf_append_str(&in->lines, piece);
        if (r == 0 && in->lines.len == GATHERED_MAX)
            r = pass_on(in);
        if (r < 0)
            return r;
        s = str_from(s, piece.len);
    }
    return 0;
}

/* A line of the header goes on at once: whether the next one belongs to it must be known when that is read. */
static int end_line(struct intake *in)
{
    in->in_line = false;
    int r = put(in, STR("\r\n"));
    if (r == 0 && !in->in_body)
        r = pass_on(in);
    in->line++;
    return r;
}

/* CRs that end no line.  Where they stand is known only once all in front of them has gone on. */
static int put_bare_crs(struct intake *in)
{
    int r = pass_on(in);
    bool header = !fixup_facts(in->fixup)->header_done;
    for (; r == 0 && in->crs > 0; in->crs--)
        r = header ? put(in, STR(" ")) : end_line(in);
    in->in_line = true;
    return r;
}

/* How many octets go on as they are. */
static size_t plain_len(struct str s)
{
    size_t n = 0;
    while (n < s.len && s.p[n] != '\r' && s.p[n] != '\n')
        n++;
    return n;
}

static int take_lf(struct intake *in)
{
    in->crs = 0;
    in->line_start = true;
    if (in->dot) {
        in->facts.ended = true;
        return 0;
    }
    return end_line(in);
}

/* Takes octets off the front of `s`, which is not empty. */
static int take(struct intake *in, struct str *s)
{
    char c = s->p[0];
    if (c == '\r' || c == '\n') {
        *s = str_from(*s, 1);
        in->crs += c == '\r';
        return c == '\n' ? take_lf(in) : 0;
    }
    if (in->line_start && !in->crs && !in->dot && c == '.' && in->cfg.dot_ends) {
        *s = str_from(*s, 1);
        in->dot = true;
        return 0;
    }
    int r = in->dot ? put(in, STR(".")) : 0;
    if (r == 0 && in->crs)
        r = put_bare_crs(in);
    in->dot = in->line_start = false;
    in->in_line = true;
    size_t n = plain_len(*s);
    if (r == 0)
        r = put(in, str_upto(*s, n));
    *s = str_from(*s, n);
    return r;
}

int intake_write(struct intake *in, const char *data, size_t len)
{
    struct str s = {data, len};
    int r = 0;
    while (r == 0 && s.len > 0 && !in->facts.ended)
        r = take(in, &s);
    return r;
}

/* ---- the whole ---- */

/* [rfc5322 3.6.2] Who is responsible for the message being here. */
static void choose_sender(struct intake *in)
{
    enum block b = in->resent ? BLOCK_RESENT : BLOCK_FIRST;
    const struct author *from = &in->from[b], *sender = &in->sender[b];
    bool by_sender = sender->count == 1 && (in->resent || from->count != 1);
    (void)snprintf(in->facts.sender, sizeof(in->facts.sender), "%s",
                   by_sender ? sender->address : from->address);
}

static int hand_over_recipients(struct intake *in)
{
    const struct recipients *named = &in->named[in->resent ? BLOCK_RESENT : BLOCK_FIRST];
    for (size_t i = 0; i < named->n; i++) {
        int r = recipients_add(in->to, str_of(named->list[i]));
        if (r == -E2BIG)
            (void)snprintf(in->why, sizeof(in->why), "the message has too many recipients");
        if (r < 0)
            return r;
    }
    return 0;
}

/* The message may end in the middle of a line. */
static int end_text(struct intake *in)
{
    int r = in->crs || in->in_line ? end_line(in) : 0;
    if (r == 0)
        r = pass_on(in);
    return r < 0 ? r : fixup_finish(in->fixup);
}

int intake_finish(struct intake *in)
{
    in->facts.ended = in->facts.ended || in->dot;
    int r = in->facts.ended ? pass_on(in) : end_text(in);
    if (r == 0 && in->facts.ended)
        r = fixup_finish(in->fixup);
    if (r < 0)
        return r;
    const struct fixup_facts *f = fixup_facts(in->fixup);
    in->facts.header_is_8bit = f->header_is_8bit;
    in->facts.body_is_8bit = f->body_is_8bit;
    choose_sender(in);
    if (!in->in_body)
        begin_body(in);
    if (in->field_error)
        return in->field_error;
    return hand_over_recipients(in);
}

struct intake *
intake_new(const struct intake_config *cfg, struct send_text *text, struct recipients *to)
{
    struct intake *in = xcalloc(1, sizeof(*in));
    in->cfg = *cfg;
    in->text = text;
    in->to = to;
    in->line_start = true;
    in->line = 1;
    buf_init(&in->lines, GATHERED_MAX);
    buf_init(&in->field, INTAKE_FIELD_MAX);
    for (size_t b = 0; b < BLOCK_COUNT; b++)
        recipients_init(&in->named[b]);
    struct fixup_config fix = {
        .add_date = true,
        .add_message_id = true,
        .remove_bcc = true,
        .hostname = cfg->hostname,
        .queue_id = cfg->id,
        .now_ms = cfg->now_ms,
        .on_names = on_names,
        .on_field = on_field,
    };
    in->fixup = fixup_new(&fix, on_text, in);
    return in;
}

void intake_free(struct intake *in)
{
    if (!in)
        return;
    fixup_free(in->fixup);
    buf_done(&in->lines);
    buf_done(&in->field);
    for (size_t b = 0; b < BLOCK_COUNT; b++)
        recipients_done(&in->named[b]);
    free(in);
}

const struct intake_facts *intake_facts(const struct intake *in)
{
    return &in->facts;
}

const char *intake_why(const struct intake *in)
{
    return in->why;
}
