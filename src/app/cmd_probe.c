#include "app/cmd_probe.h"

#include "app/cmd_probe_client.h"
#include "app/cmd_probe_server.h"
#include "base/base.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static const struct role {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} roles[] = {
    {"server", cmd_probe_server, "drives a server through numbered cases"},
    {"client", cmd_probe_client, "plays each kind of server for a client"},
};

static void print_help(FILE *to)
{
    fputs("usage: postern probe ROLE [options]\n\n", to);
    for (size_t i = 0; i < ARRAY_LEN(roles); i++)
        fprintf(to, "  postern probe %-7s %s\n", roles[i].name, roles[i].help);
    fputs("\nEach has --help. Exit code: 0 conforming, 1 not conforming, 2 could not tell.\n", to);
}

int cmd_probe(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        if (strcmp(word, roles[i].name) != 0)
            continue;
        char name[48];
        (void)snprintf(name, sizeof(name), "%s %s", argv[0], word);
        argv[1] = name;
        return roles[i].run(argc - 1, argv + 1);
    }
    bool asked = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
    if (!asked)
        fprintf(stderr, "%s: wants \"server\" or \"client\"; see: %s --help\n", argv[0], argv[0]);
    else
        print_help(stdout);
    return asked ? EX_OK : EX_USAGE;
}
