#include "app/cmd_bench.h"
#include "app/cmd_cert.h"
#include "app/cmd_check.h"
#include "app/cmd_passwd.h"
#include "app/cmd_probe.h"
#include "app/cmd_queue.h"
#include "app/cmd_report.h"
#include "app/cmd_send.h"
#include "app/cmd_serve.h"
#include "conf/suggest.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
};

static const struct command commands[] = {
    {"serve",  cmd_serve,  "run the server"                                          },
    {"send",   cmd_send,   "submit messages; also in place of sendmail"              },
    {"queue",  cmd_queue,  "list, show and steer what waits in the spool"            },
    {"cert",   cmd_cert,   "run a small certificate authority; explain a certificate"},
    {"passwd", cmd_passwd, "add, change and remove users of a password table"        },
    {"report", cmd_report, "tell who logs in by which certificate sequence"          },
    {"check",  cmd_check,  "look through a configuration file and say every mistake" },
    {"bench",  cmd_bench,  "measure an SMTP server: a load generator and a sink"     },
    {"probe",  cmd_probe,  "tell which certificate sequence a server or client speaks"},
};

static void print_help(FILE *to)
{
    fputs("usage: postern COMMAND [options]\n"
          "\n"
          "A mail submission system whose first-class credential is the TLS client certificate.\n"
          "\n",
          to);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(to, "  postern %-7s %s\n", commands[i].name, commands[i].help);
    fputs("\n"
          "  postern COMMAND --help   what a command takes\n"
          "  postern --version\n"
          "\n"
          "Manual pages: postern(1), postern.conf(5)\n",
          to);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[ARRAY_LEN(commands)];
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        names[i] = commands[i].name;
    const char *near = suggest(name, names, ARRAY_LEN(names));
    if (near)
        fprintf(stderr, "postern: there is no command \"%s\"; did you mean \"postern %s\"?\n", name,
                near);
    else
        fprintf(stderr, "postern: there is no command \"%s\"; postern --help lists them\n", name);
    return EX_USAGE;
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++) {
        if (strcmp(word, *words) == 0)
            return true;
    }
    return false;
}

/* A report that could not be written must not look like success (disk full, reader gone). */
static int flushed(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror("postern: cannot write the output");
    return EX_IOERR;
}

/* By the name of the wrapper it is another program; some that call a sendmail of any name say "sendmail". */
static bool is_sendmail(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return strcmp(name, SENDMAIL_NAME) == 0 || strcmp(name, "sendmail") == 0;
}

int main(int argc, char **argv)
{
    if (argc > 0 && is_sendmail(argv[0])) {
        static char name[] = SENDMAIL_NAME;
        argv[0] = name;
        return flushed(cmd_send(argc, argv));
    }
    if (argc < 2) {
        print_help(stderr);
        return EX_USAGE;
    }
    if (is_one_of(argv[1], (const char *const[]){"--help", "-h", "help", NULL})) {
        print_help(stdout);
        return flushed(EX_OK);
    }
    if (is_one_of(argv[1], (const char *const[]){"--version", "-V", "version", NULL})) {
        puts("postern " POSTERN_VERSION);
        return flushed(EX_OK);
    }
    const struct command *command = find_command(argv[1]);
    if (!command)
        return unknown_command(argv[1]);
    char name[32]; /* getopt_long() speaks of us by this name */
    (void)snprintf(name, sizeof(name), "postern %s", command->name);
    argv[1] = name;
    return flushed(command->run(argc - 1, argv + 1));
}
