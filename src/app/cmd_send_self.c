/* Who is sending: the names a program without a configuration has to go by. */
#include "app/cmd_send_internal.h"

#include "conf/value.h"

#include <pwd.h>

/* The machine's own name, without asking the network: a name server that is away must not hold up a mail. */
static void read_hostname(struct send_self *self)
{
    char name[256] = "";
    bool known = gethostname(name, sizeof(name) - 1) == 0 && value_is_domain(name);
    (void)snprintf(self->hostname, sizeof(self->hostname), "%s", known ? name : "localhost");
}

void send_self_read(struct send_self *self)
{
    *self = (struct send_self){0};
    read_hostname(self);
    const struct passwd *pw = getpwuid(getuid());
    const char *user = pw ? pw->pw_name : getenv("LOGNAME");
    (void)snprintf(self->user, sizeof(self->user), "%s", user && *user ? user : "nobody");
    if (!pw || !pw->pw_gecos)
        return;
    struct str gecos = str_upto(str_of(pw->pw_gecos), strcspn(pw->pw_gecos, ","));
    if (str_is_utf8(gecos) && !str_has_control(gecos))
        (void)snprintf(self->full_name, sizeof(self->full_name), "%.*s", STR_FMT(gecos));
}
