#include "unit.h"

#include "base/watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char folder[] = "/tmp/postern-watch-XXXXXX";
static char file[64], lists[64], inside[96];

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(file, sizeof(file), "%s/ca.pem", folder);
    (void)snprintf(lists, sizeof(lists), "%s/lists", folder);
    (void)snprintf(inside, sizeof(inside), "%s/a.crl", lists);
    return mkdir(lists, 0700);
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(file);
    (void)unlink(inside);
    (void)rmdir(lists);
    return rmdir(folder);
}

static void touch_later(const char *path)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 2000000000}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void make_inside(void)
{
    put(inside, "list");
}
static void grow_file(void)
{
    put(file, "longer than before");
}
static void touch_file(void)
{
    touch_later(file);
}
static void replace_file(void)
{
    char other[80];
    (void)snprintf(other, sizeof(other), "%s.new", file);
    put(other, "longer than before");
    touch_later(other);
    assert_int_equal(rename(other, file), 0);
}
static void drop_file(void)
{
    assert_int_equal(unlink(file), 0);
}
static void make_file(void)
{
    put(file, "back");
}
static void grow_inside(void)
{
    put(inside, "a longer list");
}
static void drop_inside(void)
{
    assert_int_equal(unlink(inside), 0);
}

static void each_change_is_seen_once(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        void (*act)(void);
    } rows[] = {
        {"the file grows",                grow_file   },
        {"its time changes",              touch_file  },
        {"another one takes its place",   replace_file},
        {"it goes",                       drop_file   },
        {"it comes back",                 make_file   },
        {"a file comes to the directory", make_inside },
        {"it grows",                      grow_inside },
        {"it goes again",                 drop_inside },
    };
    struct watch w = {0};
    put(file, "short");
    watch_add(&w, file);
    watch_add(&w, lists);
    assert_true(watch_changed(&w)); /* the first time */
    assert_false(watch_changed(&w));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        rows[i].act();
        check(rows[i].name, watch_changed(&w));
        check(rows[i].name, !watch_changed(&w));
    }
    watch_done(&w);
}

static void nothing_watched_never_changes_again(void **state)
{
    (void)state;
    struct watch w = {0};
    assert_true(watch_changed(&w));
    assert_false(watch_changed(&w));
    watch_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_change_is_seen_once),
        cmocka_unit_test(nothing_watched_never_changes_again),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
