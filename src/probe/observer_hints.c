#include "probe/observer_hints.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
static const struct hint hints[] = {
    {"msmtp", "~/.msmtprc",
        "account default\nhost {host}\nport {port}\nfrom {user}\ntls on\ntls_starttls {on|off}\ntls_trust_file {ca}\n"
        "tls_cert_file {cert}\ntls_key_file {key}\nauth external\nuser {user}\n",
        "account default\nhost {host}\nport {port}\nfrom {user}\ntls on\ntls_starttls {on|off}\ntls_trust_file {ca}\n"
        "tls_cert_file {cert}\ntls_key_file {key}\nauth off\n",
        "Without \"user\" it answers the challenge of EXTERNAL with MAIL, which most servers refuse."},
    {"curl", "command line",
        "curl --ssl-reqd --url {smtp|smtps}://{host}:{port}/client.example --cacert {ca} --cert {cert} --key {key} \\\n"
        "    --login-options AUTH=EXTERNAL --sasl-ir --mail-from {user} --mail-rcpt {user} --upload-file message.eml\n",
        "curl --ssl-reqd --url {smtp|smtps}://{host}:{port}/client.example --cacert {ca} --cert {cert} --key {key} \\\n"
        "    --mail-from {user} --mail-rcpt {user} --upload-file message.eml\n",
        "Without --sasl-ir it answers the challenge with \"=\", which is no base64. With -u NAME: it sends the name."},
    {"swaks", "command line",
        NULL,
        "swaks --server {host} --port {port} {--tls|--tlsc} --tls-verify --tls-ca-path {ca} --tls-cert {cert} --tls-key {key} \\\n"
        "    --from {user} --to {user}\n",
        "It knows no EXTERNAL."},
    {"mutt", "~/.muttrc",
        "# cat {cert} {key} > both.pem, mode 600\n"
        "set smtp_url = \"{smtp|smtps}://{host}:{port}\"\nset ssl_starttls = yes\nset ssl_force_tls = yes\n"
        "set certificate_file = \"{ca}\"\nset ssl_client_cert = \"both.pem\"\nset smtp_authenticators = \"external\"\nset from = \"{user}\"\n",
        NULL,
        "As soon as a server offers any AUTH it asks for a user name and logs in."},
    {"s-nail", "~/.mailrc",
        "set v15-compat=yes\nset mta={smtp|smtps}://{host}:{port} {smtp-use-starttls|}\nset smtp-auth=externanon\n"
        "set tls-verify=strict tls-ca-no-defaults tls-ca-file={ca}\nset tls-config-pairs=Certificate={cert},PrivateKey={key}\nset from={user}\n",
        "set v15-compat=yes\nset mta={smtp|smtps}://{host}:{port} {smtp-use-starttls|}\nset smtp-auth=none\n"
        "set tls-verify=strict tls-ca-no-defaults tls-ca-file={ca}\nset tls-config-pairs=Certificate={cert},PrivateKey={key}\nset from={user}\n",
        "smtp-auth=external and a user in the mta URL sends the name. It sends AUTH EXTERNAL even where it is not offered."},
    {"git", "~/.gitconfig",
        "[sendemail]\n    smtpServer = {host}\n    smtpServerPort = {port}\n    smtpEncryption = {tls|ssl}\n    smtpSSLCertPath = {ca}\n"
        "    smtpSSLClientCert = {cert}\n    smtpSSLClientKey = {key}\n    smtpAuth = EXTERNAL\n    smtpUser = {user}\n",
        NULL,
        "A git that does not know smtpSSLClientCert (2.39) shows no certificate: set sendemail.smtpServer to the path of msmtp there."},
    {"postfix", "main.cf",
        NULL,
        "relayhost = [{host}]:{port}\nsmtp_tls_security_level = secure\nsmtp_tls_wrappermode = {no|yes}\nsmtp_tls_CAfile = {ca}\n"
        "smtp_tls_cert_file = {cert}\nsmtp_tls_key_file = {key}\n",
        "With smtp_sasl_auth_enable and a password map too, set smtp_sasl_mechanism_filter = !external, static:rest; else an offer of\n"
        "EXTERNAL defers all mail."},
    {"exim", "exim4.conf",
        "begin transports\nsmarthost:\n  driver = smtp\n  hosts = {host}\n  port = {port}\n  protocol = {smtp|smtps}\n  hosts_require_tls = *\n"
        "  hosts_require_auth = *\n  tls_verify_certificates = {ca}\n  tls_certificate = {cert}\n  tls_privatekey = {key}\n"
        "begin authenticators\nexternal:\n  driver = external\n  public_name = EXTERNAL\n  client_send = {user}\n",
        "begin transports\nsmarthost:\n  driver = smtp\n  hosts = {host}\n  port = {port}\n  protocol = {smtp|smtps}\n  hosts_require_tls = *\n"
        "  tls_verify_certificates = {ca}\n  tls_certificate = {cert}\n  tls_privatekey = {key}\n",
        "An empty client_send cancels the exchange with \"*\": write the name."},
    {"thunderbird", "settings",
        NULL,
        "Settings, Certificates, Authorities: import {ca}, trust it for web sites\n"
        "Settings, Certificates, Your Certificates: import {p12}\n"
        "Account Settings, Outgoing Server: {host}, port {port}, {STARTTLS|SSL/TLS}, authentication method TLS Certificate\n",
        "It goes straight to MAIL even with TLS Certificate chosen."},
    {"smtplib", "Python",
        "import smtplib, ssl\ntls = ssl.create_default_context(cafile=\"{ca}\")\ntls.load_cert_chain(\"{cert}\", \"{key}\")\n"
        "s = {smtplib.SMTP(\"{host}\", {port}); s.starttls(context=tls)|smtplib.SMTP_SSL(\"{host}\", {port}, context=tls)}\n"
        "s.ehlo()\ns.auth(\"EXTERNAL\", lambda challenge=None: \"{user}\")\ns.sendmail(\"{user}\", [\"{user}\"], message)\n",
        "import smtplib, ssl\ntls = ssl.create_default_context(cafile=\"{ca}\")\ntls.load_cert_chain(\"{cert}\", \"{key}\")\n"
        "s = {smtplib.SMTP(\"{host}\", {port}); s.starttls(context=tls)|smtplib.SMTP_SSL(\"{host}\", {port}, context=tls)}\n"
        "s.sendmail(\"{user}\", [\"{user}\"], message)\n",
        "An empty name leaves a trailing space behind AUTH EXTERNAL."},
    {"gsasl", "command line",
        "gsasl --smtp --starttls --connect {host}:{port} --mechanism EXTERNAL --authorization-id \"\" \\\n"
        "    --x509-ca-file {ca} --x509-cert-file {cert} --x509-key-file {key}\n",
        NULL,
        "Logs in and sends nothing; STARTTLS only."},
    {"openssl", "command line",
        "openssl s_client -connect {host}:{port} {-starttls smtp|} -crlf -quiet -CAfile {ca} -cert {cert} -key {key}\n"
        "EHLO client.example\nAUTH EXTERNAL =\nMAIL FROM:<{user}>\nQUIT\n",
        "openssl s_client -connect {host}:{port} {-starttls smtp|} -crlf -quiet -CAfile {ca} -cert {cert} -key {key}\n"
        "EHLO client.example\nMAIL FROM:<{user}>\nQUIT\n",
        "The lines below the command are for you to type."},
};
/* clang-format on */

const struct hint *hint_list(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(hints);
    return hints;
}

const struct hint *hint_find(const char *client)
{
    for (size_t i = 0; i < ARRAY_LEN(hints); i++)
        if (strcmp(hints[i].client, client) == 0)
            return &hints[i];
    return NULL;
}

/* The value of a plain word; NULL when it is none. */
static const char *value_of(struct str word, const struct hint_values *v, char port[12])
{
    (void)snprintf(port, 12, "%d", v->port);
    const struct {
        const char *word, *value;
    } values[] = {
        {"host", v->host       },
        {"port", port          },
        {"ca",   v->ca         },
        {"cert", v->certificate},
        {"key",  v->key        },
        {"p12",  v->p12        },
        {"user", v->identity   },
    };
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        if (str_eq(word, str_of(values[i].word)))
            return values[i].value;
    return NULL;
}

/* The end of what stands in braces, braces inside it included; `in` begins behind the first. */
static size_t closing(struct str in, size_t *ret_bar)
{
    unsigned depth = 0;
    *ret_bar = SIZE_MAX;
    for (size_t i = 0; i < in.len; i++) {
        if (in.p[i] == '{')
            depth++;
        else if (in.p[i] == '}' && depth-- == 0)
            return i;
        else if (in.p[i] == '|' && depth == 0)
            *ret_bar = i;
    }
    return in.len;
}

static int fill(struct str text, const struct hint_values *v, struct buf *out)
{
    int r = 0;
    while (r == 0 && text.len) {
        ssize_t open = str_find(text, '{');
        struct str before = open < 0 ? text : str_upto(text, (size_t)open);
        r = buf_append_str(out, before);
        text = str_from(text, before.len + 1);
        if (r < 0 || open < 0)
            break;
        size_t bar, end = closing(text, &bar);
        struct str inside = str_upto(text, end);
        char port[12];
        if (bar != SIZE_MAX) {
            r = fill(v->implicit_tls ? str_from(inside, bar + 1) : str_upto(inside, bar), v, out);
        } else {
            const char *value = value_of(inside, v, port);
            r = value ? buf_puts(out, value) : -EINVAL;
        }
        text = str_from(text, end + 1);
    }
    return r;
}

int hint_fill(const char *text, const struct hint_values *v, struct buf *out)
{
    buf_clear(out);
    return fill(str_of(text), v, out);
}
