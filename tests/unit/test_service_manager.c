#include "unit.h"

#include "app/service_manager.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

static char dir[] = "/tmp/service-manager-XXXXXX";

/* The manager's end: bound as sd_notify(3) has it. */
static int listen_at(const char *name)
{
    struct sockaddr_un own = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    memcpy(own.sun_path, name, len);
    if (name[0] == '@')
        own.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    socklen_t own_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    assert_int_equal(bind(fd, (struct sockaddr *)&own, own_len), 0);
    return fd;
}

static void it_sends_one_datagram(void **state)
{
    (void)state;
    char path[64], abstract[64], got[64];
    (void)snprintf(path, sizeof(path), "%s/notify", dir);
    (void)snprintf(abstract, sizeof(abstract), "@%s", dir);
    const char *const names[] = {path, abstract};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        int fd = listen_at(names[i]);
        assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
        check(names[i], service_manager_tell("READY=1") == 0);
        check(names[i], recv(fd, got, sizeof(got), MSG_DONTWAIT) == 7);
        check(names[i], memcmp(got, "READY=1", 7) == 0);
        (void)close(fd);
    }
    (void)unlink(path);
}

static void it_says_what_is_wrong(void **state)
{
    (void)state;
    char absent[64], longest[200];
    (void)snprintf(absent, sizeof(absent), "%s/absent", dir);
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    longest[0] = '/';
    const struct {
        const char *name;
        int want;
    } rows[] = {
        {absent,     -ENOENT},
        {longest,    -EINVAL},
        {"",         -EINVAL},
        {"/",        -EINVAL},
        {"@",        -EINVAL},
        {"relative", -EINVAL},
        {"vsock:2",  -EINVAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", rows[i].name, 1), 0);
        check(rows[i].name, service_manager_tell("READY=1") == rows[i].want);
    }
}

static void nobody_need_be_there(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    assert_int_equal(service_manager_tell("READY=1"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_sends_one_datagram),
        cmocka_unit_test(it_says_what_is_wrong),
        cmocka_unit_test(nobody_need_be_there),
    };
    if (!mkdtemp(dir))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)rmdir(dir);
    return failed;
}
