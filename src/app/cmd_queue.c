#include "app/cmd_queue.h"

#include "app/cmd_queue_internal.h"
#include "app/config.h"
#include "conf/suggest.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#define DEFAULT_FILE "/etc/postern/postern.conf"

struct request {
    const char *program, *file, *database;
    const char *id; /* NULL: none given */
    bool json, all, body;
};

static int fail(const struct request *rq, int error, const char *text)
{
    static const struct {
        int error, code;
    } codes[] = {
        {EINVAL, EX_USAGE   },
        {ENOENT, EX_NOINPUT },
        {EACCES, EX_NOPERM  },
        {EPERM,  EX_NOPERM  },
        {EROFS,  EX_NOPERM  },
        {EBUSY,  EX_TEMPFAIL},
        {ENOSPC, EX_IOERR   },
        {EIO,    EX_IOERR   },
    };
    fprintf(stderr, "%s: %s\n", rq->program, text);
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        if (codes[i].error == -error)
            return codes[i].code;
    }
    return EX_DATAERR; /* damaged, foreign, of another version */
}

/* What went wrong with the message asked for, or with all of them. */
static int fail_on(const struct request *rq, int error)
{
    char text[160];
    if (rq->id && error == -ENOENT)
        (void)snprintf(text, sizeof(text), "there is no message \"%.40s\" in the queue", rq->id);
    else if (rq->id && error == -EINVAL)
        (void)snprintf(text, sizeof(text),
                       "\"%.40s\" is no queue id; they have 12 characters, as in 1mf3k9q0zabc",
                       rq->id);
    else if (error == -EBUSY)
        (void)snprintf(text, sizeof(text), "the spool is busy; try again");
    else
        (void)snprintf(text, sizeof(text), "%s", strerror(-error));
    return fail(rq, error, text);
}

/* ---- the subcommands ---- */

static int run_list(struct request *rq, struct spool_admin *a)
{
    struct queue_list l = {.json = rq->json};
    if (rq->json)
        putchar('[');
    int r = spool_admin_list(a, NULL, queue_list_row, &l);
    queue_list_end(&l);
    if (rq->json)
        puts("\n]");
    return r < 0 ? fail_on(rq, r) : EX_OK;
}

static int show_body(struct request *rq, struct spool_admin *a)
{
    int r = spool_admin_body(a, rq->id, queue_raw_piece, NULL);
    return r < 0 ? fail_on(rq, r) : EX_OK;
}

static int run_show(struct request *rq, struct spool_admin *a)
{
    if (rq->body)
        return show_body(rq, a);
    struct queue_list l = {.json = rq->json, .detailed = true};
    int r = spool_admin_list(a, rq->id, queue_list_row, &l);
    if (r < 0)
        return fail_on(rq, r);
    queue_list_end(&l);
    if (rq->json) {
        putchar('\n');
        return EX_OK;
    }
    struct queue_header h = {0};
    r = spool_admin_body(a, rq->id, queue_header_piece, &h);
    return r < 0 && r != -ENOENT ? fail_on(rq, r) : EX_OK; /* delivered while we looked */
}

static int run_stats(struct request *rq, struct spool_admin *a)
{
    struct spool_stats st;
    int r = spool_admin_stats(a, &st);
    if (r < 0)
        return fail_on(rq, r);
    queue_print_stats(&st, rq->json);
    return EX_OK;
}

static int
apply(struct request *rq, struct spool_admin *a, enum spool_action action, const char *done)
{
    int64_t changed = 0;
    int r = spool_admin_apply(a, action, rq->id, &changed);
    if (r < 0)
        return fail_on(rq, r);
    printf("%lld recipient%s %s\n", (long long)changed, changed == 1 ? "" : "s", done);
    return EX_OK;
}

static int run_flush(struct request *rq, struct spool_admin *a)
{
    return apply(rq, a, SPOOL_FLUSH, "made due at once");
}

static int run_hold(struct request *rq, struct spool_admin *a)
{
    return apply(rq, a, SPOOL_HOLD, "held");
}

static int run_release(struct request *rq, struct spool_admin *a)
{
    return apply(rq, a, SPOOL_RELEASE, "released");
}

static int run_delete(struct request *rq, struct spool_admin *a)
{
    return apply(rq, a, SPOOL_DELETE, "deleted");
}

enum id_need { ID_NONE, ID_OPTIONAL, ID_NEEDED, ID_OR_ALL };

struct subcommand {
    const char *name;
    enum id_need id;
    bool writes;
    int (*run)(struct request *rq, struct spool_admin *a);
    const char *takes, *help;
};

static const struct subcommand subcommands[] = {
    {"list",    ID_NONE,     false, run_list,    "",           "every recipient that waits, and why"           },
    {"show",    ID_NEEDED,   false, run_show,    "ID",         "one message: envelope, recipients, header"     },
    {"flush",   ID_OPTIONAL, true,  run_flush,   "[ID]",
     "try again now what waits for its next attempt"                                                           },
    {"hold",    ID_OR_ALL,   true,  run_hold,    "ID | --all", "do not attempt until released"                 },
    {"release", ID_OR_ALL,   true,  run_release, "ID | --all",
     "end a hold; the schedule is the one from before"                                                         },
    {"delete",  ID_OR_ALL,   true,  run_delete,  "ID | --all",
     "remove for good; the sender is told nothing"                                                             },
    {"stats",   ID_NONE,     false, run_stats,   "",           "how much there is, in which state, and how old"},
};

/* ---- options ---- */

static void print_help(void)
{
    puts("usage: postern queue SUBCOMMAND [options]\n"
         "\n"
         "Looks into the queue and steers it, beside the running server or without one.\n"
         "The server takes notice within a second.\n");
    for (size_t i = 0; i < ARRAY_LEN(subcommands); i++)
        printf("  %-7s %-10s  %s\n", subcommands[i].name, subcommands[i].takes,
               subcommands[i].help);
    puts("\n"
         "  -c, --config FILE    the server's configuration (default " DEFAULT_FILE ")\n"
         "      --database PATH  the spool itself, without a configuration\n"
         "      --json           list, show, stats: as JSON, times in UTC\n"
         "      --body           show: the message as it is stored, and nothing else\n"
         "      --all            hold, release, delete: everything\n"
         "      --help\n"
         "\n"
         "States: due (waits for a free place), active (being delivered), deferred (waits for its\n"
         "next attempt), held.  What is active when it is held or deleted may still be delivered.\n"
         "\n"
         "Exit code: 0; 64 wrong usage; 65 the spool is damaged or of another version; 66 no such\n"
         "message or spool; 74 it cannot be written; 75 busy, try again; 77 no permission;\n"
         "78 mistakes in the configuration.");
}

static int usage_error(const struct request *rq, const char *fmt, ...) PRINTF(2, 3);

static int usage_error(const struct request *rq, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%s: ", rq->program);
    (void)vfprintf(stderr, fmt, ap);
    fputs("\nSee: postern queue --help\n", stderr);
    va_end(ap);
    return EX_USAGE;
}

static const struct subcommand *find_subcommand(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(subcommands); i++) {
        if (strcmp(subcommands[i].name, name) == 0)
            return &subcommands[i];
    }
    return NULL;
}

static int unknown_subcommand(const struct request *rq, const char *name)
{
    const char *names[ARRAY_LEN(subcommands)];
    for (size_t i = 0; i < ARRAY_LEN(subcommands); i++)
        names[i] = subcommands[i].name;
    const char *near = suggest(name, names, ARRAY_LEN(names));
    if (near)
        return usage_error(rq, "there is no \"%s\"; did you mean \"%s\"?", name, near);
    return usage_error(rq, "there is no \"%s\"", name);
}

/* Everything is a word to type on purpose: a forgotten id must not empty a queue. */
static int check_id(const struct request *rq, const struct subcommand *s)
{
    if (rq->id && s->id == ID_NONE)
        return usage_error(rq, "%s takes no id", s->name);
    if (rq->id && rq->all)
        return usage_error(rq, "either an id or --all");
    if (rq->all && s->id != ID_OR_ALL && s->id != ID_OPTIONAL)
        return usage_error(rq, "%s takes no --all", s->name);
    if (!rq->id && s->id == ID_NEEDED)
        return usage_error(rq, "%s needs the id of a message; postern queue list names them",
                           s->name);
    if (!rq->id && !rq->all && s->id == ID_OR_ALL)
        return usage_error(rq, "%s needs the id of a message, or --all for every one", s->name);
    return EX_OK;
}

static int read_options(struct request *rq, int argc, char **argv)
{
    static const struct option options[] = {
        {"config",   required_argument, NULL, 'c'},
        {"database", required_argument, NULL, 'd'},
        {"json",     no_argument,       NULL, 'j'},
        {"all",      no_argument,       NULL, 'a'},
        {"body",     no_argument,       NULL, 'b'},
        {"help",     no_argument,       NULL, 'h'},
        {NULL,       0,                 NULL, 0  },
    };
    int opt;
    while ((opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (opt) {
        case 'c':
            rq->file = optarg;
            break;
        case 'd':
            rq->database = optarg;
            break;
        case 'j':
            rq->json = true;
            break;
        case 'a':
            rq->all = true;
            break;
        case 'b':
            rq->body = true;
            break;
        case 'h':
            print_help();
            return -1;
        default:
            return EX_USAGE;
        }
    }
    return EX_OK;
}

static void on_mistake(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

static int run(struct request *rq, const struct subcommand *s, const char *database)
{
    struct spool_admin *a = NULL;
    char why[SPOOL_WHY_MAX] = "";
    int r = spool_admin_open(database, s->writes, &a, why);
    if (r < 0)
        return fail(rq, r, why);
    int status = s->run(rq, a);
    spool_admin_close(a);
    return status;
}

static int run_configured(struct request *rq, const struct subcommand *s)
{
    if (rq->database)
        return run(rq, s, rq->database);
    struct config *c = NULL;
    int r = config_load(rq->file, &c, on_mistake, NULL);
    if (r != 0)
        return r < 0 ? EX_NOINPUT : EX_CONFIG;
    int status = run(rq, s, c->spool.database);
    config_free(c);
    return status;
}

int cmd_queue(int argc, char **argv)
{
    struct request rq = {.program = argv[0], .file = DEFAULT_FILE};
    int status = read_options(&rq, argc, argv);
    if (status != EX_OK)
        return status < 0 ? EX_OK : status;
    if (optind == argc)
        return usage_error(
            &rq, "what is to be done: list, show, flush, hold, release, delete or stats?");
    const struct subcommand *s = find_subcommand(argv[optind]);
    if (!s)
        return unknown_subcommand(&rq, argv[optind]);
    if (optind + 2 < argc)
        return usage_error(&rq, "\"%s\" is one word too many", argv[optind + 2]);
    if (optind + 1 < argc)
        rq.id = argv[optind + 1];
    status = check_id(&rq, s);
    return status == EX_OK ? run_configured(&rq, s) : status;
}
