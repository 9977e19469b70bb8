#include "app/report_out.h"

#include "base/buf.h"

#include <errno.h>
#include <jansson.h>
#include <sysexits.h>

/* What comes from a peer need not be UTF-8, which JSON must be. */
static json_t *text_json(const char *s)
{
    struct str text = str_of(s);
    return str_is_utf8(text) ? json_stringn(text.p, text.len) : json_string("?");
}

static void set(json_t *object, const char *key, const char *value)
{
    (void)json_object_set_new(object, key, text_json(value));
}

static json_t *cell_json(const struct report *r, const struct report_case *c, size_t k)
{
    json_t *o = json_object();
    set(o, "column", r->columns[k].name);
    set(o, "status", probe_status_name(c->cells[k].status));
    set(o, "detail", c->cells[k].detail);
    (void)json_object_set_new(o, "took-ms", json_integer(c->cells[k].took_ms));
    return o;
}

static json_t *case_json(const struct report *r, size_t i)
{
    const struct report_case *c = &r->cases[i];
    json_t *o = json_object(), *cells = json_array();
    (void)json_object_set_new(o, "number", json_integer((json_int_t)i + 1));
    set(o, "id", c->id);
    set(o, "title", c->title);
    set(o, "section", c->section);
    set(o, "rows", c->rows);
    for (size_t k = 0; k < r->n_columns; k++)
        (void)json_array_append_new(cells, cell_json(r, c, k));
    (void)json_object_set_new(o, "results", cells);
    return o;
}

static json_t *column_json(const struct report_column *c)
{
    json_t *o = json_object();
    set(o, "name", c->name);
    set(o, "verdict", c->verdict);
    set(o, "verdict-text", c->verdict_text);
    return o;
}

static json_t *table_json(const struct report_table *t)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->n_rows; i++) {
        json_t *o = json_object();
        for (size_t h = 0; h < t->n_heads; h++)
            set(o, t->heads[h], t->rows[i][h]);
        (void)json_array_append_new(list, o);
    }
    return list;
}

static json_t *head_json(const struct report *r)
{
    json_t *o = json_object();
    set(o, "command", r->command);
    set(o, "subject", r->subject);
    (void)json_object_set_new(o, "time", json_integer(r->at_ms / 1000));
    set(o, "verdict", r->verdict);
    set(o, "verdict-text", r->verdict_text);
    set(o, "result", probe_conforms_name(r->result));
    set(o, "change", r->change);
    set(o, "untold", r->untold);
    return o;
}

static int write_json(const struct report *r, FILE *to)
{
    json_t *root = head_json(r), *columns = json_array(), *cases = json_array();
    for (size_t k = 0; k < r->n_columns; k++)
        (void)json_array_append_new(columns, column_json(&r->columns[k]));
    for (size_t i = 0; i < r->n_cases; i++)
        (void)json_array_append_new(cases, case_json(r, i));
    (void)json_object_set_new(root, "columns", columns);
    (void)json_object_set_new(root, "cases", cases);
    for (size_t i = 0; i < r->n_tables; i++)
        (void)json_object_set_new(root, r->tables[i].name, table_json(&r->tables[i]));
    int bad = json_dumpf(root, to, JSON_INDENT(2));
    json_decref(root);
    return bad != 0 || fputc('\n', to) == EOF || fflush(to) != 0 ? -EIO : 0;
}

static bool to_file(const struct report *r,
                    const char *path,
                    int (*write)(const struct report *r, FILE *to),
                    const char *program)
{
    if (!path)
        return true;
    FILE *to = fopen(path, "we");
    bool good = to && write(r, to) == 0;
    int error = errno;
    if (to && fclose(to) != 0)
        good = false;
    if (!good)
        fprintf(stderr, "%s: cannot write %s: %s\n", program, path, strerror(error));
    return good;
}

int report_out(const struct report *r, const struct report_out *out, const char *program)
{
    bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    int bad = out->json ? write_json(r, stdout) : report_write_text(r, stdout, colour);
    if (bad < 0)
        fprintf(stderr, "%s: cannot write the report: %s\n", program, strerror(errno));
    bool junit = to_file(r, out->junit, report_write_junit, program);
    bool html = to_file(r, out->html, report_write_html, program);
    return bad < 0 || !junit || !html ? EX_CANTCREAT : (int)r->result;
}
