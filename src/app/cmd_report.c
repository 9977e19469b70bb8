#include "app/cmd_report.h"

#include "app/sequences.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static const char *const lockout_words[] = {
    [LOCKOUT_NONE] = "none", [LOCKOUT_SOME] = "some", [LOCKOUT_ALL] = "all"};

static void usage(FILE *to)
{
    fputs("usage: postern report sequences [--log FILE] [--json]\n"
          "\n"
          "Lists which identities log in by which of the two certificate sequences, and whom\n"
          "a change of their listener to certificate-auth = explicit would lock out.  Reads the\n"
          "log that postern serve writes, at level info or debug.\n"
          "\n"
          "  -l, --log FILE  the log; \"-\" or nothing is standard input, as in\n"
          "                  journalctl -o cat -u postern | postern report sequences\n"
          "      --json      the report as JSON\n"
          "      --help\n",
          to);
}

/* ---- text ---- */

static void print_user(const struct sequence_user *u)
{
    printf("  %-34s %8ju %8ju %8ju %8ju  %.10s  %.10s ", u->identity, (uintmax_t)u->implicit,
           (uintmax_t)u->explicit, (uintmax_t)u->other, (uintmax_t)u->refused, u->first, u->last);
    for (size_t i = 0; i < SEQUENCES_HELOS_MAX && u->helos[i]; i++)
        printf(" %s", u->helos[i]);
    putchar('\n');
}

static void print_names(const struct sequence_user *u, size_t n, enum lockout which)
{
    for (size_t i = 0; i < n; i++)
        if (sequences_lockout(&u[i]) == which)
            printf("    %s\n", u[i].identity);
}

static void print_refused(const struct sequence_user *u, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += u[i].refused > 0;
    if (count == 0)
        return;
    printf("  MAIL without AUTH was refused to:\n");
    for (size_t i = 0; i < n; i++)
        if (u[i].refused)
            printf("    %s\n", u[i].identity);
}

/* The identities of one listener follow each other. */
static void print_listener(const struct sequence_user *u, size_t n)
{
    size_t count[] = {0, 0, 0};
    printf("listener %s\n  %-34s %8s %8s %8s %8s  %-10s  %-10s  %s\n", u->listener, "identity",
           "implicit", "explicit", "other", "refused", "first", "last", "clients");
    for (size_t i = 0; i < n; i++) {
        print_user(&u[i]);
        count[sequences_lockout(&u[i])]++;
    }
    if (count[LOCKOUT_ALL] + count[LOCKOUT_SOME] == 0)
        printf("  certificate-auth = explicit would lock out nobody.\n");
    if (count[LOCKOUT_ALL])
        printf("  certificate-auth = explicit would lock out %zu of %zu:\n", count[LOCKOUT_ALL], n);
    print_names(u, n, LOCKOUT_ALL);
    if (count[LOCKOUT_SOME])
        printf("  and some clients of %zu that use both sequences:\n", count[LOCKOUT_SOME]);
    print_names(u, n, LOCKOUT_SOME);
    print_refused(u, n);
}

static void print_text(const struct sequences *s)
{
    size_t end;
    for (size_t i = 0; i < s->n; i = end) {
        for (end = i; end < s->n && strcmp(s->users[end].listener, s->users[i].listener) == 0;)
            end++;
        print_listener(&s->users[i], end - i);
    }
    if (s->n == 0)
        printf("nobody logged in, in %ju lines of log\n", (uintmax_t)s->ours);
}

/* ---- JSON ---- */

static json_t *user_json(const struct sequence_user *u)
{
    json_t *helos = json_array();
    for (size_t i = 0; helos && i < SEQUENCES_HELOS_MAX && u->helos[i]; i++)
        (void)json_array_append_new(helos, json_string(u->helos[i]));
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:s, s:o, s:s}", "listener", u->listener,
                     "identity", u->identity, "implicit", (json_int_t)u->implicit, "explicit",
                     (json_int_t)u->explicit, "other", (json_int_t)u->other, "refused",
                     (json_int_t)u->refused, "first", u->first, "last", u->last, "clients", helos,
                     "locked_out_by_explicit", lockout_words[sequences_lockout(u)]);
}

static int print_json(const struct sequences *s)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < s->n; i++)
        (void)json_array_append_new(list, user_json(&s->users[i]));
    json_t *out = json_pack("{s:I, s:b, s:o}", "lines", (json_int_t)s->ours, "complete", !s->full,
                            "identities", list);
    int r = out ? json_dumpf(out, stdout, JSON_INDENT(2)) : -1;
    json_decref(out);
    putchar('\n');
    return r < 0 ? EX_SOFTWARE : EX_OK;
}

/* ---- reading ---- */

static int read_all(struct sequences *s, FILE *from, const char *name)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, from)) >= 0)
        sequences_line(s, (struct str){line, (size_t)n - (n > 0 && line[n - 1] == '\n')});
    free(line);
    if (!ferror(from))
        return EX_OK;
    fprintf(stderr, "postern report: cannot read %s: %s\n", name, strerror(errno));
    return EX_IOERR;
}

static int report(const char *path, bool json)
{
    struct sequences s = {0};
    bool is_file = strcmp(path, "-") != 0;
    FILE *from = is_file ? fopen(path, "re") : stdin;
    if (!from) {
        fprintf(stderr, "postern report: cannot read %s: %s\n", path, strerror(errno));
        return EX_NOINPUT;
    }
    int status = read_all(&s, from, path);
    if (is_file)
        (void)fclose(from);
    if (status == EX_OK && s.lines && !s.ours) {
        fprintf(stderr, "postern report: %s holds no line of postern's log\n", path);
        status = EX_DATAERR;
    }
    sequences_sort(&s);
    if (status == EX_OK && json)
        status = print_json(&s);
    else if (status == EX_OK)
        print_text(&s);
    if (s.full)
        fprintf(stderr, "postern report: only the first %d identities are in it\n",
                SEQUENCES_IDENTITIES_MAX);
    sequences_done(&s);
    return status;
}

int cmd_report(int argc, char **argv)
{
    static const struct option options[] = {
        {"log",  required_argument, NULL, 'l'},
        {"json", no_argument,       NULL, 'j'},
        {"help", no_argument,       NULL, 'h'},
        {NULL,   0,                 NULL, 0  },
    };
    const char *path = "-";
    bool json = false;
    int opt;
    while ((opt = getopt_long(argc, argv, "l:h", options, NULL)) != -1) {
        if (opt == 'l') {
            path = optarg;
        } else if (opt == 'j') {
            json = true;
        } else {
            usage(opt == 'h' ? stdout : stderr);
            return opt == 'h' ? EX_OK : EX_USAGE;
        }
    }
    if (optind + 1 != argc || strcmp(argv[optind], "sequences") != 0) {
        fprintf(stderr, "%s: say which report; there is \"sequences\"\n", argv[0]);
        return EX_USAGE;
    }
    return report(path, json);
}
