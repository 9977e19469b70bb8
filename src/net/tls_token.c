#include "net/tls_token.h"

#include "base/buf.h"

#include <errno.h>
#include <openssl/ui.h>
#include <openssl/x509.h>
#include <pthread.h>

/* Deprecated, and without a successor in Debian 12. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#include <openssl/engine.h>

#define MODULE_PATH_MAX 512
#define URI_MAX 1024

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

/* [rfc7512 2.4] The query's module-path, its percent signs resolved; false: there is none. */
static bool module_of(const char *uri, char out[MODULE_PATH_MAX])
{
    static const char name[] = "module-path=";
    const char *query = strchr(uri, '?'), *at = query ? strstr(query, name) : NULL;
    size_t len = 0;
    if (!at)
        return false;
    for (at += sizeof(name) - 1; *at && *at != '&' && len < MODULE_PATH_MAX - 1; at++) {
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
    char module[MODULE_PATH_MAX];
    (void)pthread_mutex_lock(&lock);
    if (!engine) {
        ENGINE_load_dynamic();
        ENGINE *e = ENGINE_by_id("pkcs11");
        bool good =
            e &&
            (!module_of(uri, module) || ENGINE_ctrl_cmd_string(e, "MODULE_PATH", module, 0) == 1) &&
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

/* The engine knows no module-path: it gets the URI without it. */
static const char *without_module(const char *uri, char out[URI_MAX])
{
    size_t len = strcspn(uri, "?");
    if (len >= URI_MAX)
        return uri;
    memcpy(out, uri, len);
    out[len] = '\0';
    const char *pin = strstr(uri, "pin-value=");
    if (!pin)
        pin = strstr(uri, "pin-source=");
    size_t pin_len = pin ? strcspn(pin, "&") : 0;
    if (pin && pin > uri + len && len + 1 + pin_len < URI_MAX) {
        out[len] = '?';
        memcpy(out + len + 1, pin, pin_len);
        out[len + 1 + pin_len] = '\0';
    }
    return out;
}

struct x509_st *tls_token_certificate(const char *uri)
{
    char bare[URI_MAX];
    ENGINE *e = engine_for(uri);
    struct {
        const char *id;
        X509 *cert;
    } wanted = {without_module(uri, bare), NULL};
    if (!e || ENGINE_ctrl_cmd(e, "LOAD_CERT_CTRL", 0, &wanted, NULL, 1) != 1)
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
    char bare[URI_MAX];
    struct pin p = {.value = pin};
    ENGINE *e = engine_for(uri);
    UI_METHOD *ui = e ? UI_create_method("postern token") : NULL;
    EVP_PKEY *key = NULL;
    if (ui && UI_method_set_opener(ui, do_nothing) == 0 &&
        UI_method_set_closer(ui, do_nothing) == 0 && UI_method_set_reader(ui, give_pin) == 0)
        key = ENGINE_load_private_key(e, without_module(uri, bare), ui, &p);
    UI_destroy_method(ui);
    *ret_asked = p.asked;
    return key;
}
