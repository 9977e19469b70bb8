#include "app/cmd_probe_server.h"

#include "base/clock.h"
#include "cert/ca.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PATH_TEXT_MAX 4096

/* What can be made for each kind; a revoked one cannot: only the CA can tell the server. */
static const struct {
    enum ca_flaw flaw;
    bool made, needs_ca;
} flaws[BAD_COUNT] = {
    [BAD_EXPIRED] = {CA_FLAW_EXPIRED,     true,  true },
    [BAD_FUTURE] = {CA_FLAW_FUTURE,      true,  true },
    [BAD_USAGE] = {CA_FLAW_USAGE,       true,  true },
    [BAD_UNKNOWN] = {CA_FLAW_UNKNOWN_CA,  true,  false},
    [BAD_SELF_SIGNED] = {CA_FLAW_SELF_SIGNED, true,  false},
    [BAD_NO_EMAIL] = {CA_FLAW_NO_EMAIL,    true,  true },
    [BAD_REVOKED] = {0,                   false, true },
};

bool probe_papers_add_bad(struct probe_papers *p, const char *word)
{
    for (int kind = 0; kind < BAD_COUNT; kind++) {
        size_t len = strlen(bad_certificate_name((enum bad_certificate)kind));
        if (strncmp(word, bad_certificate_name((enum bad_certificate)kind), len) != 0 ||
            word[len] != '=')
            continue;
        const char *file = word + len + 1, *comma = strchr(file, ',');
        size_t file_len = comma ? (size_t)(comma - file) : strlen(file);
        if (file_len == 0 || (comma && !comma[1]) || p->bad[kind].certificate)
            return false;
        p->bad[kind].certificate = xstrndup(file, file_len);
        p->bad[kind].key = comma ? xstrdup(comma + 1) : xstrndup(file, file_len);
        return true;
    }
    return false;
}

static int make_folder(struct probe_papers *p, char why[PROBE_WHY])
{
    char path[PATH_TEXT_MAX];
    const char *base = getenv("TMPDIR");
    (void)snprintf(path, sizeof(path), "%s/postern-probe.XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(path)) {
        int r = -errno;
        (void)snprintf(why, PROBE_WHY, "cannot make the folder %.200s: %s", path, strerror(-r));
        return r;
    }
    p->folder = xstrdup(path);
    return 0;
}

static char *path_in(const struct probe_papers *p, enum bad_certificate kind, const char *ending)
{
    char path[PATH_TEXT_MAX];
    (void)snprintf(path, sizeof(path), "%s/%s.%s", p->folder, bad_certificate_name(kind), ending);
    return xstrdup(path);
}

static int
make_one(struct probe_papers *p, enum bad_certificate kind, const char *email, char why[PROBE_WHY])
{
    struct ca_flawed f = {
        .ca_cert = p->ca_cert,
        .ca_key = p->ca_key,
        .flaw = flaws[kind].flaw,
        .email = email,
        .now_ms = clock_wall_ms(),
    };
    p->bad[kind].certificate = path_in(p, kind, "crt");
    p->bad[kind].key = path_in(p, kind, "key");
    return ca_write_flawed(&f, p->bad[kind].certificate, p->bad[kind].key, why);
}

int probe_papers_make(struct probe_papers *p, const char *email, char why[PROBE_WHY])
{
    int r = make_folder(p, why);
    for (int kind = 0; r == 0 && kind < BAD_COUNT; kind++)
        if (flaws[kind].made && !p->bad[kind].certificate && (p->ca_cert || !flaws[kind].needs_ca))
            r = make_one(p, (enum bad_certificate)kind, email, why);
    return r;
}

/* A bad certificate that cannot be loaded is a mistake of the user's, like any other. */
static int show_bad(const struct probe_papers *p,
                    struct tls_client_config c,
                    struct probe *column,
                    char why[PROBE_WHY])
{
    int r = 0;
    for (int kind = 0; r == 0 && kind < BAD_COUNT; kind++) {
        c.certificate = p->bad[kind].certificate;
        c.key = p->bad[kind].key;
        if (c.certificate)
            r = tls_client_context_new(&c, &column->bad[kind], why);
    }
    return r;
}

int probe_papers_show(const struct probe_papers *p, struct probe *column, char why[PROBE_WHY])
{
    struct tls_client_config c = {.ca = p->ca,
                                  .verify = p->ca ? TLS_VERIFY_NAME : TLS_VERIFY_NONE,
                                  .version = column->version};
    int r = tls_client_context_new(&c, &column->plain, why);
    if (r == 0)
        r = show_bad(p, c, column, why);
    c.version = TLS_VERSION_1_1;
    if (r == 0)
        r = tls_client_context_new(&c, &column->old_version, why);
    c.certificate = p->certificate;
    c.key = p->key;
    c.version = TLS_VERSION_USUAL;
    if (r == 0)
        r = tls_client_context_new(&c, &column->any_version, why);
    if (r < 0 || !p->certificate)
        return r;
    c.version = column->version;
    r = tls_client_context_new(&c, &column->with_certificate, why);
    c.resume = true;
    return r < 0 ? r : tls_client_context_new(&c, &column->resuming, why);
}

void probe_papers_hide(struct probe *column)
{
    tls_context_unref(column->plain);
    tls_context_unref(column->with_certificate);
    tls_context_unref(column->resuming);
    tls_context_unref(column->any_version);
    tls_context_unref(column->old_version);
    for (int kind = 0; kind < BAD_COUNT; kind++)
        tls_context_unref(column->bad[kind]);
}

void probe_papers_sweep(struct probe_papers *p)
{
    size_t len = p->folder ? strlen(p->folder) : 0;
    for (int kind = 0; len && kind < BAD_COUNT; kind++) {
        if (!p->bad[kind].certificate || strncmp(p->bad[kind].certificate, p->folder, len) != 0)
            continue;
        (void)unlink(p->bad[kind].certificate);
        (void)unlink(p->bad[kind].key);
    }
    if (p->folder)
        (void)rmdir(p->folder);
    free(p->folder);
    p->folder = NULL;
}

void probe_papers_done(struct probe_papers *p)
{
    probe_papers_sweep(p);
    for (int kind = 0; kind < BAD_COUNT; kind++) {
        free(p->bad[kind].certificate);
        free(p->bad[kind].key);
    }
}
