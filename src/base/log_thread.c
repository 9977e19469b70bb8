/* The thread that writes log lines.  Whoever logs appends to one buffer, the thread swaps it for an empty one and writes
 * all of it at once. */
#include "base/log_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#define GATHER_MS 5 /* a line waits so long for others */
#define BUFFER_MAX ((size_t)1024 * 1024)
#define BUFFER_MUCH (BUFFER_MAX / 4) /* not waited for any longer */
#define STUCK_MS 1000 /* how soon it is seen, while nobody reads, that we are to end */

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t news;
    char *filling; /* under lock, as are the next three */
    size_t len;
    uint64_t lost;
    bool stopping;
    char *writing; /* the thread's */
    int fd;
    size_t piece; /* what a descriptor that is writable takes without making us wait */
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void take_line(const char *line, size_t len)
{
    (void)pthread_mutex_lock(&writer.lock);
    size_t before = writer.len;
    bool fits = before + len <= BUFFER_MAX;
    if (fits) {
        memcpy(writer.filling + before, line, len);
        writer.len += len;
    } else {
        writer.lost++;
    }
    bool news = before == 0 || (before < BUFFER_MUCH && writer.len >= BUFFER_MUCH);
    (void)pthread_mutex_unlock(&writer.lock);
    if (news)
        (void)pthread_cond_signal(&writer.news);
}

static bool is_stopping(void)
{
    (void)pthread_mutex_lock(&writer.lock);
    bool yes = writer.stopping;
    (void)pthread_mutex_unlock(&writer.lock);
    return yes;
}

/* A log that cannot be written must not stop the mail: what fails is gone, and when we end nobody is waited for. */
static bool wait_writable(void)
{
    struct pollfd p = {.fd = writer.fd, .events = POLLOUT};
    int n;
    do {
        n = poll(&p, 1, STUCK_MS);
    } while (n == 0 && !is_stopping());
    return n > 0;
}

static void write_all(const char *p, size_t len)
{
    while (len > 0 && wait_writable()) {
        ssize_t n = write(writer.fd, p, MIN(len, writer.piece));
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return;
        p += MAX(n, 0);
        len -= (size_t)MAX(n, 0);
    }
}

static void tell_lost(uint64_t lost)
{
    struct log_line l;
    log_begin(&l, LOG_LEVEL_WARNING, "log-lost");
    log_number(&l, "lines", (int64_t)lost);
    log_text(&l, "reason", "they came faster than they could be written");
    if (!l.wanted)
        return;
    l.text[l.len++] = '\n';
    write_all(l.text, l.len);
}

/* With the lock held: until there is something, and a moment longer. */
static void gather(void)
{
    while (writer.len == 0 && !writer.stopping)
        (void)pthread_cond_wait(&writer.news, &writer.lock);
    int64_t until = clock_monotonic_ms() + GATHER_MS;
    const struct timespec ts = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
    while (writer.len < BUFFER_MUCH && !writer.stopping)
        if (pthread_cond_timedwait(&writer.news, &writer.lock, &ts) == ETIMEDOUT)
            break;
}

static void *write_lines(void *arg)
{
    (void)arg;
    for (;;) {
        (void)pthread_mutex_lock(&writer.lock);
        gather();
        char *full = writer.filling;
        size_t len = writer.len;
        uint64_t lost = writer.lost;
        bool last = writer.stopping && len == 0 && lost == 0;
        writer.filling = writer.writing;
        writer.writing = full;
        writer.len = 0;
        writer.lost = 0;
        (void)pthread_mutex_unlock(&writer.lock);
        if (last)
            return NULL;
        write_all(full, len);
        if (lost)
            tell_lost(lost);
    }
}

/* ---- the end of the process ---- */

/* What is in the buffer says what led here.  Without the lock, whose holder may be the one that fell: at worst a line is
 * cut or told twice. */
static void on_fatal_signal(int number)
{
    if (log_give_to(NULL)) {
        ssize_t n = write(writer.fd, writer.filling, writer.len);
        (void)n;
    }
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void catch_fatal_signals(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct sigaction ours = {.sa_handler = on_fatal_signal}, old;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            (void)sigaction(numbers[i], &ours, NULL);
}

static size_t piece_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? BUFFER_MAX : PIPE_BUF;
}

int log_thread_start(void)
{
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&writer.news, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    writer.filling = xcalloc(1, BUFFER_MAX);
    writer.writing = xcalloc(1, BUFFER_MAX);
    writer.fd = log_fd();
    writer.piece = piece_of(writer.fd);
    writer.stopping = false;
    int e = pthread_create(&writer.thread, NULL, write_lines, NULL);
    if (e) {
        free(writer.filling);
        free(writer.writing);
        return -e;
    }
    (void)pthread_setname_np(writer.thread, "log");
    catch_fatal_signals();
    (void)log_give_to(take_line);
    return 0;
}

void log_thread_stop(void)
{
    if (!log_give_to(NULL))
        return;
    (void)pthread_mutex_lock(&writer.lock);
    writer.stopping = true;
    (void)pthread_mutex_unlock(&writer.lock);
    (void)pthread_cond_signal(&writer.news);
    (void)pthread_join(writer.thread, NULL);
    (void)pthread_cond_destroy(&writer.news);
    free(writer.filling);
    free(writer.writing);
}
