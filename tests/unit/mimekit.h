/* mimekit.h - messages made at random whose parts are known, and a plain decoder: for whoever re-encodes messages. */
#ifndef POSTERN_MIMEKIT_H
#define POSTERN_MIMEKIT_H

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- making ---- */

struct mime_source { /* where chance comes from: octets, then zeroes */
    const unsigned char *data;
    size_t len, at;
};

static inline unsigned mime_chance(struct mime_source *s, unsigned n)
{
    unsigned v = 0;
    for (int i = 0; i < 2; i++)
        v = v << 8 | (s->at < s->len ? s->data[s->at] : 0U), s->at++;
    return v % n;
}

static inline void mime_add(struct buf *b, const char *s, size_t len)
{
    if (buf_append(b, s, len) < 0)
        abort();
}

static inline void mime_say(struct buf *b, const char *s)
{
    mime_add(b, s, strlen(s));
}

/* A leaf as the dump of a message shows it. */
static inline void mime_dump(struct buf *dump, struct str type, struct str content)
{
    char head[80];
    (void)snprintf(head, sizeof(head), "[%.*s %zu]", (int)MIN(type.len, (size_t)40), type.p, content.len);
    mime_say(dump, head);
    mime_add(dump, content.p, content.len);
}

enum mime_octets { MIME_ASCII, MIME_8BIT, MIME_BINARY };

/* Lines, the last without its end. */
static inline void mime_content(struct mime_source *s, enum mime_octets kind, struct buf *out)
{
    for (unsigned lines = mime_chance(s, 6); lines > 0; lines--) {
        for (unsigned n = mime_chance(s, mime_chance(s, 8) ? 20 : 300); n > 0; n--) {
            char c = (char)(mime_chance(s, 4) ? " \t=.-F"[mime_chance(s, 6)] : (char)(32 + mime_chance(s, 95)));
            if (kind != MIME_ASCII && mime_chance(s, 3) == 0)
                c = (char)(128 + mime_chance(s, 128));
            if (kind == MIME_BINARY && mime_chance(s, 5) == 0)
                c = "\0\r\n\x7f"[mime_chance(s, 4)];
            mime_add(out, &c, 1);
        }
        if (lines > 1)
            mime_say(out, "\r\n");
    }
}

static const struct {
    const char *type, *encoding;
    enum mime_octets kind;
    const char *body, *content; /* encoded already */
} mime_leaves[] = {
    {"text/plain",               NULL,               MIME_ASCII,  NULL,         NULL    },
    {"text/plain",               "7bit",             MIME_ASCII,  NULL,         NULL    },
    {"text/html",                "8bit",             MIME_8BIT,   NULL,         NULL    },
    {"text/plain",               NULL,               MIME_8BIT,   NULL,         NULL    },
    {"application/octet-stream", "BINARY",           MIME_BINARY, NULL,         NULL    },
    {"application/pdf",          "8bit",             MIME_8BIT,   NULL,         NULL    },
    {"text/csv",                 "binary",           MIME_BINARY, NULL,         NULL    },
    {"image/png",                "base64",           MIME_ASCII,  "aGVsbG8=",   "hello" },
    {"text/plain",               "Quoted-Printable", MIME_ASCII,  "a=3Db=E9",   "a=b\xe9"},
};

static inline void mime_leaf(struct mime_source *s, bool top, bool ascii, struct buf *out, struct buf *dump)
{
    size_t i = mime_chance(s, ascii ? 2 : ARRAY_LEN(mime_leaves));
    CLEANUP(buf_done) struct buf content = BUF_INIT(1 << 16);
    if (strcmp(mime_leaves[i].type, "text/plain") != 0 || mime_chance(s, 2)) {
        mime_say(out, mime_chance(s, 2) ? "Content-Type: " : "content-type:\r\n\t(a \\) comment) ");
        mime_say(out, mime_leaves[i].type);
        mime_say(out, "; name=\"a;b\"\r\n");
    }
    if (mime_leaves[i].encoding) {
        mime_say(out, "Content-Transfer-Encoding: ");
        mime_say(out, mime_leaves[i].encoding);
        mime_say(out, "\r\nContent-Description: x\r\n");
    }
    mime_say(out, "\r\n");
    if (mime_leaves[i].body)
        mime_say(out, mime_leaves[i].body);
    else
        mime_content(s, mime_leaves[i].kind, &content);
    if (top && !mime_leaves[i].body && mime_leaves[i].kind != MIME_BINARY)
        mime_say(&content, "\r\n");
    mime_add(out, buf_str(&content).p, content.len);
    if (mime_leaves[i].content)
        mime_say(&content, mime_leaves[i].content);
    if (top && mime_leaves[i].body) {
        mime_say(out, "\r\n");
        mime_say(&content, mime_leaves[i].encoding[0] == 'Q' ? "\r\n" : "");
    }
    mime_dump(dump, str_of(mime_leaves[i].type), buf_str(&content));
}

/* Header fields that describe the entity, an empty line, its body; what a reader finds in it goes to `dump`. */
static inline void
mime_entity(struct mime_source *s, unsigned depth, bool top, bool ascii, struct buf *out, struct buf *dump)
{
    char boundary[48];
    unsigned kind = depth ? mime_chance(s, 4) : 0;
    if (kind < 2) {
        mime_leaf(s, top, ascii, out, dump);
    } else if (kind == 2) {
        mime_say(out, "Content-Type: message/rfc822\r\n");
        mime_say(out, mime_chance(s, 2) && !ascii ? "Content-Transfer-Encoding: 8bit\r\n\r\n" : "\r\n");
        mime_say(out, "Subject: inner\r\n");
        mime_entity(s, depth - 1, top, ascii, out, dump);
    } else {
        bool signed_ = mime_chance(s, 4) == 0;
        (void)snprintf(boundary, sizeof(boundary), "b'%u (%zu)", depth, out->len);
        mime_say(out, signed_ ? "Content-Type: multipart/signed; protocol=x;\r\n boundary=\""
                              : "Content-Type: multipart/mixed; charset=y; BOUNDARY=\"");
        mime_say(out, boundary);
        mime_say(out, mime_chance(s, 2) && !ascii ? "\"\r\nContent-Transfer-Encoding: binary\r\n\r\n" : "\"\r\n\r\n");
        mime_say(out, mime_chance(s, 2) ? "pr\xc3\xa9" "amble\r\n" : "");
        for (unsigned n = mime_chance(s, 4); n > 0; n--) {
            mime_say(out, "--");
            mime_say(out, boundary);
            mime_say(out, mime_chance(s, 3) ? "\r\n" : " \t\r\n");
            mime_entity(s, depth - 1, false, ascii || signed_, out, dump);
            mime_say(out, "\r\n");
        }
        mime_say(out, "--");
        mime_say(out, boundary);
        mime_say(out, mime_chance(s, 2) ? "--\r\n" : "--\r\n\xff" "epilogue\r\n");
    }
}

/* ---- reading: the plainest way, for well-formed messages only ---- */

static inline struct str mime_header(struct str text, struct str *ret_body)
{
    if (str_starts_nocase(text, STR("\r\n"))) {
        *ret_body = str_from(text, 2);
        return str_upto(text, 0);
    }
    const char *end = memmem(text.p, text.len, "\r\n\r\n", 4);
    size_t n = end ? (size_t)(end - text.p) + 2 : text.len;
    *ret_body = str_from(text, n + 2);
    return str_upto(text, n);
}

/* The body of a field in lower case but for the boundary, folding and comments undone; "" when it is absent. */
static inline void mime_field(struct str header, const char *name, char out[256])
{
    size_t len = strlen(name), n = 0;
    out[0] = '\0';
    for (const char *p = header.p, *end = header.p + header.len; p < end;) {
        bool here = (size_t)(end - p) > len && strncasecmp(p, name, len) == 0 && p[len] == ':';
        const char *from = p + len + 1;
        do {
            const char *lf = memchr(p, '\n', (size_t)(end - p));
            p = lf ? lf + 1 : end;
        } while (p < end && (*p == ' ' || *p == '\t'));
        if (!here)
            continue;
        for (bool comment = false; from < p && n < 255; from++) {
            if (*from == '(' && n == 0)
                comment = true;
            if (!comment && !strchr("\r\n", *from) && (n || !strchr(" \t", *from)))
                out[n++] = *from;
            if (comment && *from == ')' && from[-1] != '\\')
                comment = false;
        }
        out[n] = '\0';
        return;
    }
}

static inline void mime_qp(struct str s, struct buf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        char hex[3] = {0}, c = s.p[i];
        if (c == '=' && i + 2 < s.len && s.p[i + 1] == '\r') {
            i += 2;
            continue;
        }
        if (c == '=') {
            memcpy(hex, s.p + i + 1, 2);
            c = (char)strtol(hex, NULL, 16);
            i += 2;
        }
        mime_add(out, &c, 1);
    }
}

static inline void mime_base64(struct str s, struct buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits = 0, have = 0;
    for (size_t i = 0; i < s.len; i++) {
        const char *d = s.p[i] ? strchr(digits, s.p[i]) : NULL;
        if (!d)
            continue;
        bits = bits << 6 | (unsigned)(d - digits);
        have += 6;
        if (have >= 8) {
            char c = (char)(bits >> (have -= 8));
            mime_add(out, &c, 1);
        }
    }
}

static inline void mime_read(struct str text, struct buf *dump);

static inline void mime_read_parts(struct str body, const char *boundary, struct buf *dump)
{
    char line[100];
    (void)snprintf(line, sizeof(line), "--%s", boundary);
    struct str part = {NULL, 0};
    for (struct str rest = body; rest.len;) {
        ssize_t lf = str_find(rest, '\n');
        size_t n = lf < 0 ? rest.len : (size_t)lf + 1;
        if (str_eq(str_upto(rest, strlen(line)), str_of(line))) {
            if (part.p)
                mime_read((struct str){part.p, (size_t)(rest.p - part.p) >= 2 ? (size_t)(rest.p - part.p) - 2 : 0}, dump);
            if (str_eq(str_upto(str_from(rest, strlen(line)), 2), STR("--")))
                return;
            part = str_from(rest, n);
        }
        rest = str_from(rest, n);
    }
}

static inline void mime_read(struct str text, struct buf *dump)
{
    char type[256], encoding[256];
    struct str body, header = mime_header(text, &body);
    mime_field(header, "Content-Type", type);
    mime_field(header, "Content-Transfer-Encoding", encoding);
    char *boundary = strcasestr(type, "boundary=\"");
    if (boundary && strncasecmp(type, "multipart/", 10) == 0) {
        boundary += 10;
        boundary[strcspn(boundary, "\"")] = '\0';
        mime_read_parts(body, boundary, dump);
        return;
    }
    if (strncasecmp(type, "message/rfc822", 14) == 0) {
        mime_read(body, dump);
        return;
    }
    CLEANUP(buf_done) struct buf content = BUF_INIT(1 << 20);
    if (strncasecmp(encoding, "quoted", 6) == 0)
        mime_qp(body, &content);
    else if (strncasecmp(encoding, "base64", 6) == 0)
        mime_base64(body, &content);
    else
        mime_add(&content, body.p, body.len);
    mime_dump(dump, type[0] ? str_upto(str_of(type), strcspn(type, ";")) : STR("text/plain"), buf_str(&content));
}

#endif
