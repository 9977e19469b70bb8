#include "unit.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char folder[] = "/tmp/test_file.XXXXXX";
static char path[64];

static void put(const char *text, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

static void whole_files(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 255, 4096, 16384, 100000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        CLEANUP(freep) char *text = calloc(1, sizes[i] + 1);
        memset(text, 'x', sizes[i]);
        put(text, sizes[i]);
        CLEANUP(buf_done) struct buf b = BUF_INIT(200000);
        assert_int_equal(buf_puts(&b, "before "), 0);
        assert_int_equal(file_read(path, &b), 0);
        assert_int_equal(b.len, sizes[i] + 7);
        assert_memory_equal(b.data + 7, text, sizes[i]);
    }
}

static void what_is_no_file(void **state)
{
    (void)state;
    CLEANUP(buf_done) struct buf small = BUF_INIT(10);
    put("more than ten octets", 20);
    assert_int_equal(file_read(path, &small), -EFBIG);
    assert_int_equal(file_open(folder), -EISDIR);
    assert_int_equal(file_open("/dev/null"), -EINVAL);
    assert_int_equal(file_open("/nowhere/at/all"), -ENOENT);
    struct stat st;
    assert_int_equal(file_stat("/nowhere/at/all", &st), -ENOENT);
    assert_int_equal(file_stat(folder, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
}

static unsigned asked;
static int somebody(const char *name)
{
    asked++;
    return strcmp(name, "/nowhere/at/all") == 0 ? open(path, O_RDONLY | O_CLOEXEC) : -EACCES;
}

/* Only a refusal is a reason to ask. */
static void nobody_is_asked_in_vain(void **state)
{
    (void)state;
    put("x", 1);
    file_on_denied(somebody);
    assert_int_equal(file_open("/nowhere/at/all"), -ENOENT);
    CLEANUP(fd_closep) int fd = file_open(path);
    file_on_denied(NULL);
    assert_true(fd >= 0);
    assert_int_equal(asked, 0);
}

static void stores_are_no_files(void **state)
{
    (void)state;
    static const struct {
        const char *where;
        bool is_uri;
    } rows[] = {
        {"pkcs11:token=a",   true },
        {"PKCS11:token=a",   true },
        {"file:/etc/x.pem",  true },
        {"org.x+y-1:z",      true },
        {"/etc/x.pem",       false},
        {"x.pem",            false},
        {"./pkcs11:token=a", false},
        {"a/b:c",            false},
        {"c:x.pem",          false}, /* a letter is a drive elsewhere, and a file here */
        {"1password:x",      false},
        {":x",               false},
        {"",                 false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(rows[i].where, file_is_uri(rows[i].where) == rows[i].is_uri);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_are_no_files),
        cmocka_unit_test(whole_files),
        cmocka_unit_test(what_is_no_file),
        cmocka_unit_test(nobody_is_asked_in_vain),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
