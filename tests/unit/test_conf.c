/* The readers of configuration: syntax, settings, single values, and what is said about each mistake. */
#include "unit.h"

#include "base/buf.h"
#include "conf/setting.h"
#include "conf/suggest.h"
#include "conf/value.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- a folder with the files that are read ---- */

static char folder[] = "/tmp/postern-conf-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static const char *write_file(const char *name, const char *text, size_t len)
{
    const char *path = path_of(name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"t.conf", "more.conf", "loop.conf"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)unlink(path_of(names[i]));
    return rmdir(folder);
}

/* ---- settings made up for the tests: the same at the top and in every block ---- */

struct things {
    char *hostname, *user;
    unsigned workers, log_level;
    uint64_t size;
    char **ca;
    size_t n_ca;
};

/* clang-format off */
static const struct setting settings[] = {
    {"hostname",  setting_domain, FIELD(things, hostname)},
    {"user",      setting_text,   FIELD(things, user)},
    {"workers",   setting_count,  FIELD(things, workers), RANGE(1, 256)},
    {"log-level", setting_word,   FIELD(things, log_level), WORDS({"error", 1}, {"info", 2})},
    {"max-size",  setting_size,   FIELD(things, size)},
    {"ca",        setting_names,  LIST(things, ca)},
    {0},
};
/* clang-format on */

/* What was reported, one "LINE: text" each; other files than t.conf with their name. */
static struct buf said;
static struct things things;

static void on_finding(void *arg, const struct loader_finding *f)
{
    (void)arg;
    const char *name = strrchr(f->file, '/') + 1;
    assert_int_equal(buf_printf(&said, "%s%s%u: %s%s\n", strcmp(name, "t.conf") == 0 ? "" : name,
                                strcmp(name, "t.conf") == 0 ? "" : ":", f->line,
                                f->is_warning ? "warning: " : "", f->text),
                     0);
}

static int read_path(const char *path)
{
    struct arena memory;
    arena_init(&memory, LOADER_MEMORY_MAX);
    struct loader l = {.memory = &memory, .report = on_finding};
    said.max = 1 << 17;
    buf_clear(&said);
    things = (struct things){0};
    const struct conf_node *root = loader_read(&l, path);
    for (const struct conf_node *n = root ? root->items : NULL; n; n = n->next) {
        if (n->is_block)
            setting_read_all(&l, n, settings, &things);
        else
            setting_read(&l, root, n, settings, &things);
    }
    int r = loader_finish(&l);
    arena_done(&memory);
    return r;
}

static int read_text(const char *text, size_t len)
{
    return read_path(write_file("t.conf", text, len));
}

/* ---- what is wrong ---- */

/* clang-format off */
static const struct mistake_row {
    const char *name, *text, *want; /* want: part of what is said */
} mistakes[] = {
    {"no value", "hostname =\nworkers = 2\n", "1: \"hostname\" has no value after \"=\""},
    {"no equals sign", "workers 2\nlog-level = loud\n", "1: \"workers 2\" is neither setting nor block; write workers = 2"},
    {"reads on behind", "workers 2\nlog-level = loud\n", "2: \"loud\" is no value"},
    {"a word alone", "workers\n", "1: \"workers\" is neither setting nor block"},
    {"string not closed", "user = \"x\nlog-level = loud\n", "1: this string has no end"},
    {"string not closed, next line", "user = \"x\nlog-level = loud\n", "2: \"loud\" is no value"},
    {"escape", "user = \"a\\qb\"\n", "1: \"\\q\" means nothing in a string"},
    {"comment not closed", "\n/* x\n", "2: this comment has no end"},
    {"block not closed", "\nspool {\n min-free = 1M\n", "2: the block \"spool\" that begins here is not closed"},
    {"closed too often", "spool { }\n}\n", "2: \"}\" is out of place here"},
    {"sign out of place", "= 3\nlog-level = loud\n", "1: \"=\" is out of place here"},
    {"list not closed", "trust a { ca = {ca.pem }\n", "1: the block \"trust a\" that begins here is not closed"},
    {"list with a sign", "trust a { ca = {ca.pem = } }\n", "1: \"=\" cannot stand in the list of \"ca\""},
    {"title too many", "trust a b { ca = ca.pem }\n log-level = loud\n", "1: \"trust a\" is neither setting nor block"},
    {"title too many, reads on", "trust a b {\n ca = ca.pem }\n log-level = loud\n", "3: \"loud\" is no value"},
    {"include of nothing", "include(\"none.conf\")\n", "1: cannot read"},
    {"include without a name", "include()\n", "1: not an include; write include(\"file.conf\")"},
    {"not UTF-8", "hostname = \xff\n", "1: this is not a text file in UTF-8"},
};
/* clang-format on */

static void each_mistake_of_syntax_is_named_with_its_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
        const struct mistake_row *row = &mistakes[i];
        int r = read_text(row->text, strlen(row->text));
        if (r <= 0 || !said.data || !strstr(said.data, row->want))
            fail_msg("%s: \"%s\" is not in:\n%s", row->name, row->want, said.data ? said.data : "");
    }
}

static void what_is_good_is_stored_and_not_mentioned(void **state)
{
    (void)state;
    static const char text[] = "workers = 3 // of 256\nbox { user = 'a b' max-size = 2K }\n";
    assert_int_equal(read_text(text, strlen(text)), 0);
    assert_int_equal(said.len, 0);
    assert_int_equal(things.workers, 3);
    assert_int_equal(things.size, 2048);
}

static void all_mistakes_are_told_in_order(void **state)
{
    (void)state;
    static const char text[] =
        "hostnam = x\n# comment\nspool { colour = blue\n  max-size = 1X }\nworkers 2\n";
    assert_int_equal(read_text(text, strlen(text)), 4);
    static const char *const lines[] = {"1: unknown setting", "3: unknown", "4: ", "5: "};
    const char *at = said.data;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        at = strstr(at, lines[i]);
        check(lines[i], at);
    }
}

static void a_report_has_an_end(void **state)
{
    (void)state;
    struct buf text = BUF_INIT(1 << 16);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(buf_puts(&text, "x = 1\n"), 0);
    assert_int_equal(read_text(text.data, text.len), 1000);
    assert_non_null(strstr(said.data, "there is more to say"));
    size_t lines = 0;
    for (const char *p = said.data; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(lines, 101);
    buf_done(&text);
}

/* ---- files ---- */

static void a_mistake_in_an_included_file_names_it(void **state)
{
    (void)state;
    static const char more[] = "\nlog-level = loud\n",
                      text[] = "include(\"more.conf\")\nlog-level = info\n";
    write_file("more.conf", more, strlen(more));
    assert_true(read_text(text, strlen(text)) > 0);
    assert_non_null(strstr(said.data, "more.conf:2: \"loud\" is no value"));
    assert_non_null(strstr(said.data, "\n2: \"log-level\" is set twice"));
}

static void a_file_cannot_include_itself(void **state)
{
    (void)state;
    static const char loop[] = "include(\"t.conf\")\n", text[] = "include(\"loop.conf\")\n";
    write_file("loop.conf", loop, strlen(loop));
    assert_true(read_text(text, strlen(text)) > 0);
    assert_non_null(strstr(said.data, "includes itself"));
}

static void what_cannot_be_read_is_said(void **state)
{
    (void)state;
    assert_int_equal(read_path(path_of("none.conf")), -ENOENT);
    assert_non_null(strstr(said.data, "cannot read"));
    assert_int_equal(read_path(folder), -EISDIR);
}

static void hostile_text_is_read_to_the_end(void **state)
{
    (void)state;
    struct buf text = BUF_INIT(2 << 20);
    while (text.len < 100000)
        assert_int_equal(buf_puts(&text, "a b {"), 0);
    assert_true(read_text(text.data, text.len) > 0);
    assert_non_null(strstr(said.data, "nested too deeply"));
    buf_clear(&text);
    while (text.len <= CONF_TEXT_MAX)
        assert_int_equal(buf_puts(&text, "# a long comment\n"), 0);
    assert_int_equal(read_text(text.data, text.len), -EFBIG);
    assert_true(read_text("a\0b", 3) > 0);
    assert_non_null(strstr(said.data, "not a text file"));
    assert_int_equal(read_text("\xef\xbb\xbf\r\n", 5), 0);
    buf_done(&text);
}

/* ---- single values ---- */

static void durations_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int64_t want; /* -1: refused */
    } rows[] = {
        {"500ms",                    500      },
        {"300s",                     300000   },
        {"5m",                       300000   },
        {"4H",                       14400000 },
        {"5d",                       432000000},
        {"1w",                       604800000},
        {"0",                        0        },
        {"5",                        -1       },
        {"",                         -1       },
        {"m",                        -1       },
        {"-5m",                      -1       },
        {"5 m",                      -1       },
        {"5mm",                      -1       },
        {"9223372036854775807w",     -1       },
        {"99999999999999999999999s", -1       },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t got = -1;
        int r = value_duration(rows[i].in, &got);
        check(rows[i].in, got == rows[i].want && r == (rows[i].want < 0 ? -EINVAL : 0));
    }
}

static void sizes_are_powers_of_1024(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        uint64_t want; /* 1: refused */
    } rows[] = {
        {"1000",      1000       },
        {"64K",       65536      },
        {"50m",       50ull << 20},
        {"2G",        2ull << 30 },
        {"1T",        1ull << 40 },
        {"",          1          },
        {"K",         1          },
        {"5KB",       1          },
        {"5 K",       1          },
        {"16777216T", 1          },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t got = 1;
        int r = value_size(rows[i].in, &got);
        check(rows[i].in, got == rows[i].want && r == (rows[i].want == 1 ? -EINVAL : 0));
    }
}

static void addresses_to_listen_on(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int want; /* kind, -1: refused */
        unsigned port;
    } rows[] = {
        {"127.0.0.1:587",   ENDPOINT_IPV4, 587  },
        {"[::1]:65535",     ENDPOINT_IPV6, 65535},
        {"*:25",            ENDPOINT_ANY,  25   },
        {"unix:/run/x",     ENDPOINT_UNIX, 0    },
        {"unix:x",          -1,            0    },
        {"127.0.0.1",       -1,            0    },
        {"127.0.0.1:",      -1,            0    },
        {"127.0.0.1:0",     -1,            0    },
        {"127.0.0.1:65536", -1,            0    },
        {"127.0.0.1:smtp",  -1,            0    },
        {"127.1:25",        -1,            0    },
        {"::1:25",          -1,            0    },
        {"[::1]25",         -1,            0    },
        {"[::1",            -1,            0    },
        {"[127.0.0.1]:25",  -1,            0    },
        {"[*]:25",          -1,            0    },
        {"localhost:25",    -1,            0    },
        {":25",             -1,            0    },
        {"",                -1,            0    },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct endpoint e = {.port = 0};
        int r = value_endpoint(rows[i].in, &e);
        check(rows[i].in, r == (rows[i].want < 0 ? -EINVAL : 0));
        check(rows[i].in, r < 0 || ((int)e.kind == rows[i].want && e.port == rows[i].port));
    }
}

static void addresses_collide(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool want;
    } rows[] = {
        {"127.0.0.1:25", "127.0.0.1:25", true },
        {"127.0.0.1:25", "127.0.0.1:26", false},
        {"127.0.0.1:25", "0.0.0.0:25",   true },
        {"127.0.0.1:25", "[::]:25",      false},
        {"127.0.0.1:25", "0.0.0.0:26",   false},
        {"*:25",         "0.0.0.0:25",   true },
        {"*:25",         "[::]:25",      true },
        {"*:25",         "127.0.0.1:25", true },
        {"*:25",         "[::1]:25",     true },
        {"0.0.0.0:25",   "[::]:25",      false},
        {"unix:/a",      "unix:/a",      true },
        {"unix:/a",      "unix:/b",      false},
        {"unix:/a",      "*:25",         false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct endpoint a, b;
        assert_int_equal(value_endpoint(rows[i].a, &a), 0);
        assert_int_equal(value_endpoint(rows[i].b, &b), 0);
        check(rows[i].b, endpoint_collides(&a, &b) == rows[i].want);
        check(rows[i].b, endpoint_collides(&b, &a) == rows[i].want);
    }
}

static void next_hops(void **state)
{
    (void)state;
    static const struct {
        const char *in, *host, *port; /* host NULL: refused */
    } rows[] = {
        {"mail.example.net:587",  "mail.example.net", "587" },
        {"mail.example.net",      "mail.example.net", "25"  },
        {"192.0.2.1:25",          "192.0.2.1",        "25"  },
        {"[2001:db8::1]:2525",    "2001:db8::1",      "2525"},
        {"[2001:db8::1]",         "2001:db8::1",      "25"  },
        {"[mail.example.net]:25", NULL,               NULL  },
        {"mail.example.net:",     NULL,               NULL  },
        {"mail..example.net",     NULL,               NULL  },
        {"2001:db8::1",           NULL,               NULL  },
        {":25",                   NULL,               NULL  },
        {"a b:25",                NULL,               NULL  },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena memory;
        arena_init(&memory, 4096);
        const char *host = NULL, *port = NULL;
        int r = value_host_port(rows[i].in, "25", &memory, &host, &port);
        check(rows[i].in, r == (rows[i].host ? 0 : -EINVAL));
        check(rows[i].in,
              r < 0 || (strcmp(host, rows[i].host) == 0 && strcmp(port, rows[i].port) == 0));
        check(rows[i].in, r == 0 || (!host && !port));
        arena_done(&memory);
    }
}

static void the_nearest_word_is_suggested(void **state)
{
    (void)state;
    static const char *const known[] = {"certificate", "certificate-auth", "client-certificate",
                                        "tls", "trust"};
    static const struct {
        const char *in, *want;
    } rows[] = {
        {"certifcate",                                           "certificate"     },
        {"certificate_auth",                                     "certificate-auth"},
        {"client-cert",                                          NULL              },
        {"tsl",                                                  "tls"             },
        {"tursts",                                               "trust"           },
        {"x",                                                    NULL              },
        {"",                                                     NULL              },
        {"ssl",                                                  NULL              },
        {"a-word-longer-than-any-setting-of-any-block-there-is", NULL              },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *got = suggest(rows[i].in, known, ARRAY_LEN(known));
        check(rows[i].in,
              got == rows[i].want || (got && rows[i].want && strcmp(got, rows[i].want) == 0));
    }
}

static void pins(void **state)
{
    (void)state;
#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
    static const struct {
        const char *in;
        bool want;
    } rows[] = {
        {HEX,                  true },
        {"sha256:" HEX,        true },
        {"sha1:" HEX,          false},
        {"sha256:sha256:" HEX, false},
        {"sha256:12",          false},
        {"",                   false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char hex[65] = "";
        int r = value_pin(rows[i].in, hex);
        check(rows[i].in, r == (rows[i].want ? 0 : -EINVAL));
        check(rows[i].in, strcmp(hex, rows[i].want ? HEX : "") == 0);
    }
}

static void names_are_words(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool want;
    } rows[] = {
        {"work",                                                             true },
        {"a.b-c_9",                                                          true },
        {"",                                                                 false},
        {"a b",                                                              false},
        {"a\n",                                                              false},
        {"\xc3\xa9",                                                         false},
        {"123456789012345678901234567890123456789012345678901234567890123",  true },
        {"1234567890123456789012345678901234567890123456789012345678901234", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(rows[i].in, value_is_name(rows[i].in) == rows[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mistake_of_syntax_is_named_with_its_line),
        cmocka_unit_test(what_is_good_is_stored_and_not_mentioned),
        cmocka_unit_test(all_mistakes_are_told_in_order),
        cmocka_unit_test(a_report_has_an_end),
        cmocka_unit_test(a_mistake_in_an_included_file_names_it),
        cmocka_unit_test(a_file_cannot_include_itself),
        cmocka_unit_test(what_cannot_be_read_is_said),
        cmocka_unit_test(hostile_text_is_read_to_the_end),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(sizes_are_powers_of_1024),
        cmocka_unit_test(addresses_to_listen_on),
        cmocka_unit_test(addresses_collide),
        cmocka_unit_test(next_hops),
        cmocka_unit_test(the_nearest_word_is_suggested),
        cmocka_unit_test(pins),
        cmocka_unit_test(names_are_words),
    };
    int failed = cmocka_run_group_tests(tests, make_folder, remove_folder);
    buf_done(&said);
    return failed;
}
