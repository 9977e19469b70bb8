/* xclient.h - the arguments of XCLIENT: whom a proxy in front speaks for.  Pure: octets in, a value out.
 *
 * What does not fit into one command of 512 octets comes in several, one after the other (Dovecot does so).  Each adds to
 * what those before it told, and none takes back.
 *
 * The command is Postfix's (XCLIENT_README there); nginx and Dovecot send it.  Values are xtext, [UNAVAILABLE] and
 * [TEMPUNAVAIL] stand for "not known", which is here the same as not told.
 */
#ifndef POSTERN_XCLIENT_H
#define POSTERN_XCLIENT_H

#include "base/str.h"

#define SMTP_XCLIENT_ATTRIBUTES "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"

struct smtp_xclient { /* "" and 0: not told */
    char name[256]; /* of the client's host; a domain */
    unsigned char ip[16];
    size_t ip_len; /* 4, 16 */
    unsigned port;
    char proto[6];  /* "SMTP" or "ESMTP" */
    char helo[256]; /* what the client said to the proxy: a domain or an address literal */
    char login[321]; /* whom the proxy has authenticated: UTF-8 without control characters */
    char destaddr[48]; /* where the client connected to; numeric */
    unsigned destport;
    unsigned told; /* a bit for each attribute there was, known or [UNAVAILABLE] */
};

/* Adds to *x, which is all zeros before the first command.  -EINVAL: *x is as before, and *ret_bad the word that is wrong,
 * borrowed from `args`: an attribute that there is not, or was told before, or one with a value that it cannot have. */
MUST_USE int smtp_xclient_parse(struct str args, struct smtp_xclient *x, struct str *ret_bad);

#endif
