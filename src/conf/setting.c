#include "conf/setting.h"

#include "base/file.h"
#include "base/net_range.h"
#include "cert/judge.h"
#include "conf/suggest.h"
#include "conf/value.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static void store(void *block, size_t offset, const void *value, size_t size)
{
    memcpy((char *)block + offset, value, size);
}

/* The one value of a setting; NULL after a report. */
static const char *one_value(struct loader *l, const struct conf_node *n)
{
    if (n->values && !n->is_list)
        return n->values->text;
    if (n->is_list)
        loader_mistake(l, n, "\"%s\" takes one value, not a list; write %s = VALUE", n->name,
                       n->name);
    return NULL;
}

void setting_text(struct loader *l, const struct conf_node *n, const struct setting *s, void *block)
{
    const char *text = one_value(l, n);
    if (!text)
        return;
    if (!*text) {
        loader_mistake(l, n, "\"%s\" is empty; give it a value or leave it out", n->name);
        return;
    }
    char *copy = loader_keep(l, text);
    store(block, s->field, &copy, sizeof(copy));
}

void setting_domain(struct loader *l,
                    const struct conf_node *n,
                    const struct setting *s,
                    void *block)
{
    const char *text = one_value(l, n);
    const char *name = text ? value_domain(text, l->memory) : NULL;
    if (text && !name)
        loader_mistake(l, n, "\"%s\" is no domain name; write %s = \"mail.example.org\"", text,
                       n->name);
    else if (name)
        store(block, s->field, &name, sizeof(name));
}

void setting_path(struct loader *l, const struct conf_node *n, const struct setting *s, void *block)
{
    const char *text = one_value(l, n);
    if (!text)
        return;
    if (!*text) {
        loader_mistake(l, n, "\"%s\" is empty; write the path of a file", n->name);
        return;
    }
    char *path = loader_path(l, n->file, text);
    store(block, s->field, &path, sizeof(path));
}

/* Relative and absolute alike; "postgresql://..." is no path. */
void setting_database(struct loader *l,
                      const struct conf_node *n,
                      const struct setting *s,
                      void *block)
{
    const char *text = one_value(l, n);
    if (text && (strncmp(text, "postgresql:", 11) == 0 || strncmp(text, "postgres:", 9) == 0))
        loader_mistake(l, n,
                       "this build has no PostgreSQL spool; write the path of an SQLite file, %s = "
                       "\"/var/lib/postern/spool.db\"",
                       n->name);
    else if (text)
        setting_path(l, n, s, block);
}

/* OCSP answers are signed, so they come without TLS. */
void setting_http(struct loader *l, const struct conf_node *n, const struct setting *s, void *block)
{
    const char *text = one_value(l, n);
    struct str url = str_of(text);
    if (text && (!str_starts_nocase(url, STR("http://")) || url.len < 8 || str_has_control(url) ||
                 !str_is_ascii(url) || str_find(url, ' ') >= 0))
        loader_mistake(l, n, "\"%s\" is no http address; write %s = \"http://ocsp.example.org/\"",
                       text, n->name);
    else if (text)
        setting_text(l, n, s, block);
}

/* A key that only root may read is no mistake: `postern queue` reads the same configuration as somebody else.  Who
 * loads the file says when it cannot. */
static bool
file_is_there(struct loader *l, const struct conf_node *n, const char *path, bool may_be_directory)
{
    struct stat st;
    int r = stat(path, &st) < 0 ? errno : 0;
    if (r == 0 && !may_be_directory && S_ISDIR(st.st_mode))
        r = EISDIR;
    if (r == 0 || r == EACCES)
        return true;
    loader_mistake(l, n, "cannot read \"%s\", named by \"%s\": %s", path, n->name, strerror(r));
    return false;
}

void setting_file(struct loader *l, const struct conf_node *n, const struct setting *s, void *block)
{
    unsigned before = l->mistakes;
    setting_path(l, n, s, block);
    char *path = NULL;
    memcpy(&path, (char *)block + s->field, sizeof(path));
    if (path && l->mistakes == before)
        (void)file_is_there(l, n, path, false);
}

/* A list, or one value that stands for a list of one.  `each` makes the string that is kept, or NULL after a report. */
static void read_each(struct loader *l,
                      const struct conf_node *n,
                      const struct setting *s,
                      void *block,
                      char *(*each)(struct loader *, const struct conf_node *, const char *))
{
    size_t count = 0, kept = 0;
    for (const struct conf_value *v = n->values; v; v = v->next)
        count++;
    char **list = loader_room(l, (count + 1) * sizeof(*list));
    for (const struct conf_value *v = n->values; v && list; v = v->next) {
        struct conf_node at = *n;
        at.line = v->line;
        list[kept] = each(l, &at, v->text);
        kept += list[kept] != NULL;
    }
    store(block, s->field, &list, sizeof(list));
    store(block, s->count, &kept, sizeof(kept));
}

static char *each_name(struct loader *l, const struct conf_node *n, const char *text)
{
    (void)n;
    return loader_keep(l, text);
}

static char *each_file(struct loader *l, const struct conf_node *n, const char *text)
{
    char *path = loader_path(l, n->file, text);
    return path && file_is_there(l, n, path, false) ? path : NULL;
}

static char *each_file_or_directory(struct loader *l, const struct conf_node *n, const char *text)
{
    char *path = loader_path(l, n->file, text);
    return path && file_is_there(l, n, path, true) ? path : NULL;
}

static char *each_address(struct loader *l, const struct conf_node *n, const char *text)
{
    struct endpoint ignored;
    if (value_endpoint(text, &ignored) == 0)
        return loader_keep(l, text);
    loader_mistake(l, n,
                   "\"%s\" is no address to listen on; write \"192.0.2.1:587\", "
                   "\"[2001:db8::1]:587\", \"*:587\" or \"unix:/path\"",
                   text);
    return NULL;
}

static char *each_fingerprint(struct loader *l, const struct conf_node *n, const char *text)
{
    char *hex = loader_room(l, 65);
    if (hex && cert_fingerprint_parse(text, hex) == 0)
        return hex;
    loader_mistake(l, n,
                   "\"%s\" is no SHA-256 fingerprint (64 hex digits); `openssl x509 -noout "
                   "-fingerprint -sha256 -in FILE` prints one",
                   text);
    return NULL;
}

static char *each_pin(struct loader *l, const struct conf_node *n, const char *text)
{
    char *hex = loader_room(l, 65);
    if (hex && value_pin(text, hex) == 0)
        return hex;
    loader_mistake(l, n,
                   "\"%s\" is no pin; write \"sha256:\" and the 64 hex digits that `postern cert "
                   "explain FILE` shows as fingerprint or public key",
                   text);
    return NULL;
}

void setting_pins(struct loader *l, const struct conf_node *n, const struct setting *s, void *block)
{
    read_each(l, n, s, block, each_pin);
}

void setting_names(struct loader *l,
                   const struct conf_node *n,
                   const struct setting *s,
                   void *block)
{
    read_each(l, n, s, block, each_name);
}

/* The URI of an OpenSSL store, "pkcs11:token=...": only who opens it knows what is there. */
void setting_file_or_uri(struct loader *l,
                         const struct conf_node *n,
                         const struct setting *s,
                         void *block)
{
    if (n->values && !n->is_list && file_is_uri(n->values->text))
        setting_text(l, n, s, block);
    else
        setting_file(l, n, s, block);
}

void setting_files(struct loader *l,
                   const struct conf_node *n,
                   const struct setting *s,
                   void *block)
{
    read_each(l, n, s, block, each_file);
}

void setting_files_or_directories(struct loader *l,
                                  const struct conf_node *n,
                                  const struct setting *s,
                                  void *block)
{
    read_each(l, n, s, block, each_file_or_directory);
}

void setting_addresses(struct loader *l,
                       const struct conf_node *n,
                       const struct setting *s,
                       void *block)
{
    read_each(l, n, s, block, each_address);
}

static char *each_range(struct loader *l, const struct conf_node *n, const char *text)
{
    struct net_range ignored;
    if (net_range_parse(text, &ignored) == 0)
        return loader_keep(l, text);
    loader_mistake(l, n,
                   "\"%s\" is no range of hosts; write \"192.0.2.7\", \"10.0.0.0/8\", "
                   "\"2001:db8::/32\" or \"unix\"",
                   text);
    return NULL;
}

void setting_ranges(struct loader *l,
                    const struct conf_node *n,
                    const struct setting *s,
                    void *block)
{
    read_each(l, n, s, block, each_range);
}

void setting_address(struct loader *l,
                     const struct conf_node *n,
                     const struct setting *s,
                     void *block)
{
    const char *text = one_value(l, n);
    char *address = text ? each_address(l, n, text) : NULL;
    if (address)
        store(block, s->field, &address, sizeof(address));
}

void setting_fingerprints(struct loader *l,
                          const struct conf_node *n,
                          const struct setting *s,
                          void *block)
{
    read_each(l, n, s, block, each_fingerprint);
}

void setting_yes_no(struct loader *l,
                    const struct conf_node *n,
                    const struct setting *s,
                    void *block)
{
    const char *text = one_value(l, n);
    bool value;
    if (text && value_yes_no(text, &value) < 0)
        loader_mistake(l, n, "\"%s\" is not yes or no; write %s = yes or %s = no", text, n->name,
                       n->name);
    else if (text)
        store(block, s->field, &value, sizeof(value));
}

void setting_count(struct loader *l,
                   const struct conf_node *n,
                   const struct setting *s,
                   void *block)
{
    const char *text = one_value(l, n);
    uint64_t value;
    if (!text)
        return;
    if (str_to_u64(str_of(text), s->max, &value) < 0 || value < s->min) {
        loader_mistake(l, n, "\"%s\" is no number from %ju to %ju for \"%s\"", text,
                       (uintmax_t)s->min, (uintmax_t)s->max, n->name);
        return;
    }
    unsigned small = (unsigned)value;
    store(block, s->field, &small, sizeof(small));
}

void setting_duration(struct loader *l,
                      const struct conf_node *n,
                      const struct setting *s,
                      void *block)
{
    const char *text = one_value(l, n);
    int64_t ms;
    if (!text)
        return;
    if (value_duration(text, &ms) < 0)
        loader_mistake(l, n,
                       "\"%s\" is no duration for \"%s\"; write a number with ms, s, m, h, d or w, "
                       "such as %s = 5m",
                       text, n->name, n->name);
    else if ((uint64_t)ms < s->min || (uint64_t)ms > s->max)
        loader_mistake(l, n, "\"%s\" is %s for \"%s\"; it can be %ju s to %ju s", text,
                       (uint64_t)ms < s->min ? "too short" : "too long", n->name,
                       (uintmax_t)s->min / 1000, (uintmax_t)s->max / 1000);
    else
        store(block, s->field, &ms, sizeof(ms));
}

void setting_size(struct loader *l, const struct conf_node *n, const struct setting *s, void *block)
{
    const char *text = one_value(l, n);
    uint64_t value;
    if (!text)
        return;
    if (value_size(text, &value) < 0 || value < s->min)
        loader_mistake(l, n,
                       "\"%s\" is no size for \"%s\"; write octets, or a number with K, M, G or T, "
                       "such as %s = 50M",
                       text, n->name, n->name);
    else
        store(block, s->field, &value, sizeof(value));
}

/* "starttls, implicit or none" */
static void list_words(const struct word *words, char *out, size_t size)
{
    size_t len = 0;
    for (const struct word *w = words; w->name && len < size; w++) {
        const char *glue = w == words ? "" : w[1].name ? ", " : " or ";
        len += (size_t)snprintf(out + len, size - len, "%s%s", glue, w->name);
    }
}

/* NULL after a report. */
static const struct word *
find_word(struct loader *l, const struct conf_node *n, const struct word *words, const char *text)
{
    for (const struct word *w = words; w->name; w++)
        if (strcmp(w->name, text) == 0)
            return w;
    char names[256];
    list_words(words, names, sizeof(names));
    loader_mistake(l, n, "\"%s\" is no value of \"%s\"; write %s", text, n->name, names);
    return NULL;
}

void setting_word(struct loader *l, const struct conf_node *n, const struct setting *s, void *block)
{
    const char *text = one_value(l, n);
    const struct word *w = text ? find_word(l, n, s->words, text) : NULL;
    if (w)
        store(block, s->field, &w->value, sizeof(w->value));
}

void setting_flag(struct loader *l, const struct conf_node *n, const struct setting *s, void *block)
{
    const char *text = one_value(l, n);
    const struct word *w = text ? find_word(l, n, s->words, text) : NULL;
    bool value = w && w->value;
    if (w)
        store(block, s->field, &value, sizeof(value));
}

void setting_words(struct loader *l,
                   const struct conf_node *n,
                   const struct setting *s,
                   void *block)
{
    unsigned set = 0;
    for (const struct conf_value *v = n->values; v; v = v->next) {
        struct conf_node at = *n;
        at.line = v->line;
        const struct word *w = find_word(l, &at, s->words, v->text);
        set |= w ? w->value : 0;
    }
    store(block, s->field, &set, sizeof(set));
}

void setting_set(struct loader *l, const struct conf_node *n, const struct setting *s, void *block)
{
    unsigned set = 0;
    char words[128];
    list_words(s->words, words, sizeof(words));
    for (const struct conf_value *v = n->values; v; v = v->next) {
        const struct word *w = s->words;
        struct conf_node at = *n;
        at.line = v->line;
        while (w->name && strcmp(w->name, v->text) != 0)
            w++;
        if (!w->name)
            loader_mistake(l, &at, "\"%s\" is no value of \"%s\"; there are %s", v->text, n->name,
                           words);
        set |= w->value;
    }
    store(block, s->field, &set, sizeof(set));
}

/* ---- one block ---- */

#define NAMES_MAX 64

static void unknown_setting(struct loader *l,
                            const struct conf_node *block,
                            const struct conf_node *n,
                            const struct setting *settings)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (const struct setting *s = settings; s->name && count < NAMES_MAX; s++)
        names[count++] = s->name;
    char where[VALUE_NAME_MAX + 8] = "";
    if (*block->name)
        (void)snprintf(where, sizeof(where), " in \"%s\"", block->name);
    const char *near = suggest(n->name, names, count);
    if (near) {
        loader_mistake(l, n, "unknown setting \"%s\"%s; did you mean \"%s\"?", n->name, where,
                       near);
        return;
    }
    char known[800] = "";
    size_t len = 0;
    for (size_t i = 0; i < count && len < sizeof(known); i++)
        len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s", i ? ", " : "", names[i]);
    loader_mistake(l, n, "unknown setting \"%s\"%s; there are %s", n->name, where, known);
}

const struct setting *setting_find(const struct setting *settings, const char *name)
{
    for (const struct setting *s = settings; s->name; s++) {
        if (strcmp(s->name, name) == 0)
            return s;
    }
    return NULL;
}

void setting_read(struct loader *l,
                  const struct conf_node *block,
                  const struct conf_node *n,
                  const struct setting *settings,
                  void *into)
{
    const struct setting *s = setting_find(settings, n->name);
    const struct conf_node *first = conf_find(block, n->name);
    if (!s)
        unknown_setting(l, block, n, settings);
    else if (first != n && !first->is_block)
        loader_mistake(l, n, "\"%s\" is set twice in one block, first on line %u; keep one",
                       n->name, first->line);
    else if (n->values || n->is_list)
        s->read(l, n, s, into);
}

void setting_read_all(struct loader *l,
                      const struct conf_node *block,
                      const struct setting *settings,
                      void *into)
{
    for (const struct conf_node *n = block->items; n; n = n->next) {
        if (!n->is_block)
            setting_read(l, block, n, settings, into);
        else if (setting_find(settings, n->name))
            loader_mistake(l, n,
                           "\"%s\" is a setting, not a block; write %s = VALUE or %s = {one, two}",
                           n->name, n->name, n->name);
        else
            loader_mistake(l, n,
                           "the block \"%s\" stands inside \"%s\" of line %u; is the \"}\" of that "
                           "one missing?",
                           n->name, block->name, block->line);
    }
}
