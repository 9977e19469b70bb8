/* Runs the conversations in tests/dialog/client/ (its README says how to read them), and what does not fit there. */
#include "unit.h"

#include "smtp/client.h"

#include <errno.h>
#include <stdio.h>

/* ---- messages the driver may send ---- */

static const struct smtp_client_recipient one[] = {{.address = "bob@example.net"}};
static const struct smtp_client_recipient two[] = {{.address = "bob@example.net"},
                                                   {.address = "eve@example.org"}};
static const struct smtp_client_recipient three[] = {
    {.address = "a@x.example"}, {.address = "b@y.example"}, {.address = "c@x.example"}};
static const struct smtp_client_recipient noted[] = {
    {.address = "bob@example.net",
     .orcpt = "rfc822;bob@example.net",
     .notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY}
};
static const struct smtp_client_recipient evil[] = {{.address = "bob@example.net>\r\nRSET"}};
static const struct smtp_client_recipient spaced[] = {{.address = "bob@example.net> NOTIFY=NEVER"}};
/* SMTP-13: a local part of 64 and a domain of 255. */
#define A16 "aaaaaaaaaaaaaaaa"
#define LABEL A16 A16 A16 "bbbbbbbbbbbbbbb."
#define LONGEST A16 A16 A16 A16 "@" LABEL LABEL LABEL A16 A16 A16 "ccccccccccc.org"
_Static_assert(sizeof(LONGEST) - 1 == 64 + 1 + 255, "both at their maximum");
static const struct smtp_client_recipient longest[] = {{.address = LONGEST}};
static const struct smtp_client_recipient utf8[] = {{.address = "b\xc3\xb6@example.net"}};

#define TO(list) .recipients = (list), .n_recipients = ARRAY_LEN(list)

static const struct {
    const char *name, *text;
    struct smtp_client_message m;
} messages[] = {
    {"plain",        "Hi\r\n.dot\r\n", {.reverse_path = "ann@example.org", .size = 10, TO(one)}                                     },
    {"two",          "Hi\r\n",         {.reverse_path = "ann@example.org", .size = 4, TO(two)}                                      },
    {"three",        "Hi\r\n",         {.reverse_path = "ann@example.org", .size = 4, TO(three)}                                    },
    {"unsized",      "Hi\r\n",         {.reverse_path = "ann@example.org", .size = -1, TO(one)}                                     },
    {"large",        "Hi\r\n",         {.reverse_path = "ann@example.org", .size = 100000, TO(one)}                                 },
    {"bounce",       "Hi\r\n",         {.reverse_path = "", .size = 4, TO(one)}                                                     },
    {"bare",         "Hi\nthere\r\n",  {.reverse_path = "", .size = 10, TO(one)}                                                    },
    {"full",
     "Hi\r\n",                         {.reverse_path = "ann@example.org",
      .auth = "ann+x@example.org",
      .envid = "id+2B1",
      .ret = 'H',
      .body = SMTP_BODY_8BITMIME,
      .size = 4,
      TO(noted)}                                                                                                      },
    {"unattributed", "Hi\r\n",         {.reverse_path = "a@b.example", .auth = "<>", .size = 4, TO(one)}                            },
    {"8bit",         "Hi\r\n",         {.reverse_path = "", .body = SMTP_BODY_8BITMIME, .size = 4, TO(one)}                         },
    {"binary",       "a\nb",           {.reverse_path = "", .body = SMTP_BODY_BINARYMIME, .size = 3, TO(one)}                       },
    {"utf8",         "Hi\r\n",         {.reverse_path = "", .smtputf8 = true, .size = 4, TO(utf8)}                                  },
    {"tls",          "Hi\r\n",         {.reverse_path = "", .requiretls = true, .size = 4, TO(one)}                                 },
    {"hold",         "Hi\r\n",         {.reverse_path = "", .hold_for = 3600, .size = 4, TO(one)}                                   },
    {"hold until",
     "Hi\r\n",                         {.reverse_path = "", .hold_until = "2030-01-01T08:00:00Z", .size = 4, TO(one)}               },
    {"hold twice",
     "Hi\r\n",                         {.reverse_path = "", .hold_for = 1, .hold_until = "2030-01-01T08:00:00Z", .size = 4, TO(one)}},
    {"hold split",
     "Hi\r\n",                         {.reverse_path = "", .hold_until = "2030-01-01T08:00:00Z X", .size = 4, TO(one)}             },
    {"return by",
     "Hi\r\n",                         {.reverse_path = "", .deliver_by = {120, 'R', true}, .size = 4, TO(one)}                     },
    {"return late",
     "Hi\r\n",                         {.reverse_path = "", .deliver_by = {0, 'R', false}, .size = 4, TO(one)}                      },
    {"tell by",      "Hi\r\n",         {.reverse_path = "", .deliver_by = {-5, 'N', false}, .size = 4, TO(one)}                     },
    {"urgent",       "Hi\r\n",         {.reverse_path = "", .priority = 9, .size = 4, TO(one)}                                      },
    {"idle",         "Hi\r\n",         {.reverse_path = "", .priority = -3, .size = 4, TO(one)}                                     },
    {"beyond",       "Hi\r\n",         {.reverse_path = "", .priority = 10, .size = 4, TO(one)}                                     },
    {"only urgent",
     "Hi\r\n",                         {.reverse_path = "",
      .priority = 9,
      .required = SMTP_SET(SMTP_EXT_MT_PRIORITY) | SMTP_SET(SMTP_EXT_DSN),
      .size = 4,
      TO(one)}                                                                                                        },
    {"evil",         "Hi\r\n",         {.reverse_path = "", .size = 4, TO(evil)}                                                    },
    {"spaced",       "Hi\r\n",         {.reverse_path = "", .size = 4, TO(spaced)}                                                  },
    {"hidden utf8",  "Hi\r\n",         {.reverse_path = "", .size = 4, TO(utf8)}                                                    },
    {"longest",      "Hi\r\n",         {.reverse_path = LONGEST, .size = 4, TO(longest)}                                            },
};

/* ---- the driver ---- */

struct driver {
    const char *row;
    struct smtp_client *client;
    struct buf in, out, got;
    size_t piece;
    const char *text;
    size_t outcomes, wanted;
    bool finished, ended, again;
    bool no_exporter, no_end_point, proved;
    char trace[2000];
};

static void note(struct driver *d, const char *fmt, ...) PRINTF(2, 3);

/* What is in `out` becomes C lines; octets without a line end make a line of their own. */
static void flush(struct driver *d)
{
    struct str rest = buf_str(&d->out);
    while (rest.len) {
        ssize_t lf = str_find(rest, '\n');
        struct str line = str_upto(rest, lf < 0 ? rest.len : (size_t)lf + 1);
        rest = str_from(rest, line.len);
        while (line.len && (line.p[line.len - 1] == '\n' || line.p[line.len - 1] == '\r'))
            line.len--;
        assert_int_equal(buf_printf(&d->got, "C: %.*s\n", STR_FMT(line)), 0);
    }
    buf_clear(&d->out);
}

static void note(struct driver *d, const char *fmt, ...)
{
    flush(d);
    va_list ap;
    va_start(ap, fmt);
    assert_int_equal(buf_puts(&d->got, "E: "), 0);
    assert_int_equal(buf_vprintf(&d->got, fmt, ap), 0);
    assert_int_equal(buf_puts(&d->got, "\n"), 0);
    va_end(ap);
}

static void on_start_tls(void *ctx)
{
    note(ctx, "starttls");
}

static void on_ready(void *ctx)
{
    note(ctx, "ready");
}

static void on_text(void *ctx, uint64_t offset)
{
    note(ctx, "text %d", (int)offset);
}

static const char *line_of(const char *text)
{
    static char line[600];
    (void)snprintf(line, sizeof(line), "%s", text);
    for (char *p = line; *p; p++)
        if (*p == '\n')
            *p = '/';
    return line;
}

static void note_outcome(struct driver *d, const char *what, const struct smtp_outcome *o)
{
    note(d, "%s %s%d %s%s%s [%s]", what, o->ours ? "(ours) " : "", o->code, o->enhanced,
         *o->enhanced ? " " : "", line_of(o->text), smtp_stage_name(o->stage));
}

static void on_recipient(void *ctx, size_t i, const struct smtp_outcome *o)
{
    struct driver *d = ctx;
    char what[32];
    (void)snprintf(what, sizeof(what), "rcpt %zu", i);
    note_outcome(d, what, o);
    d->outcomes++;
    check(d->row, d->outcomes <= d->wanted);
}

static void on_finished(void *ctx)
{
    struct driver *d = ctx;
    check(d->row, d->outcomes == d->wanted);
    note(d, "finished");
}

static void on_ended(void *ctx, enum smtp_client_end end, const struct smtp_outcome *o)
{
    static const char *const names[] = {
        [SMTP_END_QUIT] = "quit",       [SMTP_END_REFUSED] = "refused",
        [SMTP_END_TLS] = "tls",         [SMTP_END_LOGIN] = "login",
        [SMTP_END_CLOSING] = "closing", [SMTP_END_PROTOCOL] = "protocol",
        [SMTP_END_LOST] = "lost",       [SMTP_END_AGAIN] = "again",
    };
    struct driver *d = ctx;
    char what[32];
    check(d->row, !d->ended);
    d->ended = true;
    d->again = end == SMTP_END_AGAIN;
    (void)snprintf(what, sizeof(what), "ended %s:", names[end]);
    note_outcome(d, what, o);
}

#define PASSWORD_MESSAGE "x\0secret"

/* What stands for PLAIN and SCRAM: the messages in octets, the challenges noted. */
static int on_sasl(void *ctx,
                   const struct smtp_mechanism *m,
                   const struct str *challenge,
                   struct buf *message,
                   const char **ret_why)
{
    struct driver *d = ctx;
    struct str to = challenge ? *challenge : STR("begins");
    static const char *const bindings[] = {"", " exporter", " end-point"};
    note(d, "sasl %s%s %.*s", m->name, bindings[m->binding], STR_FMT(to));
    if ((m->binding == SMTP_BINDING_EXPORTER && d->no_exporter) ||
        (m->binding == SMTP_BINDING_END_POINT && d->no_end_point))
        return -EOPNOTSUPP;
    if (challenge && str_eq(*challenge, STR("e=type"))) {
        *ret_why = "no such binding";
        return -EOPNOTSUPP;
    }
    if (challenge && str_eq(*challenge, STR("bad"))) {
        *ret_why = "that is no challenge";
        return -EINVAL;
    }
    d->proved = strcmp(m->name, "PLAIN") == 0 || (challenge && str_eq(*challenge, STR("proof")));
    if (challenge && str_eq(*challenge, STR("proof")))
        return 0;
    return buf_append_str(message, challenge ? STR("answer") : STR(PASSWORD_MESSAGE));
}

static bool on_sasl_proved(void *ctx)
{
    return ((struct driver *)ctx)->proved;
}

/* No trace ever holds what a password mechanism said. */
static void on_sent(void *ctx, struct str line)
{
    struct driver *d = ctx;
    size_t len = strlen(d->trace);
    (void)snprintf(d->trace + len, sizeof(d->trace) - len, "%.*s|", STR_FMT(line));
    check(d->row, !strstr(d->trace, "eABzZWNyZXQ=") && !strstr(d->trace, "YW5zd2Vy"));
}

static const struct smtp_client_ops ops = {
    .start_tls = on_start_tls,
    .ready = on_ready,
    .text = on_text,
    .recipient = on_recipient,
    .finished = on_finished,
    .ended = on_ended,
    .sasl = on_sasl,
    .sasl_proved = on_sasl_proved,
    .sent = on_sent,
};

static void send_message(struct driver *d, const char *name)
{
    size_t i = 0;
    while (i < ARRAY_LEN(messages) && strcmp(messages[i].name, name) != 0)
        i++;
    check(name, i < ARRAY_LEN(messages));
    struct smtp_outcome why;
    d->text = messages[i].text;
    d->outcomes = 0;
    d->wanted = messages[i].m.n_recipients;
    int r = smtp_client_send(d->client, &messages[i].m, &why);
    if (r == -ENOTSUP || r == -EINVAL)
        note_outcome(d, "cannot", &why);
    else if (r < 0)
        note(d, "send: %s", strerror(-r));
}

static void push(struct driver *d, size_t len, bool last)
{
    int r = smtp_client_text(d->client, d->text, len, last);
    if (r < 0)
        note(d, "push: %s", strerror(-r));
}

static void drive(struct driver *d, const char *action)
{
    if (strcmp(action, "secured") == 0)
        smtp_client_secured(d->client, true);
    else if (strcmp(action, "secured unverified") == 0)
        smtp_client_secured(d->client, false);
    else if (strcmp(action, "closed") == 0)
        smtp_client_closed(d->client, "closed by the peer");
    else if (strncmp(action, "send ", 5) == 0)
        send_message(d, action + 5);
    else if (strcmp(action, "text") == 0)
        push(d, strlen(d->text), true);
    else if (strcmp(action, "piece") == 0)
        push(d, strlen(d->text), false);
    else if (strcmp(action, "last") == 0)
        push(d, 0, true);
    else if (strcmp(action, "quit") == 0)
        smtp_client_quit(d->client);
    else if (strcmp(action, "lost") == 0)
        smtp_client_lost(d->client, "connection reset");
    else
        fail_msg("%s: unknown action %s", d->row, action);
}

/* ---- the conversations ---- */

static void expect_nothing(struct driver *d, const char *before)
{
    if (d->got.len)
        fail_msg("%s: before \"%s\" this happened:\n%s", d->row, before, d->got.data);
}

static struct str trimmed(struct str s)
{
    while (s.len && s.p[s.len - 1] == ' ')
        s.len--;
    return s;
}

static void expect_line(struct driver *d, const char *want)
{
    struct str got = buf_str(&d->got);
    ssize_t lf = str_find(got, '\n');
    struct str line = lf < 0 ? got : str_upto(got, (size_t)lf);
    if (!str_eq(trimmed(line), trimmed(str_of(want))))
        fail_msg("%s: wanted\n%s\nbut got\n%.*s", d->row, want, STR_FMT(got));
    buf_consume(&d->got, line.len + 1);
}

/* What the server said since the last C, D or E arrives, in pieces of d->piece octets; what the client leaves is
 * offered again with the next. */
static void deliver(struct driver *d)
{
    size_t used = 0;
    for (size_t have = 0; have < d->in.len;) {
        have = MIN(have + d->piece, d->in.len);
        used += smtp_client_feed(d->client, d->in.data + used, have - used);
        check(d->row, used <= have);
    }
    check(d->row, used == d->in.len);
    buf_clear(&d->in);
    flush(d);
}

static void run_line(struct driver *d, const char *line)
{
    if (line[0] == 'S') {
        if (d->in.len == 0)
            expect_nothing(d, line);
        assert_int_equal(buf_printf(&d->in, "%s\r\n", line + 3), 0);
        return;
    }
    deliver(d);
    if (line[0] == 'C' || line[0] == 'E') {
        expect_line(d, line);
    } else {
        check(line, line[0] == 'D');
        expect_nothing(d, line);
        drive(d, line + 3);
        flush(d);
    }
}

static void configure(struct smtp_client_config *cfg, const char *word)
{
    static const char *const tls[] = {"tls=off", "tls=opportunistic", "tls=require"};
    for (size_t i = 0; i < ARRAY_LEN(tls); i++)
        if (strcmp(word, tls[i]) == 0)
            cfg->tls = (enum smtp_client_tls)i;
    static const char *const ways[] = {"external", "implicit", "scram", "plain"};
    for (size_t i = 0; i < ARRAY_LEN(ways); i++)
        if (strncmp(word, "login=", 6) == 0 && strstr(word, ways[i]))
            cfg->login |= 1U << i;
    if (strcmp(word, "lmtp") == 0)
        cfg->lmtp = true;
    if (strncmp(word, "authzid=", 8) == 0)
        cfg->authzid = word + 8;
    if (strncmp(word, "identity=", 9) == 0)
        cfg->identity = word + 9;
    if (strncmp(word, "recipients=", 11) == 0)
        cfg->recipients_max = (unsigned)atoi(word + 11);
}

/* The next connection, after a session that ended with `again`. */
static void connect_again(struct driver *d, struct smtp_client_config *cfg)
{
    deliver(d);
    expect_nothing(d, "connect");
    check(d->row, d->again);
    cfg->login_from = smtp_client_login_next(d->client);
    smtp_client_free(d->client);
    d->ended = d->again = d->proved = false;
    d->client = smtp_client_new(cfg, &ops, d, &d->out);
}

static void run(const char *name, const char *with, char **lines, size_t piece)
{
    struct driver d = {.row = name,
                       .piece = piece,
                       .in = BUF_INIT(SMTP_REPLY_LINE),
                       .out = BUF_INIT(SMTP_CLIENT_OUTPUT),
                       .got = BUF_INIT((size_t)1 << 20)};
    struct smtp_client_config cfg = {.hostname = "me.example"};
    char *words = xstrdup(with), *save = NULL;
    for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
        configure(&cfg, word);
    d.no_exporter = strstr(with, "unbound") || strstr(with, "no-exporter");
    d.no_end_point = strstr(with, "unbound") || strstr(with, "no-end-point");
    d.client = smtp_client_new(&cfg, &ops, &d, &d.out);
    for (; *lines; lines++) {
        if (strcmp(*lines, "D: connect") == 0)
            connect_again(&d, &cfg);
        else
            run_line(&d, *lines);
    }
    deliver(&d);
    expect_nothing(&d, "the end");
    smtp_client_free(d.client);
    free(words);
    buf_done(&d.in);
    buf_done(&d.out);
    buf_done(&d.got);
}

/* SMTP-13 */
static void the_longest_addresses_are_sent(void **state)
{
    (void)state;
    struct driver d = {
        .row = "longest", .out = BUF_INIT(SMTP_CLIENT_OUTPUT), .got = BUF_INIT(1 << 20)};
    struct smtp_client_config cfg = {.hostname = "me.example"};
    d.client = smtp_client_new(&cfg, &ops, &d, &d.out);
    const char *hello = "220 hi\r\n250-srv\r\n250 PIPELINING\r\n";
    assert_int_equal(smtp_client_feed(d.client, hello, strlen(hello)), strlen(hello));
    buf_clear(&d.out);
    buf_clear(&d.got);
    send_message(&d, "longest");
    flush(&d);
    assert_string_equal(d.got.data,
                        "C: MAIL FROM:<" LONGEST ">\nC: RCPT TO:<" LONGEST ">\nC: DATA\n");
    smtp_client_free(d.client);
    buf_done(&d.out);
    buf_done(&d.got);
}

/* However the octets come, the conversation is the same. */
static void run_in_pieces(const char *name, const char *with, char **lines)
{
    static const size_t pieces[] = {SIZE_MAX / 2, 1, 2, 3, 7, 50};
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
        run(name, with, lines, pieces[i]);
}

static char *read_file(const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s.txt", DIALOGUES, name);
    FILE *f = fopen(path, "r");
    check(path, f);
    char *text = xcalloc(1 << 18, 1);
    size_t len = fread(text, 1, (1 << 18) - 1, f);
    check(path, len > 0 && feof(f));
    (void)fclose(f);
    return text;
}

#define LINES_MAX 200

static void run_file(const char *file, size_t at_least)
{
    char *text = read_file(file);
    char *lines[LINES_MAX + 1] = {NULL};
    size_t n = 0, conversations = 0;
    char *name = NULL, *save = NULL;
    const char *with = "";
    for (char *line = strtok_r(text, "\n", &save);; line = strtok_r(NULL, "\n", &save)) {
        if (!line || line[0] == '#') {
            lines[n] = NULL;
            if (name) {
                run_in_pieces(name, with, lines);
                conversations++;
            }
            name = line, with = "", n = 0;
        } else if (strncmp(line, "with ", 5) == 0) {
            with = line + 5;
        } else {
            check(line, name && n < LINES_MAX);
            lines[n++] = line;
        }
        if (!line)
            break;
    }
    free(text);
    check(file, conversations >= at_least); /* a file that is not read fails nothing by itself */
}

static void a_session_opens(void **state)
{
    (void)state;
    run_file("opening", 20);
}

static void a_login_takes_every_turn(void **state)
{
    (void)state;
    run_file("login", 35);
}

static void a_password_goes_where_it_may(void **state)
{
    (void)state;
    run_file("passwords", 36);
}

static void another_connection_goes_on(void **state)
{
    (void)state;
    run_file("again", 8);
}

static void a_message_goes_by_data(void **state)
{
    (void)state;
    run_file("data", 20);
}

static void a_message_goes_by_bdat(void **state)
{
    (void)state;
    run_file("bdat", 10);
}

static void lmtp_answers_for_each_recipient(void **state)
{
    (void)state;
    run_file("lmtp", 5);
}

static void parameters_follow_the_offer(void **state)
{
    (void)state;
    run_file("parameters", 36);
}

static void limits_split_transactions(void **state)
{
    (void)state;
    run_file("limits", 6);
}

static void a_trace_tells_no_password(void **state)
{
    (void)state;
    static const struct {
        const char *name, *said, *want;
    } rows[] = {
        {"initial response", "220 hi\r\n250-x\r\n250 AUTH PLAIN\r\n235 ok\r\n",
         "EHLO me.example|AUTH PLAIN ***|"                                                                                                              },
        {"two steps",        "220 hi\r\n250-x\r\n250 AUTH PLAIN\r\n501 no\r\n334 \r\n235 ok\r\n",
         "EHLO me.example|AUTH PLAIN ***|AUTH PLAIN|***|"                                                                                               },
        {"scram",
         "220 hi\r\n250-x\r\n250 AUTH SCRAM-SHA-256-PLUS\r\n334 c2FsdA==\r\n334 cHJvb2Y=\r\n235 "
         "ok\r\n",                                                                                "EHLO me.example|AUTH SCRAM-SHA-256-PLUS ***|***|***|"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct driver d = {
            .row = rows[i].name, .out = BUF_INIT(SMTP_CLIENT_OUTPUT), .got = BUF_INIT(1 << 20)};
        struct smtp_client_config cfg = {.hostname = "me.example", .login = SMTP_LOGIN_PASSWORD};
        d.client = smtp_client_new(&cfg, &ops, &d, &d.out);
        smtp_client_secured(d.client, true);
        assert_false(smtp_client_take_secrecy(d.client));
        assert_int_equal(smtp_client_feed(d.client, rows[i].said, strlen(rows[i].said)),
                         strlen(rows[i].said));
        assert_string_equal(d.trace, rows[i].want);
        assert_true(smtp_client_is_ready(d.client));
        assert_int_equal(smtp_client_sequence(d.client), SMTP_SEQUENCE_PASSWORD);
        assert_true(smtp_client_take_secrecy(d.client));
        assert_false(smtp_client_take_secrecy(d.client));
        smtp_client_free(d.client);
        buf_done(&d.out);
        buf_done(&d.got);
    }
}

static void the_ways_have_words(void **state)
{
    (void)state;
    char words[SMTP_LOGIN_WORDS_MAX];
    assert_string_equal(smtp_login_words(0, words), "");
    assert_string_equal(smtp_login_words(SMTP_LOGIN_PLAIN, words), "PLAIN");
    assert_string_equal(smtp_login_words(SMTP_LOGIN_CERTIFICATE | SMTP_LOGIN_PASSWORD, words),
                        "EXTERNAL, implicit, SCRAM, PLAIN");
}

/* AUTH-14: 512 octets with CR LF are the most a command may have. */
static void a_long_authzid_goes_by_itself(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        const char *want;
    } rows[] = {
        {370, "C: AUTH EXTERNAL YWFh"},
        {375, "C: AUTH EXTERNAL\n"   },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct driver d = {
            .row = rows[i].want, .out = BUF_INIT(SMTP_CLIENT_OUTPUT), .got = BUF_INIT(1 << 20)};
        char id[400] = "";
        memset(id, 'a', rows[i].len);
        struct smtp_client_config cfg = {
            .hostname = "me.example", .login = SMTP_LOGIN_EXTERNAL, .authzid = id};
        d.client = smtp_client_new(&cfg, &ops, &d, &d.out);
        smtp_client_secured(d.client, true);
        const char *hello = "220 hi\r\n250-srv\r\n250 AUTH EXTERNAL\r\n";
        assert_int_equal(smtp_client_feed(d.client, hello, strlen(hello)), strlen(hello));
        buf_consume(&d.out, strlen("EHLO me.example\r\n"));
        assert_true(d.out.len <= 512);
        flush(&d);
        check(d.row, strncmp(d.got.data, d.row, strlen(d.row)) == 0);
        smtp_client_free(d.client);
        buf_done(&d.out);
        buf_done(&d.got);
    }
}

/* AUTH-12: a challenge is as long as it needs to be. */
static void a_long_challenge_is_read(void **state)
{
    (void)state;
    struct driver d = {
        .row = "challenge", .out = BUF_INIT(SMTP_CLIENT_OUTPUT), .got = BUF_INIT(1 << 20)};
    struct smtp_client_config cfg = {.hostname = "me.example", .login = SMTP_LOGIN_SCRAM};
    char challenge[12288 + 8] = "334 ";
    memset(challenge + 4, 'A', 12288);
    memcpy(challenge + 4 + 12288, "\r\n", 3);
    d.client = smtp_client_new(&cfg, &ops, &d, &d.out);
    smtp_client_secured(d.client, true);
    const char *hello = "220 hi\r\n250-srv\r\n250 AUTH SCRAM-SHA-256\r\n";
    assert_int_equal(smtp_client_feed(d.client, hello, strlen(hello)), strlen(hello));
    buf_clear(&d.out);
    buf_clear(&d.got);
    assert_int_equal(smtp_client_feed(d.client, challenge, strlen(challenge)), strlen(challenge));
    flush(&d);
    check(d.row, strncmp(d.got.data, "E: sasl SCRAM-SHA-256 ", 22) == 0);
    smtp_client_free(d.client);
    buf_done(&d.out);
    buf_done(&d.got);
}

/* SMTP-13: a hundred recipients, and ten times as many.  More than may be outstanding: the window moves on with the answers, and nothing gets lost. */
static void many_recipients_go_in_a_window(void **state)
{
    (void)state;
    enum { N = 1000 };
    static struct smtp_client_recipient list[N];
    static char names[N][24];
    for (int i = 0; i < N; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "u%d@example.net", i);
        list[i].address = names[i];
    }
    struct smtp_client_message m = {.reverse_path = "", .size = 4, TO(list)};
    struct driver d = {
        .row = "window", .out = BUF_INIT(SMTP_CLIENT_OUTPUT), .got = BUF_INIT(1 << 20)};
    struct smtp_client_config cfg = {.hostname = "me.example"};
    d.client = smtp_client_new(&cfg, &ops, &d, &d.out);
    const char *hello = "220 hi\r\n250-srv\r\n250 PIPELINING\r\n";
    assert_int_equal(smtp_client_feed(d.client, hello, strlen(hello)), strlen(hello));
    d.wanted = N;
    d.text = "Hi\r\n";
    struct smtp_outcome why;
    buf_clear(&d.out);
    assert_int_equal(smtp_client_send(d.client, &m, &why), 0);
    size_t commands = 0;
    while (smtp_client_stage(d.client) != SMTP_STAGE_TEXT) {
        size_t group = 0;
        for (size_t i = 0; i < d.out.len; i++)
            group += d.out.data[i] == '\n';
        assert_in_range(group, 1, SMTP_TALK_MAX);
        bool has_data = d.out.len >= 6 && memcmp(d.out.data + d.out.len - 6, "DATA\r\n", 6) == 0;
        commands += group;
        buf_clear(&d.out);
        for (size_t i = 0; i < group; i++) {
            const char *reply = has_data && i == group - 1 ? "354 go\r\n" : "250 ok\r\n";
            assert_int_equal(smtp_client_feed(d.client, reply, 8), 8);
        }
    }
    assert_int_equal(commands, N + 2);
    push(&d, 4, true);
    assert_int_equal(smtp_client_feed(d.client, "250 ok\r\n", 8), 8);
    assert_int_equal(d.outcomes, N);
    smtp_client_free(d.client);
    buf_done(&d.out);
    buf_done(&d.got);
}

static void a_full_output_takes_nothing(void **state)
{
    (void)state;
    struct driver d = {
        .row = "full", .out = BUF_INIT(SMTP_CLIENT_OUTPUT), .got = BUF_INIT(1 << 20)};
    struct smtp_client_config cfg = {.hostname = "me.example"};
    d.client = smtp_client_new(&cfg, &ops, &d, &d.out);
    const char *all = "220 hi\r\n250-srv\r\n250 PIPELINING\r\n";
    assert_int_equal(smtp_client_feed(d.client, all, strlen(all)), strlen(all));
    send_message(&d, "unsized");
    all = "250 ok\r\n250 ok\r\n354 go\r\n";
    assert_int_equal(smtp_client_feed(d.client, all, strlen(all)), strlen(all));
    static char piece[SMTP_CLIENT_PIECE];
    memset(piece, 'a', sizeof(piece));
    int r, taken = 0;
    while ((r = smtp_client_text(d.client, piece, sizeof(piece), false)) == 0)
        taken++;
    assert_int_equal(r, -ENOBUFS);
    assert_in_range(taken, 6, 8);
    buf_clear(&d.out);
    assert_int_equal(smtp_client_text(d.client, "\r\n", 2, true), 0);
    assert_string_equal(d.out.data, "\r\n.\r\n");
    smtp_client_free(d.client);
    buf_done(&d.out);
    buf_done(&d.got);
}

/* SMTP-03: keywords have no case. */
static void capabilities_are_read(void **state)
{
    (void)state;
    struct smtp_capabilities caps;
    smtp_capabilities_read(&caps, STR("srv\npipelining\n8BitMime\nauth external"));
    assert_true(smtp_offers(&caps, SMTP_EXT_PIPELINING) && smtp_offers(&caps, SMTP_EXT_8BITMIME));
    assert_true(smtp_offers_mechanism(&caps, "EXTERNAL"));
    smtp_capabilities_read(
        &caps, STR("SIZE 99\nsize 1000\nAUTH PLAIN external bad!word\nAUTH=LOGIN\n"
                   "X-UNKNOWN a b\nLIMITS MAILMAX=3 rcptmax=4 RCPTDOMAINMAX=5 X=1 MAILMAX\n"
                   "FUTURERELEASE 86400 2026-12-31T00:00:00Z\nDELIVERBY 240\n\n \nDSN"));
    assert_int_equal(caps.size_max, 1000);
    assert_string_equal(caps.mechanisms, "PLAIN EXTERNAL LOGIN");
    assert_true(smtp_offers_mechanism(&caps, "EXTERNAL"));
    assert_false(smtp_offers_mechanism(&caps, "EXTERNA"));
    assert_int_equal(caps.mail_max, 3);
    assert_int_equal(caps.rcpt_max, 4);
    assert_int_equal(caps.domain_max, 5);
    assert_int_equal(caps.hold_seconds_max, 86400);
    assert_int_equal(caps.by_seconds_min, 240);
    assert_true(smtp_offers(&caps, SMTP_EXT_DSN));
    assert_false(smtp_offers(&caps, SMTP_EXT_CHUNKING));
    smtp_capabilities_read(&caps, STR("srv\nSIZE 99999999999999999999999"));
    assert_true(smtp_offers(&caps, SMTP_EXT_SIZE));
    assert_int_equal(caps.size_max, 0);
    struct buf flood = BUF_INIT(1 << 16);
    assert_int_equal(buf_puts(&flood, "srv"), 0);
    for (int i = 0; i < 60; i++)
        assert_int_equal(buf_puts(&flood, "\nAUTH AAAAAAAAAAAAAAAAAAAA BBBBBBBBBBBBBBBBBBBBB"), 0);
    smtp_capabilities_read(&caps, buf_str(&flood));
    assert_in_range(strlen(caps.mechanisms), 200, SMTP_MECHANISMS_MAX - 1);
    buf_done(&flood);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_opens),
        cmocka_unit_test(a_login_takes_every_turn),
        cmocka_unit_test(a_password_goes_where_it_may),
        cmocka_unit_test(another_connection_goes_on),
        cmocka_unit_test(a_trace_tells_no_password),
        cmocka_unit_test(the_ways_have_words),
        cmocka_unit_test(a_long_authzid_goes_by_itself),
        cmocka_unit_test(a_message_goes_by_data),
        cmocka_unit_test(a_message_goes_by_bdat),
        cmocka_unit_test(lmtp_answers_for_each_recipient),
        cmocka_unit_test(parameters_follow_the_offer),
        cmocka_unit_test(limits_split_transactions),
        cmocka_unit_test(a_long_challenge_is_read),
        cmocka_unit_test(many_recipients_go_in_a_window),
        cmocka_unit_test(a_full_output_takes_nothing),
        cmocka_unit_test(the_longest_addresses_are_sent),
        cmocka_unit_test(capabilities_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
