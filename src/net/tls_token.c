#include "net/tls_token.h"

#include "base/file.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ui.h>
#include <openssl/x509.h>
#include <pthread.h>

/* Deprecated, and without a successor in Debian 12. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#include <openssl/engine.h>

#define VALUE_MAX 512
#define PIN_FILE_MAX 1024
#define URI_MAX 4096

bool tls_token_is(const char *uri)
{
    return str_starts_nocase(str_of(uri), STR("pkcs11:"));
}

/* ---- the engine ---- */

/* Its keys call into it, so it stays for as long as the process. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ENGINE *engine;

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* [rfc7512 2.4] What the query says of `name`, which ends in "=", percent signs resolved; false: nothing. */
static bool query_value(const char *uri, const char *name, char out[VALUE_MAX])
{
    const char *query = strchr(uri, '?'), *at = query ? strstr(query, name) : NULL;
    size_t len = 0;
    if (!at)
        return false;
    for (at += strlen(name); *at && *at != '&' && len < VALUE_MAX - 1; at++) {
        int high = *at == '%' ? hex_digit(at[1]) : -1, low = high >= 0 ? hex_digit(at[2]) : -1;
        out[len++] = low >= 0 ? (char)(high * 16 + low) : *at;
        at += low >= 0 ? 2 : 0;
    }
    out[len] = '\0';
    return len > 0;
}

/* The first URI that names a module decides for the process. */
static ENGINE *engine_for(const char *uri)
{
    char module[VALUE_MAX];
    (void)pthread_mutex_lock(&lock);
    if (!engine) {
        ENGINE_load_dynamic();
        ENGINE *e = ENGINE_by_id("pkcs11");
        bool good =
            e &&
            (!query_value(uri, "module-path=", module) ||
             ENGINE_ctrl_cmd_string(e, "MODULE_PATH", module, 0) == 1) &&
            ENGINE_init(e) == 1;
        if (good) /* by itself it complains on standard error */
            (void)ENGINE_ctrl_cmd_string(e, "QUIET", NULL, 1);
        engine = good ? e : NULL;
        if (!good)
            ENGINE_free(e);
    }
    ENGINE *e = engine;
    (void)pthread_mutex_unlock(&lock);
    return e;
}

/* [rfc7512 2.4] The file's first line is the PIN.  The engine would take the end of the line for a part of it, and a few wrong
 * PINs lock a token: so it gets a pin-value. */
static int add_pin_of_file(const char *uri, struct buf *out)
{
    char source[VALUE_MAX];
    CLEANUP(buf_wipe) struct buf text = BUF_INIT(PIN_FILE_MAX);
    if (!query_value(uri, "pin-source=", source))
        return 0;
    int r = file_read(source + (strncmp(source, "file:", 5) == 0 ? 5 : 0), &text);
    size_t len = r == 0 ? strcspn(text.data, "\r\n") : 0;
    if (r == 0)
        r = buf_puts(out, "?pin-value=");
    for (size_t i = 0; r == 0 && i < len; i++)
        r = buf_printf(out, "%%%02x", (unsigned char)text.data[i]);
    if (r < 0)
        ERR_raise_data(ERR_LIB_SYS, -r, "the PIN in %s", source);
    return r;
}

/* The engine knows no module-path: it gets the URI without it, and with the PIN.  NULL: the PIN is not to be had. */
static const char *for_engine(const char *uri, struct buf *out)
{
    const char *query = strchr(uri, '?'), *pin = query ? strstr(query, "pin-value=") : NULL;
    int r = buf_reserve(out, URI_MAX); /* at once, so that no PIN is left behind in a smaller piece */
    if (r == 0)
        r = buf_append(out, uri, strcspn(uri, "?"));
    if (r == 0)
        r = pin ? buf_printf(out, "?%.*s", (int)strcspn(pin, "&"), pin) : add_pin_of_file(uri, out);
    return r == 0 ? out->data : NULL;
}

struct x509_st *tls_token_certificate(const char *uri)
{
    CLEANUP(buf_wipe) struct buf bare = BUF_INIT(URI_MAX);
    ENGINE *e = engine_for(uri);
    struct {
        const char *id;
        X509 *cert;
    } wanted = {for_engine(uri, &bare), NULL};
    if (!e || !wanted.id || ENGINE_ctrl_cmd(e, "LOAD_CERT_CTRL", 0, &wanted, NULL, 1) != 1)
        return NULL;
    return wanted.cert;
}

/* ---- the PIN ---- */

struct pin {
    struct str value;
    bool asked;
};

static int do_nothing(UI *ui)
{
    (void)ui;
    return 1;
}

static int give_pin(UI *ui, UI_STRING *question)
{
    struct pin *p = UI_get0_user_data(ui);
    if (UI_get_string_type(question) != UIT_PROMPT)
        return 1;
    p->asked = true;
    if (p->value.len == 0 || p->value.len > INT32_MAX)
        return 0;
    return UI_set_result_ex(ui, question, p->value.p, (int)p->value.len) == 0;
}

struct evp_pkey_st *tls_token_key(const char *uri, struct str pin, bool *ret_asked)
{
    CLEANUP(buf_wipe) struct buf bare = BUF_INIT(URI_MAX);
    struct pin p = {.value = pin};
    ENGINE *e = engine_for(uri);
    const char *id = for_engine(uri, &bare);
    UI_METHOD *ui = e && id ? UI_create_method("postern token") : NULL;
    EVP_PKEY *key = NULL;
    if (ui && UI_method_set_opener(ui, do_nothing) == 0 &&
        UI_method_set_closer(ui, do_nothing) == 0 && UI_method_set_reader(ui, give_pin) == 0)
        key = ENGINE_load_private_key(e, id, ui, &p);
    UI_destroy_method(ui);
    *ret_asked = p.asked;
    return key;
}
