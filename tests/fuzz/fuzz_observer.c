/* A client under observation that says anything, in any pieces, to any kind of server.
 *
 * The first octet chooses the kind, the second whether a certificate was accepted; the rest is what the client sends.
 * Checked beside the sanitizers: the record stays within its bounds and is printable, a verdict and a report can be made of it,
 * and a password sent after all that, in whatever state the session is, does not appear in it. */
#include "probe/client_report.h"
#include "probe/observer_play.h"

#include <stdio.h>
#include <string.h>

#define WORD "WXYZ9876"
#define SECRET "AGFsaWNlAFdYWVo5ODc2" /* NUL alice NUL WXYZ9876 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct smtp_server_config config = {.hostname = "localhost",
                                                 .extensions = SMTP_SET(SMTP_EXT_PIPELINING) |
                                                               SMTP_SET(SMTP_EXT_CHUNKING),
                                                 .errors_max = 20};

static void must(bool holds)
{
    if (!holds)
        __builtin_trap();
}

/* Said in the open by the client itself, it is no secret any more. */
static bool gives_away(const uint8_t *data, size_t size)
{
    static const char *const pieces[] = {"WXYZ", "AFdY", "V1hZ", "dYWV", "FhZW"};
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
        if (memmem(data, size, pieces[i], 4))
            return true;
    return false;
}

static void feed(struct play *p, struct str all)
{
    size_t n;
    do {
        n = smtp_server_feed(p->engine, all.p, all.len);
        all = str_from(all, n);
        play_said(p);
        buf_clear(p->out);
        play_flushed(p);
        if (p->start_tls) {
            p->start_tls = false;
            record_secured(p->record, 1, "TLSv1.3", "name", false);
            smtp_server_secured(p->engine);
        }
    } while (n && all.len && !p->ended);
}

static void look_at(const struct record *r)
{
    must(r->n_events <= RECORD_EVENTS_MAX && r->n_logins <= RECORD_LOGINS_MAX &&
         r->n_refusals <= RECORD_REFUSALS_MAX);
    for (unsigned i = 0; i < r->n_events; i++) {
        const char *text = r->events[i].text;
        must(memchr(text, 0, LINE_SHOWN) != NULL && !strstr(text, SECRET) && !strstr(text, WORD));
        for (; *text; text++)
            must(*text >= ' ' && *text <= '~');
    }
    for (unsigned i = 0; i < r->n_logins; i++)
        must(!strstr(r->logins[i].name, WORD));
    must(!strstr(r->user, WORD));
}

static void report_on(const struct record *r)
{
    static struct client_report c;
    client_report_init(&c, &(struct client_report_input){.records = &r, .n = 1});
    must(c.r.n_cases > 0);
    client_report_done(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct record r;
    struct buf out = BUF_INIT((size_t)16 * 1024);
    struct play p;
    if (size < 2 || gives_away(data, size))
        return 0;
    const struct observer_kind *kind = &observer_kinds[data[0] % OBSERVER_KINDS];
    record_init(&r, 1, kind, data[1] & 2, "127.0.0.1");
    r.certificate =
        (struct record_certificate){.sent = data[1] & 1, .accepted = data[1] & 1, .identity = "me"};
    play_init(&p, kind, r.implicit_tls);
    p.engine = smtp_server_new(&config, &play_ops, &p, &out);
    p.out = &out;
    p.record = &r;
    if (r.implicit_tls) {
        record_secured(&r, 0, "TLSv1.2", NULL, true);
        smtp_server_secured(p.engine);
    }
    smtp_server_greet(p.engine, NULL);
    feed(&p, (struct str){(const char *)data + 2, size - 2});
    feed(&p, STR("\r\nAUTH PLAIN " SECRET "\r\n" SECRET "\r\nAUTH LOGIN\r\n" WORD "\r\n"));
    record_ended(&r, 2, p.ended ? END_QUIT : END_CLOSED, NULL);
    look_at(&r);
    report_on(&r);
    smtp_server_free(p.engine);
    buf_done(&out);
    return 0;
}
