#include "smtp/extension.h"

_Static_assert(SMTP_EXT_COUNT <= 32, "a set has a bit for each extension");

static const char *const names[SMTP_EXT_COUNT] = {
    [SMTP_EXT_8BITMIME] = "8BITMIME",
    [SMTP_EXT_AUTH] = "AUTH",
    [SMTP_EXT_BINARYMIME] = "BINARYMIME",
    [SMTP_EXT_BURL] = "BURL",
    [SMTP_EXT_CHUNKING] = "CHUNKING",
    [SMTP_EXT_DELIVERBY] = "DELIVERBY",
    [SMTP_EXT_DSN] = "DSN",
    [SMTP_EXT_ENHANCEDSTATUSCODES] = "ENHANCEDSTATUSCODES",
    [SMTP_EXT_ETRN] = "ETRN",
    [SMTP_EXT_EXPN] = "EXPN",
    [SMTP_EXT_FUTURERELEASE] = "FUTURERELEASE",
    [SMTP_EXT_HELP] = "HELP",
    [SMTP_EXT_LIMITS] = "LIMITS",
    [SMTP_EXT_MT_PRIORITY] = "MT-PRIORITY",
    [SMTP_EXT_PIPELINING] = "PIPELINING",
    [SMTP_EXT_REQUIRETLS] = "REQUIRETLS",
    [SMTP_EXT_SIZE] = "SIZE",
    [SMTP_EXT_SMTPUTF8] = "SMTPUTF8",
    [SMTP_EXT_STARTTLS] = "STARTTLS",
    [SMTP_EXT_VRFY] = "VRFY",
    [SMTP_EXT_XCLIENT] = "XCLIENT",
};

const char *smtp_extension_name(enum smtp_extension ext)
{
    return names[ext];
}
