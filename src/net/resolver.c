#include "net/resolver.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <sys/stat.h>

/* Which state of a file was read; all zero: there was none. */
struct stamp {
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct watched {
    const char *path;
    struct stamp read;
};

struct resolver {
    struct event_base *base;
    struct evdns_base *dns;
    struct watched resolv_conf, hosts;
};

struct resolver *resolver_new(struct event_base *base, const char *resolv_conf, const char *hosts)
{
    struct resolver *r = xcalloc(1, sizeof(*r));
    r->base = base;
    r->resolv_conf.path = resolv_conf;
    r->hosts.path = hosts;
    return r;
}

void resolver_free(struct resolver *r)
{
    if (!r)
        return;
    if (r->dns) {
        evdns_base_free(r->dns, 1);
        (void)event_base_loop(r->base, EVLOOP_NONBLOCK); /* lets the failed questions tell so */
    }
    free(r);
}

static struct stamp stamp_of(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return (struct stamp){.inode = 0};
    return (struct stamp){.inode = st.st_ino, .size = st.st_size, .changed = st.st_mtim};
}

static bool has_changed(struct watched *w)
{
    struct stamp now = stamp_of(w->path), was = w->read;
    w->read = now;
    return now.inode != was.inode || now.size != was.size ||
           now.changed.tv_sec != was.changed.tv_sec || now.changed.tv_nsec != was.changed.tv_nsec;
}

/* Without a resolv.conf the name server is taken to be on this machine, as the C library does. */
static void read_resolv_conf(struct resolver *r)
{
    (void)evdns_base_clear_nameservers_and_suspend(r->dns);
    (void)evdns_base_resolv_conf_parse(r->dns, DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC,
                                       r->resolv_conf.path);
    (void)evdns_base_resume(r->dns);
}

static void read_hosts(struct resolver *r)
{
    evdns_base_clear_host_addresses(r->dns);
    (void)evdns_base_load_hosts(r->dns, r->hosts.path);
}

struct evdns_base *resolver_evdns(struct resolver *r)
{
    bool first = !r->dns;
    if (first)
        r->dns = evdns_base_new(r->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (!r->dns)
        return NULL;
    if (has_changed(&r->resolv_conf) || first)
        read_resolv_conf(r);
    if (has_changed(&r->hosts) || first)
        read_hosts(r);
    return r->dns;
}
