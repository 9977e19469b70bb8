/* service_manager.h - tells the service manager that started us how we are, as sd_notify(3) does: one datagram to the
 * socket that $NOTIFY_SOCKET names.  Without that variable there is nobody to tell. */
#ifndef POSTERN_SERVICE_MANAGER_H
#define POSTERN_SERVICE_MANAGER_H

#include "base/base.h"

/* `state`: "READY=1", "STOPPING=1", "STATUS=...".  0 also when nobody wants to know; -errno. */
MUST_USE int service_manager_tell(const char *state);

#endif
