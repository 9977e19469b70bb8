#include "conf/loader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct loader_held {
    struct loader_held *next;
    struct loader_finding finding;
};

/* ---- what is kept ---- */

static void *or_out_of_memory(struct loader *l, void *p)
{
    if (!p && l->error == 0)
        l->error = -ENOMEM;
    return p;
}

void *loader_room(struct loader *l, size_t size)
{
    return or_out_of_memory(l, arena_alloc(l->memory, size));
}

char *loader_keep(struct loader *l, const char *text)
{
    static char empty[1];
    char *copy = or_out_of_memory(l, arena_strdup(l->memory, str_of(text)));
    return copy ? copy : empty;
}

char *loader_path(struct loader *l, const char *file, const char *path)
{
    return or_out_of_memory(l, conf_path(file, path, l->memory));
}

/* ---- findings ---- */

/* Behind what was found in the same file up to this line; files keep the order they first appear in. */
static struct loader_held **place_for(struct loader *l, const char *file, unsigned line)
{
    struct loader_held **at = &l->held, **end = NULL;
    for (; *at; at = &(*at)->next) {
        if (strcmp((*at)->finding.file, file) != 0)
            continue;
        if ((*at)->finding.line > line)
            return at;
        end = &(*at)->next;
    }
    return end ? end : at;
}

static void
hold(struct loader *l, const char *file, unsigned line, bool is_warning, const char *text)
{
    l->mistakes += !is_warning;
    if (++l->findings > LOADER_FINDINGS_MAX)
        return;
    struct loader_held *h = loader_room(l, sizeof(*h));
    if (!h)
        return;
    h->finding = (struct loader_finding){file, line, is_warning, loader_keep(l, text)};
    struct loader_held **at = place_for(l, file, line);
    h->next = *at;
    *at = h;
}

void loader_mistake(struct loader *l, const struct conf_node *at, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    hold(l, at->file, at->line, false, text);
}

void loader_warning(struct loader *l, const struct conf_node *at, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    hold(l, at->file, at->line, true, text);
}

void loader_report_line(void *arg, const struct loader_finding *f)
{
    struct loader_lines *to = arg;
    char line[1024];
    (void)snprintf(line, sizeof(line), "%s:%u: %s%s", f->file, f->line,
                   f->is_warning ? "warning: " : "", f->text);
    to->report(to->arg, line);
}

/* ---- the whole ---- */

static void on_syntax(void *arg, const char *file, unsigned line, const char *text)
{
    hold(arg, file, line, false, text);
}

const struct conf_node *loader_read(struct loader *l, const char *path)
{
    int error = 0;
    l->path = path;
    l->root = conf_read(path, l->memory, on_syntax, l, &error);
    if (error < 0)
        l->error = error;
    return l->root;
}

int loader_finish(struct loader *l)
{
    for (const struct loader_held *h = l->held; h; h = h->next)
        l->report(l->arg, &h->finding);
    if (l->findings > LOADER_FINDINGS_MAX)
        l->report(l->arg, &(struct loader_finding){l->path, 1, true,
                                                   "there is more to say; mend these first"});
    return l->error < 0 ? l->error : (int)l->mistakes;
}
