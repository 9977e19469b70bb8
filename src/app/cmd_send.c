#include "app/cmd_send.h"

#include "app/cmd_send_queue.h"
#include "app/cmd_send_session.h"

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

static int read_conf(struct send_request *rq, struct accounts *conf)
{
    char path[4096];
    int mistakes = 0;
    if (rq->given.host)
        return EX_OK; /* the command line says it all: nothing of an account may be taken (CERT-03) */
    if (rq->config) {
        mistakes = accounts_read(conf, rq->config, false, true, on_mistake, rq);
    } else {
        if (user_conf(path, sizeof(path)))
            mistakes = accounts_read(conf, path, false, false, on_mistake, rq);
        if (mistakes == 0)
            mistakes = accounts_read(conf, SYSTEM_CONF, true, false, on_mistake, rq);
    }
    return mistakes == 0 ? EX_OK : EX_CONFIG;
}

/* ---- messages ---- */

static int open_source(const char *file, char *why)
{
    if (!file || strcmp(file, "-") == 0)
        return STDIN_FILENO;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        (void)snprintf(why, COURIER_WHY_MAX, "cannot read it: %s", strerror(errno));
    return fd;
}

static int carry(struct courier *c, const char *file, struct send_message *m, char *why)
{
    struct send_about about = {.file = file, .account = &c->account};
    char id[SPOOL_QUEUE_ID_MAX];
    if (c->rq->dry_run) {
        send_report_plan(c->report, &about, m);
        return EX_OK;
    }
    int status = c->rq->queue_them ? send_queue_put(c, m, id, why) : courier_send(c, m, why);
    if (status != EX_OK)
        return status;
    about.queued = c->rq->queue_them ? id : NULL;
    about.facts = c->rq->queue_them ? NULL : carrier_facts(c->carrier);
    send_report_message(c->report, &about, m);
    return EX_OK;
}

static void handle(struct courier *c, const char *file)
{
    struct send_message m;
    char why[COURIER_WHY_MAX] = "";
    send_message_init(&m);
    int fd = open_source(file, why);
    bool input = fd == STDIN_FILENO;
    int status = fd < 0 ? EX_NOINPUT : EX_OK;
    if (status == EX_OK)
        status = courier_take_in(c, fd, input && !c->rq->ignore_dots, &m, why);
    if (status == EX_OK)
        status = carry(c, file, &m, why);
    if (status != EX_OK)
        send_report_failure(c->report, file, status, why);
    if (fd >= 0 && !input)
        (void)close(fd);
    send_message_done(&m);
}

static void handle_all(struct courier *c)
{
    const struct send_request *rq = c->rq;
    if (rq->n_files == 0)
        handle(c, NULL);
    for (size_t i = 0; i < rq->n_files; i++)
        handle(c, rq->files[i]);
}

static int run_courier(const struct send_request *rq, const struct accounts *conf)
{
    struct send_report report;
    struct courier c;
    char why[COURIER_WHY_MAX] = "";
    bool session = rq->mode == SEND_SESSION;
    send_report_begin(&report, rq, rq->mode == SEND_FLUSH ? 0 : MAX(rq->n_files, (size_t)1));
    int status = courier_init(&c, rq, conf, &report, why);
    if (status == EX_OK && session)
        status = send_session_run(&c, STDIN_FILENO, STDOUT_FILENO); /* it has its replies */
    else if (status == EX_OK && rq->mode == SEND_FLUSH)
        status = send_queue_flush(&c, why);
    else if (status == EX_OK)
        handle_all(&c);
    if (*why)
        send_report_failure(&report, NULL, status, why);
    courier_done(&c);
    return session ? status : send_report_end(&report);
}

static int run_beside(const struct send_request *rq)
{
    char why[COURIER_WHY_MAX] = "";
    int status = rq->mode == SEND_LIST ? send_queue_list(rq, why) : send_queue_steer(rq, why);
    return status == EX_OK ? EX_OK : send_say(rq, status, "%s", why);
}

static int run(struct send_request *rq)
{
    if (rq->mode == SEND_LIST || rq->mode == SEND_STEER)
        return run_beside(rq);
    struct accounts conf = {0};
    int status = read_conf(rq, &conf);
    if (status == EX_OK)
        status = run_courier(rq, &conf);
    accounts_done(&conf);
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
    else if (status == EX_OK)
        status = run(&rq);
    send_options_done(&rq);
    return status;
}
