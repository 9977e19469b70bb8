/* Passwords from files and commands: what is taken, what is refused, and in which words. */
#include "unit.h"

#include "base/clock.h"
#include "send/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static char path[64];

static void put(const char *text, size_t len, mode_t mode)
{
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static void files(void **state)
{
    (void)state;
    static char long_text[SECRET_MAX + 1];
    memset(long_text, 'x', sizeof(long_text));
    const struct {
        const char *name, *text;
        size_t len;
        mode_t mode;
        int want;
        const char *password, *why;
    } rows[] = {
        {"a line",            "geheim\n",       7,                 0600, 0,         "geheim",    NULL       },
        {"without line end",  "geheim",         6,                 0400, 0,         "geheim",    NULL       },
        {"of another system", "geheim\r\n",     8,                 0600, 0,         "geheim",    NULL       },
        {"spaces belong",     " ge heim \n",    10,                0600, 0,         " ge heim ", NULL       },
        {"more lines",        "geheim\nuser\n", 12,                0600, 0,         "geheim",    NULL       },
        {"empty",             "",               0,                 0600, -ENODATA,  NULL,        "is empty" },
        {"an empty line",     "\ngeheim\n",     8,                 0600, -ENODATA,  NULL,        "is empty" },
        {"everybody reads",   "geheim\n",       7,                 0604, -EACCES,   NULL,        "; chmod 6"},
        {"the group writes",  "geheim\n",       7,                 0620, -EACCES,   NULL,        "; chmod 6"},
        {"too long",          long_text,        sizeof(long_text), 0600, -EFBIG,    NULL,        "too long" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(buf_wipe) struct buf out = BUF_INIT(SECRET_MAX);
        char why[SECRET_WHY_MAX] = "";
        put(rows[i].text, rows[i].len, rows[i].mode);
        int r = secret_from_file(path, &out, why);
        if (r != rows[i].want)
            fail_msg("%s: %d %s", rows[i].name, r, why);
        check(rows[i].name, !rows[i].password || strcmp(out.data, rows[i].password) == 0);
        check(rows[i].name, !rows[i].why || (strstr(why, rows[i].why) && strstr(why, path)));
    }
    CLEANUP(buf_wipe) struct buf out = BUF_INIT(SECRET_MAX);
    char why[SECRET_WHY_MAX] = "";
    assert_int_equal(unlink(path), 0);
    assert_int_equal(secret_from_file(path, &out, why), -ENOENT);
    assert_int_equal(secret_from_file("/tmp", &out, why), -EISDIR);
}

static void commands(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        int want;
        const char *password, *why;
    } rows[] = {
        {"echo geheim",                   0,         "geheim",   NULL           },
        {"printf 'geheim\\nuser: me\\n'", 0,         "geheim",   NULL           },
        {"read x || echo no input",       0,         "no input", NULL           },
        {"true",                          -ENODATA,  NULL,       "is empty"     },
        {"echo geheim; exit 3",           -EIO,      NULL,       "exit code 3"  },
        {"kill -9 $$",                    -EIO,      NULL,       "signal 9"     },
        {"exec head -c 5000 /dev/zero",   -EMSGSIZE, NULL,       "too long"     },
        {"/does/not/exist 2>/dev/null",   -EIO,      NULL,       "exit code 127"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(buf_wipe) struct buf out = BUF_INIT(SECRET_MAX);
        char why[SECRET_WHY_MAX] = "";
        int r = secret_from_command(rows[i].command, 60000, &out, why);
        if (r != rows[i].want)
            fail_msg("%s: %d %s", rows[i].command, r, why);
        check(rows[i].command, !rows[i].password || strcmp(out.data, rows[i].password) == 0);
        check(rows[i].command, !rows[i].why || strstr(why, rows[i].why));
    }
}

static void a_command_that_hangs_is_ended(void **state)
{
    (void)state;
    CLEANUP(buf_wipe) struct buf out = BUF_INIT(SECRET_MAX);
    char why[SECRET_WHY_MAX] = "";
    int64_t begun = clock_monotonic_ms();
    assert_int_equal(secret_from_command("exec sleep 600", 1000, &out, why), -ETIMEDOUT);
    assert_true(clock_monotonic_ms() - begun < 60000);
    assert_non_null(strstr(why, "longer than 1 s"));
}

int main(void)
{
    (void)snprintf(path, sizeof(path), "/tmp/postern-secret-%ld", (long)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(commands),
        cmocka_unit_test(a_command_that_hangs_is_ended),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    return failed;
}
