/* Small things that every part uses: bounded text, the failure record, descriptors. */
#pragma once

#include "kernel.h"

/* A bounded, always terminated text. What does not fit is cut. */
struct text {
  char *at;
  size_t used, size;
};

void text_add(struct text *text, const char *piece);
void text_add_number(struct text *text, uint64_t number, unsigned least_digits);

/*
 * Why an operation failed, in facts; the words for people are made elsewhere. `operation` is the index in the plan,
 * FAILURE_STEM for what comes before it.
 */
#define FAILURE_STEM UINT32_MAX
struct failure {
  uint32_t operation;
  int32_t error;
  char call[32];
  char detail[1024];
};

/* Where fail() writes: the supervisor's own record, or the one that a child shares with it. */
extern struct failure *failure;

/* Records errno with the call that set it; gives -1, so that `return fail(...)` ends a function. The first record stays. */
int fail(const char *call, const char *detail);
int fail_with(int error, const char *call, const char *detail);
void clear_failure(void);

/* Closes and forgets. -1 is fine. errno stays. */
void close_fd(int *fd);

/* Whole pages, zeroed, private or shared with children; NULL where there are none. Untouched pages cost nothing. */
void *map_pages(size_t size, bool shared);
/* The same for what is the supervisor's alone: a process that is forked from it does not have these pages. */
void *map_own_pages(size_t size);
void unmap_pages(void *at, size_t size);

/* Grows by chunks of entries, up to `most`; an entry that was given never moves. In pages of the supervisor's own. */
struct table {
  size_t entry_size;
  uint32_t most, used;
  uint8_t **chunks;
};
/* One entry more, zeroed; NULL where there is no room. */
void *table_add(struct table *table);
void *table_at(const struct table *table, uint32_t index);

int set_nonblocking(int fd);
/* Writes one short text into a file that exists; -1 with errno. */
int write_file(int directory, const char *path, const char *value, size_t length);
int64_t monotonic_ms(void);

/* RFC 3339 in UTC with up to nine digits of fraction, trailing zeros dropped. `out` has TIME_SIZE bytes. */
#define TIME_SIZE 40
size_t format_now(char *out);
