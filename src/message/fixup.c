#include "message/fixup.h"

#include "message/received.h"

#include <errno.h>

/* What must hold:
 *
 *   F1  What comes out does not depend on the pieces the input came in.
 *   F2  At most HELD_MAX octets are kept back; a copy of the names on the message is kept besides.
 *   F3  With nothing to remove and nothing to add, what comes out is what came in.
 *
 *                     +------- line end -------+
 *                     v                        |
 *   LINE_START -> NAME -> NAME_END -> FIELD ---+     a field, or one more line of it
 *       |          |         |
 *       |          |         +-> MBOX -> LINE_START  "From user Thu Oct  1 ..." on top
 *       |          +---------+-> BODY                not a field: the header ended without an empty
 * line
 *       +-> EMPTY -> BODY                            the empty line
 */
enum state { LINE_START, EMPTY, NAME, NAME_END, MBOX, FIELD, BODY };

/* The longest line of RFC 5322 2.1.1, its CRLF included.  A longer "name" is none, a longer Date or
 * Message-ID is not judged. */
#define HELD_MAX 1000

enum action { PASS, DROP, HOLD };

enum kind {
    KIND_OTHER,
    KIND_RETURN_PATH,
    KIND_BCC,
    KIND_RECEIVED,
    KIND_FROM,
    KIND_SENDER,
    KIND_DATE,
    KIND_MESSAGE_ID,
    KIND_TLS_REQUIRED
};

struct fixup {
    struct fixup_config cfg;
    fixup_out_fn *out;
    void *arg;
    int error; /* the first one; the filter is then dead */
    struct fixup_facts facts;
    enum state state;
    enum action action; /* of the field we are in */
    enum kind kind;
    bool past_first_line;
    bool in_field;   /* a line that begins with a space belongs to a field */
    bool after_cr;   /* FIELD: the last octet was a CR */
    struct buf held; /* the line, or with HOLD the field, as far as it came */
    size_t name_len; /* of the field name in held */
    struct buf from, sender; /* bodies, when somebody asks */
    struct fixup_names names;
    struct buf own_fields; /* what the owner adds */
    unsigned seen;         /* set of those known below */
    bool asked;
};

struct fixup *fixup_new(const struct fixup_config *cfg, fixup_out_fn *out, void *arg)
{
    struct fixup *f = xcalloc(1, sizeof(*f));
    f->cfg = *cfg;
    f->out = out;
    f->arg = arg;
    buf_init(&f->held, HELD_MAX);
    buf_init(&f->from, FIXUP_NAMES_MAX);
    buf_init(&f->sender, FIXUP_NAMES_MAX);
    buf_init(&f->own_fields, (size_t)2 * FIXUP_NAMES_MAX);
    return f;
}

void fixup_free(struct fixup *f)
{
    if (!f)
        return;
    buf_done(&f->held);
    buf_done(&f->from);
    buf_done(&f->sender);
    buf_done(&f->own_fields);
    free(f);
}

const struct fixup_facts *fixup_facts(const struct fixup *f)
{
    return &f->facts;
}

static int emit(struct fixup *f, struct str s)
{
    bool *eight_bit = f->facts.header_done ? &f->facts.body_is_8bit : &f->facts.header_is_8bit;
    if (s.len == 0)
        return 0;
    *eight_bit = *eight_bit || !str_is_ascii(s); /* looked at only until the first one */
    return f->out(f->arg, s.p, s.len);
}

static int emit_held(struct fixup *f)
{
    int r = emit(f, buf_str(&f->held));
    buf_clear(&f->held);
    return r;
}

static bool is_wsp(char c)
{
    return c == ' ' || c == '\t';
}

/* ftext [rfc5322 3.6.8] */
static bool is_name_char(char c)
{
    return c > ' ' && c <= '~' && c != ':';
}

static bool wants_date(const struct fixup *f)
{
    return f->cfg.add_date && !f->facts.has_date;
}

static bool wants_message_id(const struct fixup *f)
{
    return f->cfg.add_message_id && !f->facts.has_message_id;
}

/* The owner is shown the names once, before anything is said about the end of the header. */
static int ask_owner(struct fixup *f)
{
    if (f->asked || !f->cfg.on_names)
        return 0;
    f->asked = true;
    f->names.from = buf_str(&f->from);
    f->names.sender = buf_str(&f->sender);
    return f->cfg.on_names(f->arg, &f->names, &f->own_fields);
}

static bool adds_fields(const struct fixup *f)
{
    return wants_date(f) || wants_message_id(f) || f->own_fields.len;
}

static void remember_name(struct fixup *f, struct str piece)
{
    struct buf *to = f->kind == KIND_FROM ? &f->from : f->kind == KIND_SENDER ? &f->sender : NULL;
    if (to && f->cfg.on_names && buf_append_str(to, piece) < 0)
        f->names.too_long = true;
}

static int add_fields(struct fixup *f)
{
    CLEANUP(buf_done) struct buf fields = BUF_INIT(2048);
    char date[40];
    int r = 0;
    if (wants_date(f)) {
        date_format(f->cfg.now_ms, date);
        r = buf_printf(&fields, "Date: %s\r\n", date);
    }
    if (r == 0 && wants_message_id(f))
        r = buf_printf(&fields, "Message-ID: <%llx.%s@%s>\r\n", (unsigned long long)f->cfg.now_ms,
                       f->cfg.queue_id, f->cfg.hostname);
    if (r == 0)
        r = emit(f, buf_str(&fields));
    return r < 0 ? r : emit(f, buf_str(&f->own_fields));
}

/* `gap`: there is no empty line, and what follows must not run into the fields we add. */
static int end_header(struct fixup *f, bool gap)
{
    int r = ask_owner(f);
    bool adds = adds_fields(f);
    if (r == 0)
        r = add_fields(f);
    if (r == 0 && gap && adds)
        r = emit(f, STR("\r\n"));
    f->facts.header_done = true;
    f->state = BODY;
    return r;
}

/* The line held is no header field: it is the first of the body. */
static int begin_body(struct fixup *f)
{
    int r = end_header(f, true);
    return r < 0 ? r : emit_held(f);
}

/* "<left@right>" is there.  Comments, and the finer points of the grammar, do not make it
 * malformed: a replaced identifier breaks threads and signatures. */
static bool has_message_id(struct str body)
{
    ssize_t open = str_find(body, '<'), close = str_find(body, '>');
    if (open < 0 || close < open)
        return false;
    struct str id = str_upto(str_from(body, (size_t)open + 1), (size_t)(close - open - 1));
    ssize_t at = str_find(id, '@');
    return at > 0 && (size_t)at + 1 < id.len && !str_has_control(id) && str_find(id, ' ') < 0;
}

static bool is_blank(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!strchr(" \t\r\n", s.p[i]) || s.p[i] == '\0')
            return false;
    return true;
}

/* The one value TLS-Required has [rfc8689 3]. */
static bool is_no(struct str body)
{
    while (body.len && is_blank(str_upto(body, 1)))
        body = str_from(body, 1);
    while (body.len && is_blank(str_from(body, body.len - 1)))
        body.len--;
    return str_eq_nocase(body, STR("No"));
}

static bool is_date(const struct fixup *f, struct str body)
{
    return !is_blank(body) && (!f->cfg.replace_date || date_is_valid(body));
}

/* A Date or Message-ID is complete: kept when it says something (MSG-02, MSG-03), else it counts as
 * missing. */
static int end_held_field(struct fixup *f)
{
    struct str body = str_from(buf_str(&f->held), (size_t)str_find(buf_str(&f->held), ':') + 1);
    if (f->kind == KIND_TLS_REQUIRED) {
        f->facts.tls_is_optional = f->facts.tls_is_optional || is_no(body);
        f->action = PASS;
        return emit_held(f);
    }
    bool good = f->kind == KIND_DATE ? is_date(f, body) : has_message_id(body);
    bool *fact = f->kind == KIND_DATE ? &f->facts.has_date : &f->facts.has_message_id;
    f->action = PASS;
    if (!good) {
        buf_clear(&f->held);
        return 0;
    }
    *fact = true;
    return emit_held(f);
}

static const struct {
    const char *name;
    enum kind kind;
    bool is_single; /* [rfc5322 3.6] at most one of them */
} known[] = {
    {"Return-Path",  KIND_RETURN_PATH,  false},
    {"Bcc",          KIND_BCC,          true },
    {"Resent-Bcc",   KIND_BCC,          false},
    {"Received",     KIND_RECEIVED,     false},
    {"From",         KIND_FROM,         true },
    {"Sender",       KIND_SENDER,       true },
    {"Date",         KIND_DATE,         true },
    {"Message-ID",   KIND_MESSAGE_ID,   true },
    {"TLS-Required", KIND_TLS_REQUIRED, false},
    {"Subject",      KIND_OTHER,        true },
    {"To",           KIND_OTHER,        true },
    {"Cc",           KIND_OTHER,        true },
    {"Reply-To",     KIND_OTHER,        true },
    {"In-Reply-To",  KIND_OTHER,        true },
    {"References",   KIND_OTHER,        true },
};

/* What the field is; notes one that comes again and may not (MSG-05). */
static enum kind recognise(struct fixup *f, struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (!str_eq_nocase(name, str_of(known[i].name)))
            continue;
        if (known[i].is_single && f->seen & 1U << i && !f->facts.repeated)
            f->facts.repeated = known[i].name;
        f->seen |= 1U << i;
        return known[i].kind;
    }
    return KIND_OTHER;
}

/* What to do with a field of this kind, and what it tells. */
static enum action judge_field(struct fixup *f, enum kind kind)
{
    switch (kind) {
    case KIND_RETURN_PATH:
        return DROP;
    case KIND_BCC:
        return f->cfg.remove_bcc ? DROP : PASS;
    case KIND_RECEIVED:
        f->facts.received++;
        return PASS;
    case KIND_FROM:
        f->facts.has_from = true;
        f->names.n_from++;
        return PASS;
    case KIND_SENDER:
        f->names.n_sender++;
        return f->cfg.on_names && f->cfg.take_sender ? DROP : PASS;
    case KIND_DATE:
        if (wants_date(f))
            return HOLD;
        f->facts.has_date = true;
        return PASS;
    case KIND_MESSAGE_ID:
        if (wants_message_id(f))
            return HOLD;
        f->facts.has_message_id = true;
        return PASS;
    case KIND_TLS_REQUIRED:
        return HOLD;
    case KIND_OTHER:
        break;
    }
    return PASS;
}

/* The colon is held: a field it is. */
static int begin_field(struct fixup *f)
{
    struct str name = str_upto(buf_str(&f->held), f->name_len);
    if (f->cfg.on_field)
        f->cfg.on_field(f->arg, name, STR(""));
    f->kind = recognise(f, name);
    f->action = judge_field(f, f->kind);
    f->state = FIELD;
    f->in_field = true;
    f->after_cr = false;
    f->past_first_line = true;
    if (f->action == PASS)
        return emit_held(f);
    if (f->action == DROP)
        buf_clear(&f->held);
    return 0;
}

/* Every step_ takes octets off the front of `in`, which is not empty, and returns how many, or
 * -errno. It takes none only if it changed the state. */

static ssize_t step_line_start(struct fixup *f, struct str in)
{
    if (is_wsp(in.p[0]) && f->in_field) {
        f->state = FIELD;
        return 0;
    }
    int r = f->in_field && f->action == HOLD ? end_held_field(f) : 0;
    f->state = in.p[0] == '\r' ? EMPTY : NAME;
    return r;
}

static ssize_t step_empty(struct fixup *f, struct str in)
{
    int r;
    if (f->held.len == 0) {
        r = buf_append(&f->held, in.p, 1);
        return r < 0 ? r : 1;
    }
    if (in.p[0] != '\n')
        return begin_body(f);
    r = end_header(f, false);
    return r < 0 ? r : emit_held(f);
}

/* Holds the octet that decides nothing yet; a line that grows too long is no field (F2). */
static ssize_t hold_one(struct fixup *f, struct str in)
{
    return buf_append(&f->held, in.p, 1) == 0 ? 1 : begin_body(f);
}

static ssize_t step_name(struct fixup *f, struct str in)
{
    char c = in.p[0];
    if (is_name_char(c))
        return hold_one(f, in);
    if (f->held.len == 0 || (c != ':' && !is_wsp(c)))
        return begin_body(f);
    f->name_len = f->held.len;
    f->state = NAME_END;
    return 0;
}

/* "Date :" is obsolete syntax [rfc5322 4.5], and in use. */
static ssize_t step_name_end(struct fixup *f, struct str in)
{
    if (is_wsp(in.p[0]))
        return hold_one(f, in);
    if (in.p[0] == ':') {
        ssize_t n = hold_one(f, in);
        if (n <= 0)
            return n;
        int r = begin_field(f);
        return r < 0 ? r : n;
    }
    if (f->past_first_line || !str_eq(str_upto(buf_str(&f->held), f->name_len), STR("From")))
        return begin_body(f);
    f->state = MBOX;
    return 0;
}

/* "From user@example.org Thu Oct  1 12:00:00 2026": some programs leave the separator of a mailbox
 * file on top of what they submit.  It is envelope, not message, and in its place it would end the
 * header. */
static bool is_mbox_line(struct str line)
{
    static const char days[][5] = {"Mon ", "Tue ", "Wed ", "Thu ", "Fri ", "Sat ", "Sun "};
    struct str rest = str_from(line, strlen("From "));
    ssize_t space = str_find(rest, ' ');
    if (space <= 0)
        return false;
    rest = str_trim(str_from(rest, (size_t)space));
    for (size_t i = 0; i < ARRAY_LEN(days); i++)
        if (str_starts_nocase(rest, str_of(days[i])))
            return true;
    return false;
}

static ssize_t step_mbox(struct fixup *f, struct str in)
{
    ssize_t n = hold_one(f, in);
    if (n <= 0 || in.p[0] != '\n')
        return n;
    if (!is_mbox_line(buf_str(&f->held))) {
        int r = begin_body(f);
        return r < 0 ? r : n;
    }
    buf_clear(&f->held);
    f->past_first_line = true;
    f->state = LINE_START;
    return n;
}

/* Octets up to the end of the line, CRLF included, or all. */
static size_t line_piece(struct fixup *f, struct str in, bool *ret_ends)
{
    size_t n = 0;
    *ret_ends = false;
    while (n < in.len && !*ret_ends) {
        ssize_t lf = str_find(str_from(in, n), '\n');
        if (lf < 0) {
            f->after_cr = in.p[in.len - 1] == '\r';
            return in.len;
        }
        size_t at = n + (size_t)lf;
        *ret_ends = at > 0 ? in.p[at - 1] == '\r' : f->after_cr;
        n = at + 1;
        f->after_cr = false;
    }
    return n;
}

static int pass_piece(struct fixup *f, struct str piece)
{
    if (f->cfg.on_field)
        f->cfg.on_field(f->arg, STR(""), piece);
    remember_name(f, piece);
    if (f->action == DROP)
        return 0;
    if (f->action == HOLD) {
        if (buf_append_str(&f->held, piece) == 0)
            return 0;
        /* Too long to judge: it stays as it is, and counts (F2). */
        f->action = PASS;
        *(f->kind == KIND_DATE ? &f->facts.has_date : &f->facts.has_message_id) = true;
        int r = emit_held(f);
        if (r < 0)
            return r;
    }
    return emit(f, piece);
}

static ssize_t step_field(struct fixup *f, struct str in)
{
    bool ends;
    size_t n = line_piece(f, in, &ends);
    if (ends)
        f->state = LINE_START;
    int r = pass_piece(f, str_upto(in, n));
    return r < 0 ? r : (ssize_t)n;
}

static ssize_t step_body(struct fixup *f, struct str in)
{
    int r = emit(f, in);
    return r < 0 ? r : (ssize_t)in.len;
}

int fixup_write(struct fixup *f, const char *data, size_t len)
{
    static ssize_t (*const steps[])(struct fixup *, struct str) = {
        [LINE_START] = step_line_start,
        [EMPTY] = step_empty,
        [NAME] = step_name,
        [NAME_END] = step_name_end,
        [MBOX] = step_mbox,
        [FIELD] = step_field,
        [BODY] = step_body,
    };
    struct str in = {data, len};
    while (in.len > 0 && f->error == 0) {
        ssize_t n = steps[f->state](f, in);
        if (n < 0)
            f->error = (int)n;
        else
            in = str_from(in, (size_t)n);
    }
    return f->error;
}

/* The message ends inside a line of the header: the line is a field and gets its end if others
 * follow. */
static int finish_field(struct fixup *f)
{
    bool open = f->action != DROP;
    if (f->action == HOLD) {
        int e = end_held_field(f);
        if (e < 0)
            return e;
        open = f->kind == KIND_DATE ? f->facts.has_date : f->facts.has_message_id;
    }
    int r = ask_owner(f);
    if (r < 0)
        return r;
    if (open && adds_fields(f))
        return emit(f, f->after_cr ? STR("\n") : STR("\r\n"));
    return 0;
}

static int finish(struct fixup *f)
{
    if (f->state == BODY)
        return 0;
    if (f->state != LINE_START && f->state != FIELD)
        return begin_body(f);
    int r = 0;
    if (f->state == FIELD)
        r = finish_field(f);
    else if (f->in_field && f->action == HOLD)
        r = end_held_field(f);
    return r < 0 ? r : end_header(f, !f->in_field);
}

int fixup_finish(struct fixup *f)
{
    if (f->error == 0)
        f->error = finish(f);
    return f->error;
}
