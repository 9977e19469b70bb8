/* Words for how a connection ended. */
#include "unit.h"

#include "link/link_internal.h"

static void the_end_is_told_by_its_cause(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct link_fall fall;
        const char *want;
    } rows[] = {
        {"nobody there",
         {.end = STREAM_NO_CONNECT, .detail = "a:25: ::1: Connection refused"},
         "cannot connect: a:25: ::1: Connection refused"                                       },
        {"silent",
         {.end = STREAM_TIMEOUT, .detail = "no progress for 5 s"},
         "timed out: no progress for 5 s"                                                      },
        {"closed in the clear",
         {.end = STREAM_EOF, .detail = "closed by the peer", .has_certificate = true},
         "the connection was lost: closed by the peer"                                         },
        {"expired, TLS 1.3 (EDG-22)",
         {.end = STREAM_TLS_FAILED,
          .detail = "x",
          .alert = "certificate_expired",
          .tls_begun = true,
          .tls_up = true,
          .has_certificate = true},
         "the server refused our certificate: certificate expired"                             },
        {"unknown CA, TLS 1.2",
         {.end = STREAM_TLS_FAILED,
          .detail = "x",
          .alert = "unknown_ca",
          .tls_begun = true,
          .has_certificate = true},
         "the server refused our certificate: unknown ca"                                      },
        {"the alert lies behind a reset",
         {.end = STREAM_RESET,
          .detail = "Connection reset by peer",
          .alert = "bad_certificate",
          .tls_begun = true,
          .tls_up = true,
          .has_certificate = true},
         "the server refused our certificate: bad certificate"                                 },
        {"wanted and not there",
         {.end = STREAM_TLS_FAILED,
          .detail = "x",
          .alert = "certificate_required",
          .tls_begun = true,
          .tls_up = true},
         "the server wants a client certificate and we have none to show: certificate required"},
        {"no word at all",
         {.end = STREAM_EOF,
          .detail = "closed by the peer",
          .tls_begun = true,
          .tls_up = true,
          .has_certificate = true},
         "the server closed the connection right after the TLS handshake, perhaps because of our "
         "certificate: closed "
         "by the peer"                                                                         },
        {"an alert in the middle is no refusal",
         {.end = STREAM_TLS_FAILED,
          .detail = "the peer sent TLS alert certificate_expired",
          .alert = "certificate_expired",
          .tls_begun = true,
          .tls_up = true,
          .heard = true,
          .has_certificate = true},
         "TLS failed: the peer sent TLS alert certificate_expired"                             },
        {"the server's certificate",
         {.end = STREAM_TLS_FAILED,
          .detail = "certificate verify failed: certificate has expired",
          .name = "mx.example",
          .tls_begun = true,
          .has_certificate = true},
         "the TLS handshake with mx.example failed: certificate verify failed: certificate has "
         "expired"                                                                             },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char got[LINK_WORDS_MAX];
        link_words(&rows[i].fall, got, sizeof(got));
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: wanted\n%s\nbut got\n%s", rows[i].name, rows[i].want, got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_is_told_by_its_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
