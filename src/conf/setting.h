/* setting.h - how the settings of one block are read: a table names them, a reader each stores their values. */
#ifndef POSTERN_CONF_SETTING_H
#define POSTERN_CONF_SETTING_H

#include "conf/loader.h"

struct word { /* of a setting that takes one of a few; the last has no name */
    const char *name;
    unsigned value;
};

struct setting;
/* Stores the value of `n` in `block`, or reports why not and leaves the default. */
typedef void
reader_fn(struct loader *l, const struct conf_node *n, const struct setting *s, void *block);

struct setting { /* the last of a table has no name */
    const char *name;
    reader_fn *read;
    size_t field; /* offset in the block's struct */
    size_t count; /* lists: offset of the number beside it */
    const struct word *words;
    uint64_t min, max;
};

/* Words are stored as the unsigned that gcc and clang make of enums. */
#define FIELD(type, member) .field = offsetof(struct type, member)
#define LIST(type, member)                                                                         \
    .field = offsetof(struct type, member), .count = offsetof(struct type, n_##member)
#define WORDS(...)                                                                                 \
    .words = (const struct word[])                                                                 \
    {                                                                                              \
        __VA_ARGS__,                                                                               \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }
#define RANGE(from, to) .min = (from), .max = (to)

reader_fn setting_text, setting_address, setting_domain, setting_path, setting_database,
    setting_file, setting_file_or_uri, setting_http; /* char * */
reader_fn setting_yes_no;                            /* bool */
reader_fn setting_count;                             /* unsigned */
reader_fn setting_duration;                          /* int64_t, ms */
reader_fn setting_size;                              /* uint64_t or int64_t */
reader_fn setting_word;                              /* an enum */
reader_fn setting_flag;                              /* one of two words: bool */
reader_fn setting_set;                               /* unsigned: bits of the words in a list */
reader_fn setting_words; /* a list of them: unsigned, a set of their values */
reader_fn setting_names, setting_files, setting_files_or_directories, setting_addresses,
    setting_fingerprints, setting_pins, setting_ranges; /* char ** and size_t */

const struct setting *setting_find(const struct setting *settings, const char *name);

/* One setting of a block. */
void setting_read(struct loader *l,
                  const struct conf_node *block,
                  const struct conf_node *n,
                  const struct setting *settings,
                  void *into);
/* All of them; unknown ones, ones written twice and blocks inside are reported. */
void setting_read_all(struct loader *l,
                      const struct conf_node *block,
                      const struct setting *settings,
                      void *into);

#endif
