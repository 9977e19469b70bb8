#include "app/cmd_passwd.h"

#include "auth/password.h"
#include "auth/prepare.h"
#include "base/table.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <termios.h>

/* The table is never changed in place: a new one is written beside it, synced, and renamed over it, so that the server,
 * and whoever comes after a crash, sees the old one or the new one. */

struct options {
    bool scram, remove;
    const char *file, *user;
};

static void usage(FILE *to)
{
    fputs("usage: postern passwd [--scram] FILE USER\n"
          "       postern passwd --delete FILE USER\n"
          "\n"
          "Adds a user to a password table, or changes the password; asks for it on the terminal,\n"
          "or takes one line of standard input.  FILE is made when it is not there.\n"
          "\n"
          "  -s, --scram    store what SCRAM-SHA-256 needs; PLAIN works with it, too\n"
          "  -d, --delete   remove the user\n"
          "  -h, --help     this text\n",
          to);
}

static int say(int status, const char *fmt, ...) PRINTF(2, 3);
static int say(int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("postern passwd: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return status;
}

static bool parse_args(int argc, char **argv, struct options *o, int *status)
{
    static const struct option options[] = {
        {"scram",  no_argument, NULL, 's'},
        {"delete", no_argument, NULL, 'd'},
        {"help",   no_argument, NULL, 'h'},
        {NULL,     0,           NULL, 0  },
    };
    int c;
    optind = 1;
    while ((c = getopt_long(argc, argv, "sdh", options, NULL)) != -1) {
        if (c == 's')
            o->scram = true;
        if (c == 'd')
            o->remove = true;
        if (c == 's' || c == 'd')
            continue;
        usage(c == 'h' ? stdout : stderr);
        *status = c == 'h' ? EX_OK : EX_USAGE;
        return false;
    }
    *status = EX_USAGE;
    if (argc - optind != 2) {
        (void)say(0, argc - optind > 2 ? "too many arguments; the password is never one of them"
                                       : "a file and a user are needed");
        return false;
    }
    o->file = argv[optind];
    o->user = argv[optind + 1];
    return true;
}

/* ---- the password ---- */

static void show_typing(bool show)
{
    struct termios t;
    if (tcgetattr(STDIN_FILENO, &t) < 0)
        return;
    t.c_lflag = show ? t.c_lflag | (tcflag_t)ECHO : t.c_lflag & ~(tcflag_t)ECHO;
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &t);
}

/* One line without its end; octet by octet, so that no buffer of stdio keeps a copy. */
static int read_line(struct buf *out)
{
    char c;
    ssize_t n;
    while ((n = read(STDIN_FILENO, &c, 1)) == 1 && c != '\n') {
        int r = buf_append(out, &c, 1);
        if (r < 0)
            return r;
    }
    if (out->len && out->data[out->len - 1] == '\r')
        out->data[--out->len] = '\0';
    return n < 0 ? -errno : 0;
}

static int ask(const char *prompt, struct buf *out)
{
    bool terminal = isatty(STDIN_FILENO) == 1;
    int r = buf_reserve(out, PASSWORD_MAX); /* growing would leave pieces behind */
    if (terminal) {
        fputs(prompt, stderr);
        show_typing(false);
    }
    if (r == 0)
        r = read_line(out);
    if (terminal) {
        show_typing(true);
        fputc('\n', stderr);
    }
    return r;
}

static int ask_password(struct buf *ret_prepared)
{
    CLEANUP(buf_wipe) struct buf once = BUF_INIT(PASSWORD_MAX), again = BUF_INIT(PASSWORD_MAX);
    if (ask("New password: ", &once) < 0)
        return say(EX_DATAERR, "cannot read a password of at most %d octets", PASSWORD_MAX);
    if (isatty(STDIN_FILENO) == 1 &&
        (ask("The same again: ", &again) < 0 || !str_eq(buf_str(&once), buf_str(&again))))
        return say(EX_DATAERR, "the two are not the same; nothing was changed");
    if (prepare_typed(buf_str(&once), ret_prepared) < 0)
        return say(EX_DATAERR,
                   "the password is empty, no UTF-8, or holds characters no client may send");
    return EX_OK;
}

/* ---- the table ---- */

/* A key as it stands in the table. */
static int put_key(struct str user, struct buf *out)
{
    bool plain = user.p[0] != '#' && user.p[0] != '"' && str_find(user, ' ') < 0;
    if (plain)
        return buf_append_str(out, user);
    int r = buf_puts(out, "\"");
    for (size_t i = 0; r == 0 && i < user.len; i++) {
        if (user.p[i] == '"' || user.p[i] == '\\')
            r = buf_puts(out, "\\");
        if (r == 0)
            r = buf_append(out, &user.p[i], 1);
    }
    return r < 0 ? r : buf_puts(out, "\"");
}

static bool is_of(struct str line, struct str key)
{
    line = str_trim(line);
    return line.len > key.len && str_eq(str_upto(line, key.len), key) &&
           (line.p[key.len] == ' ' || line.p[key.len] == '\t');
}

/* Everything but the user's line, and that with its new entry (p NULL: without). */
static int
rewrite(struct str old, struct str key, struct str entry, struct buf *out, bool *ret_found)
{
    int r = 0;
    *ret_found = false;
    while (old.len && r == 0) {
        ssize_t lf = str_find(old, '\n');
        struct str line = str_upto(old, lf < 0 ? old.len : (size_t)lf);
        old = str_from(old, line.len + 1);
        bool ours = is_of(line, key);
        if (ours && !*ret_found && entry.p)
            r = buf_printf(out, "%.*s  %.*s\n", STR_FMT(key), STR_FMT(entry));
        else if (!ours)
            r = buf_printf(out, "%.*s\n", STR_FMT(line));
        *ret_found |= ours;
    }
    if (r == 0 && entry.p && !*ret_found)
        r = buf_printf(out, "%.*s  %.*s\n", STR_FMT(key), STR_FMT(entry));
    return r;
}

static int read_old(const char *path, struct buf *out, struct stat *st)
{
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, st) < 0)
        return -errno;
    for (;;) {
        int r = buf_reserve(out, 65536);
        if (r < 0)
            return r;
        ssize_t n = read(fd, out->data + out->len, 65536);
        if (n <= 0)
            return n < 0 ? -errno : 0;
        out->len += (size_t)n;
    }
}

static int write_all(int fd, struct str s)
{
    while (s.len) {
        ssize_t n = write(fd, s.p, s.len);
        if (n < 0 && errno != EINTR)
            return -errno;
        s = str_from(s, n > 0 ? (size_t)n : 0);
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* The folder is locked, so that two of us at the same time lose neither's change. */
static int open_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    CLEANUP(freep)
    char *folder =
        slash ? xstrndup(path, slash == path ? 1 : (size_t)(slash - path)) : xstrdup(".");
    CLEANUP(fd_closep) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return -errno;
    return fd_take(&fd);
}

/* st NULL: there was no file.  A new one is for its owner alone; one that was there keeps owner and mode. */
static int replace(const char *path, int folder, struct str text, const struct stat *st)
{
    CLEANUP(buf_done) struct buf fresh = BUF_INIT(4096);
    int r = buf_printf(&fresh, "%s.XXXXXX", path);
    if (r < 0)
        return r;
    CLEANUP(fd_closep) int fd = mkostemp(fresh.data, O_CLOEXEC); /* 0600 */
    if (fd < 0)
        return -errno;
    if (st && (fchown(fd, st->st_uid, st->st_gid) < 0 || fchmod(fd, st->st_mode & 0640) < 0))
        r = -errno;
    if (r == 0)
        r = write_all(fd, text);
    if (r == 0 && rename(fresh.data, path) < 0)
        r = -errno;
    if (r < 0)
        (void)unlink(fresh.data);
    else if (fsync(folder) < 0)
        r = -errno;
    return r;
}

static int change(const struct options *o, struct str key, struct str entry)
{
    CLEANUP(buf_wipe) struct buf old = BUF_INIT(TABLE_FILE_MAX), fresh = BUF_INIT(TABLE_FILE_MAX);
    CLEANUP(fd_closep) int folder = open_folder(o->file);
    struct stat st;
    bool found;
    if (folder < 0)
        return say(EX_CANTCREAT, "cannot open the folder of %s: %s", o->file, strerror(-folder));
    int r = read_old(o->file, &old, &st);
    bool is_new = r == -ENOENT;
    if (r < 0 && (!is_new || o->remove))
        return say(EX_NOINPUT, "cannot read %s: %s", o->file, strerror(-r));
    r = rewrite(buf_str(&old), key, entry, &fresh, &found);
    if (r == 0 && o->remove && !found)
        return say(EX_NOUSER, "there is no %s in %s", o->user, o->file);
    if (r == 0)
        r = replace(o->file, folder, buf_str(&fresh), is_new ? NULL : &st);
    if (r < 0)
        return say(EX_CANTCREAT, "cannot write %s: %s", o->file, strerror(-r));
    fprintf(stderr, "%s: %s %s\n", o->file, o->user,
            o->remove ? "is removed"
            : found   ? "has a new password"
                      : "is added");
    return EX_OK;
}

int cmd_passwd(int argc, char **argv)
{
    struct options o = {0};
    int status;
    CLEANUP(buf_done) struct buf user = BUF_INIT(256), key = BUF_INIT(600);
    CLEANUP(buf_wipe)
    struct buf password = BUF_INIT(PASSWORD_MAX), entry = BUF_INIT(PASSWORD_ENTRY_MAX);
    if (!parse_args(argc, argv, &o, &status))
        return status;
    if (prepare_typed(str_of(o.user), &user) < 0 || put_key(buf_str(&user), &key) < 0)
        return say(
            EX_DATAERR,
            "\"%s\" is no user name: it is empty, too long, no UTF-8, or holds characters no "
            "client may send",
            o.user);
    if (o.remove)
        return change(&o, buf_str(&key), (struct str){NULL, 0});
    status = ask_password(&password);
    if (status != EX_OK)
        return status;
    int r = o.scram ? password_make_scram(buf_str(&password), &entry)
                    : password_make_crypt(buf_str(&password), &entry);
    if (r < 0)
        return say(EX_SOFTWARE, "cannot hash the password: %s", strerror(-r));
    return change(&o, buf_str(&key), buf_str(&entry));
}
