/* The configuration's syntax, and every value parser behind it, fed with any text.
 *
 * Files that the text names are not opened: includes are cut out, and what a setting means is left to config_read(). */
#include "conf/conf.h"
#include "conf/suggest.h"
#include "conf/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        __builtin_trap();
}

static void on_report(void *arg, const char *file, unsigned line, const char *text)
{
    (void)file;
    must(line >= 1 && *text);
    ++*(unsigned *)arg;
}

static void try_value(struct arena *memory, const char *text)
{
    static const char *const known[] = {"certificate", "certificate-auth", "trust", "tls"};
    int64_t ms = -1;
    uint64_t size;
    bool yes;
    struct endpoint e;
    const char *host = NULL, *port = NULL;
    must(value_duration(text, &ms) < 0 || ms >= 0);
    must(value_size(text, &size) < 0 || size <= INT64_MAX);
    (void)!value_yes_no(text, &yes);
    must(value_endpoint(text, &e) < 0 || e.kind == ENDPOINT_UNIX || (e.port >= 1 && e.port <= 65535));
    must(value_host_port(text, "25", memory, &host, &port) < 0 || (*host && *port));
    (void)suggest(text, known, ARRAY_LEN(known));
}

static unsigned walk(struct arena *memory, const struct conf_node *block, unsigned depth)
{
    unsigned nodes = 0;
    must(depth < 8);
    for (const struct conf_node *n = block->items; n; n = n->next, nodes++) {
        must(n->name && n->line >= 1);
        must(!n->is_block || !n->values);
        for (const struct conf_value *v = n->values; v; v = v->next)
            try_value(memory, v->text);
        nodes += n->is_block ? walk(memory, n, depth + 1) : 0;
    }
    return nodes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    if (size > 65536 || memmem(data, size, "include", 7))
        return 0;
    struct arena memory;
    unsigned reports = 0;
    arena_init(&memory, (size_t)64 << 20);
    const struct conf_node *root = conf_parse(text, "input", &memory, on_report, &reports);
    must(root != NULL);
    must(walk(&memory, root, 0) <= size + 1);
    must(reports <= 2 * size + 1);
    arena_done(&memory);
    return 0;
}
