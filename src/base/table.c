#include "base/table.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

struct entry {
    struct str key, value; /* point into the snapshot's text */
    unsigned line;
};

struct snapshot {
    char *text;
    struct entry *entries; /* sorted by key */
    size_t n;
};

struct table {
    char *path;
    bool fold;
    struct stat seen; /* of the file as last looked at, good or bad */
    pthread_mutex_t lock;
    struct snapshot now; /* under lock */
};

static void snapshot_done(struct snapshot *s)
{
    free(s->text);
    free(s->entries);
    *s = (struct snapshot){0};
}

static int complain(char *why, int error, const char *fmt, ...) PRINTF(3, 4);
static int complain(char *why, int error, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, TABLE_WHY_MAX, fmt, ap);
    va_end(ap);
    return error;
}

static int compare(struct str a, struct str b, bool fold)
{
    size_t n = MIN(a.len, b.len);
    int r = fold ? strncasecmp(a.p, b.p, n) : memcmp(a.p, b.p, n);
    return r ? r : (a.len > b.len) - (a.len < b.len);
}

static int by_key(const void *a, const void *b, void *fold)
{
    const struct entry *x = a, *y = b;
    return compare(x->key, y->key, *(const bool *)fold);
}

/* ---- reading ---- */

static int read_whole(int fd, size_t size, char *to)
{
    size_t got = 0;
    while (got < size) {
        ssize_t n = read(fd, to + got, size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EAGAIN; /* it shrank under our eyes: somebody is writing it */
        got += (size_t)n;
    }
    return 0;
}

/* The file's octets with a NUL behind, and what stat said of them. */
static int read_file(const char *path, char **ret_text, struct stat *ret_seen, char *why)
{
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, ret_seen) < 0)
        return complain(why, -errno, "cannot read the table %s: %s", path, strerror(errno));
    if (!S_ISREG(ret_seen->st_mode))
        return complain(why, -EINVAL, "the table %s is no regular file", path);
    if (ret_seen->st_size > (off_t)TABLE_FILE_MAX)
        return complain(why, -EFBIG, "the table %s is above %zu MiB", path, TABLE_FILE_MAX >> 20);
    CLEANUP(freep) char *text = calloc((size_t)ret_seen->st_size + 1, 1);
    if (!text)
        return complain(why, -ENOMEM, "no memory for the table %s", path);
    int r = read_whole(fd, (size_t)ret_seen->st_size, text);
    if (r < 0)
        return complain(why, r, "cannot read the table %s: %s", path, strerror(-r));
    *ret_text = text;
    text = NULL;
    return 0;
}

/* ---- parsing, in place: quoted keys are undone where they stand ---- */

static struct str trim_end(struct str s)
{
    while (s.len && strchr(" \t\r", s.p[s.len - 1]))
        s.len--;
    return s;
}

/* "..." at the start of the line; returns the octets it took, or 0 when the closing quote is missing. */
static size_t unquote(char *line, size_t len, struct str *ret)
{
    size_t to = 0;
    for (size_t i = 1; i < len; i++) {
        if (line[i] == '"') {
            *ret = (struct str){line, to};
            return i + 1;
        }
        if (line[i] == '\\' && i + 1 < len && (line[i + 1] == '"' || line[i + 1] == '\\'))
            i++;
        line[to++] = line[i];
    }
    return 0;
}

/* 1 with an entry, 0 for a line that does not count, -EINVAL. */
static int parse_line(char *line, size_t len, struct entry *ret)
{
    while (len && (*line == ' ' || *line == '\t'))
        line++, len--;
    if (trim_end((struct str){line, len}).len == 0 || *line == '#')
        return 0;
    size_t used = 0;
    if (*line == '"') {
        used = unquote(line, len, &ret->key);
        if (used == 0)
            return -EINVAL;
    } else {
        while (used < len && !strchr(" \t\r", line[used]))
            used++;
        ret->key = (struct str){line, used};
    }
    if (ret->key.len == 0)
        return -EINVAL;
    ret->value = trim_end(str_trim((struct str){line + used, len - used}));
    return 1;
}

static int add(struct snapshot *s, size_t *cap, struct entry e)
{
    if (s->n == *cap) {
        size_t more = *cap ? *cap * 2 : 16;
        struct entry *grown = reallocarray(s->entries, more, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        s->entries = grown;
        *cap = more;
    }
    s->entries[s->n++] = e;
    return 0;
}

static int parse(struct snapshot *s, const char *path, size_t len, char *why)
{
    size_t cap = 0;
    unsigned number = 0;
    for (char *line = s->text, *end = s->text + len; line < end; number++) {
        char *lf = memchr(line, '\n', (size_t)(end - line));
        size_t n = (size_t)((lf ? lf : end) - line);
        struct entry e = {.line = number + 1};
        if (memchr(line, '\0', n))
            return complain(why, -EINVAL, "%s:%u: a NUL octet stands here", path, number + 1);
        int r = parse_line(line, n, &e);
        if (r < 0)
            return complain(why, r, "%s:%u: the quoted key is empty or does not end", path,
                            number + 1);
        if (r > 0 && add(s, &cap, e) < 0)
            return complain(why, -ENOMEM, "no memory for the table %s", path);
        line += n + 1;
    }
    return 0;
}

/* A key that stands twice is a mistake: which of the two was meant? */
static int sort(struct snapshot *s, const char *path, bool fold, char *why)
{
    if (s->n)
        qsort_r(s->entries, s->n, sizeof(*s->entries), by_key, &fold);
    for (size_t i = 1; i < s->n; i++) {
        const struct entry *a = &s->entries[i - 1], *b = &s->entries[i];
        if (compare(a->key, b->key, fold) == 0)
            return complain(why, -EINVAL, "%s:%u: the key of line %u stands here again", path,
                            MAX(a->line, b->line), MIN(a->line, b->line));
    }
    return 0;
}

static int load(const char *path, bool fold, struct snapshot *ret, struct stat *ret_seen, char *why)
{
    struct snapshot s = {0};
    int r = read_file(path, &s.text, ret_seen, why);
    if (r == 0)
        r = parse(&s, path, (size_t)ret_seen->st_size, why);
    if (r == 0)
        r = sort(&s, path, fold, why);
    if (r < 0)
        snapshot_done(&s);
    else
        *ret = s;
    return r;
}

/* ---- the handle ---- */

int table_open(const char *path, bool fold, struct table **ret, char *why)
{
    struct snapshot s;
    struct stat seen;
    int r = load(path, fold, &s, &seen, why);
    if (r < 0)
        return r;
    struct table *t = xcalloc(1, sizeof(*t));
    *t = (struct table){.path = xstrdup(path), .fold = fold, .seen = seen, .now = s};
    (void)pthread_mutex_init(&t->lock, NULL);
    *ret = t;
    return 0;
}

void table_close(struct table *t)
{
    if (!t)
        return;
    snapshot_done(&t->now);
    (void)pthread_mutex_destroy(&t->lock);
    free(t->path);
    free(t);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int table_refresh(struct table *t, char *why)
{
    struct stat there = {0};
    bool found = stat(t->path, &there) == 0;
    if (same_file(&there, &t->seen))
        return 0;
    int error = found ? 0 : -errno;
    t->seen = there;
    if (!found)
        return complain(why, error, "cannot read the table %s: %s", t->path, strerror(-error));
    struct snapshot fresh;
    int r = load(t->path, t->fold, &fresh, &t->seen, why);
    if (r < 0)
        return r;
    (void)pthread_mutex_lock(&t->lock);
    struct snapshot old = t->now;
    t->now = fresh;
    (void)pthread_mutex_unlock(&t->lock);
    snapshot_done(&old);
    return 1;
}

static const struct entry *find(const struct snapshot *s, struct str key, bool fold)
{
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int r = compare(key, s->entries[middle].key, fold);
        if (r == 0)
            return &s->entries[middle];
        if (r < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

int table_get(struct table *t, struct str key, struct buf *value)
{
    (void)pthread_mutex_lock(&t->lock);
    const struct entry *e = find(&t->now, key, t->fold);
    int r = e ? 0 : -ENOENT;
    if (e && value) {
        buf_clear(value);
        r = buf_append_str(value, e->value);
    }
    (void)pthread_mutex_unlock(&t->lock);
    return r;
}

size_t table_size(struct table *t)
{
    (void)pthread_mutex_lock(&t->lock);
    size_t n = t->now.n;
    (void)pthread_mutex_unlock(&t->lock);
    return n;
}

const char *table_path(const struct table *t)
{
    return t->path;
}
