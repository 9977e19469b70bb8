#include "app/cmd_send.h"

#include "app/cmd_queue_internal.h"
#include "app/cmd_send_internal.h"
#include "send/queue.h"
#include "send/session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sysexits.h>

#define SYSTEM_CONF "/etc/postern/send.conf"

static void on_mistake(void *arg, const char *line)
{
    const struct send_request *rq = arg;
    fprintf(stderr, "%s: %s\n", rq->program, line);
}

/* ---- the configuration ---- */

/* $XDG_CONFIG_HOME/postern/send.conf, by default below ~/.config; false: there is no home. */
static bool user_conf(char *path, size_t size)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (config && *config == '/')
        return snprintf(path, size, "%s/postern/send.conf", config) < (int)size;
    return home && *home && snprintf(path, size, "%s/.config/postern/send.conf", home) < (int)size;
}

static int read_conf(struct send_request *rq, struct accounts *accounts)
{
    char path[4096];
    int mistakes = 0;
    if (rq->order.given.host)
        return EX_OK; /* the command line says it all: nothing of an account may be taken (CERT-03) */
    if (rq->config) {
        mistakes = accounts_read(accounts, rq->config, false, true, on_mistake, rq);
    } else {
        if (user_conf(path, sizeof(path)))
            mistakes = accounts_read(accounts, path, false, false, on_mistake, rq);
        if (mistakes == 0)
            mistakes = accounts_read(accounts, SYSTEM_CONF, true, false, on_mistake, rq);
    }
    return mistakes == 0 ? EX_OK : EX_CONFIG;
}

/* ---- messages ---- */

struct job {
    const struct send_request *rq;
    struct send_report report;
    struct courier *courier;
};

static int open_source(const char *file, char *why)
{
    if (!file || strcmp(file, "-") == 0)
        return STDIN_FILENO;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        (void)courier_fail(why, EX_NOINPUT, "cannot read it: %s", strerror(errno));
    return fd;
}

static int carry(struct job *j, const char *file, struct send_message *m, char *why)
{
    struct courier *c = j->courier;
    struct send_about about = {.file = file, .account = courier_account(c)};
    char id[SPOOL_QUEUE_ID_MAX];
    if (j->rq->dry_run) {
        send_report_plan(&j->report, &about, m);
        return EX_OK;
    }
    int status = j->rq->queue_them ? send_queue_put(c, m, id, why) : courier_send(c, m, why);
    if (status != EX_OK)
        return status;
    about.queued = j->rq->queue_them ? id : NULL;
    about.facts = j->rq->queue_them ? NULL : courier_facts(c);
    send_report_message(&j->report, &about, m);
    return EX_OK;
}

static void handle(struct job *j, const char *file)
{
    struct send_message m;
    char why[COURIER_WHY_MAX] = "";
    send_message_init(&m);
    int fd = open_source(file, why);
    bool input = fd == STDIN_FILENO;
    int status = fd < 0 ? EX_NOINPUT : EX_OK;
    if (status == EX_OK)
        status = courier_take_in(j->courier, fd, input && !j->rq->ignore_dots, &m, why);
    if (status == EX_OK)
        status = carry(j, file, &m, why);
    if (status != EX_OK)
        send_report_failure(&j->report, file, status, why);
    if (fd >= 0 && !input)
        (void)close(fd);
    send_message_done(&m);
}

static void handle_all(struct job *j)
{
    const struct send_request *rq = j->rq;
    if (rq->n_files == 0)
        handle(j, NULL);
    for (size_t i = 0; i < rq->n_files; i++)
        handle(j, rq->files[i]);
}

static void
on_told(void *arg, const char *id, const struct send_message *m, int status, const char *why)
{
    struct job *j = arg;
    struct send_about about = {.file = id,
                               .account = courier_account(j->courier),
                               .facts = courier_facts(j->courier),
                               .from_queue = true};
    if (status == EX_OK)
        send_report_message(&j->report, &about, m);
    else
        send_report_failure(&j->report, id, status, why);
}

static int session(struct job *j, const struct send_self *self)
{
    struct send_session_config cfg = {.hostname = self->hostname,
                                      .queue_them = j->rq->queue_them,
                                      .in = STDIN_FILENO,
                                      .out = STDOUT_FILENO};
    return send_session_run(j->courier, &cfg);
}

static int run_courier(const struct send_request *rq, const struct accounts *accounts)
{
    struct job j = {.rq = rq};
    struct courier_config cfg = {.order = &rq->order, .accounts = accounts};
    char why[COURIER_WHY_MAX] = "";
    bool talks = rq->mode == SEND_SESSION; /* then it has its replies */
    send_report_begin(&j.report, rq, rq->mode == SEND_FLUSH ? 0 : MAX(rq->n_files, (size_t)1));
    send_self_read(&cfg.self);
    cfg.hooks = send_report_hooks(&j.report);
    int status = courier_new(&cfg, &j.courier, why);
    if (status == EX_OK && talks)
        status = session(&j, &cfg.self);
    else if (status == EX_OK && rq->mode == SEND_FLUSH)
        status = send_queue_flush(j.courier, on_told, &j, why);
    else if (status == EX_OK)
        handle_all(&j);
    if (*why)
        send_report_failure(&j.report, NULL, status, why);
    courier_free(j.courier);
    return talks ? status : send_report_end(&j.report);
}

/* ---- looking into the queue ---- */

static int list_queue(const struct send_request *rq, char *why)
{
    struct spool_admin *a = NULL;
    struct queue_list l = {.json = rq->json};
    int status = send_queue_open(&a, why);
    if (status != EX_OK)
        return status;
    if (rq->json)
        putchar('[');
    int r = a ? spool_admin_list(a, NULL, queue_list_row, &l) : 0;
    queue_list_end(&l);
    if (rq->json)
        puts("\n]");
    spool_admin_close(a);
    return r < 0 ? courier_fail(why, EX_IOERR, "cannot read the queue: %s", strerror(-r)) : EX_OK;
}

static int run_beside(const struct send_request *rq)
{
    char why[COURIER_WHY_MAX] = "";
    int status = rq->mode == SEND_LIST ? list_queue(rq, why)
                                       : send_queue_steer(rq->steer, rq->queue_id, why);
    return status == EX_OK ? EX_OK : send_say(rq, status, "%s", why);
}

static bool is_beside(const struct send_request *rq)
{
    return rq->mode == SEND_LIST || rq->mode == SEND_STEER;
}

/* What was wrong has been said; who reads JSON gets some all the same. */
static int give_up(const struct send_request *rq, int status)
{
    struct send_report none;
    if (!rq->json || is_beside(rq) || rq->mode == SEND_SESSION)
        return status;
    send_report_begin(&none, rq, 0);
    none.status = status;
    return send_report_end(&none);
}

static int run(struct send_request *rq)
{
    if (is_beside(rq))
        return run_beside(rq);
    struct accounts accounts = {0};
    int status = read_conf(rq, &accounts);
    status = status == EX_OK ? run_courier(rq, &accounts) : give_up(rq, status);
    accounts_done(&accounts);
    return status;
}

int cmd_send(int argc, char **argv)
{
    struct send_request rq = {.program = argv[0],
                              .as_sendmail = strcmp(argv[0], SENDMAIL_NAME) == 0};
    (void)signal(SIGPIPE, SIG_IGN);
    int status = send_options_read(&rq, argc, argv);
    if (status == EX_OK && rq.help)
        send_options_help(stdout);
    else
        status = status == EX_OK ? run(&rq) : give_up(&rq, status);
    send_options_done(&rq);
    return status;
}
