/* Small functions for all parts: text of limited length, the failure record, descriptors. */
#pragma once

#include "kernel.h"

/* A text of limited length that always ends with NUL. Text that does not fit is cut. */
struct text {
  char *at;
  size_t used, size;
};

void text_add(struct text *text, const char *piece);
void text_add_number(struct text *text, uint64_t number, unsigned least_digits);

/*
 * Why an operation failed, as facts; other code makes the words for users. `operation` is the index in the plan, or FAILURE_STEM before the
 * plan starts.
 */
#define FAILURE_STEM UINT32_MAX
struct failure {
  uint32_t operation;
  int32_t error;
  char call[32];
  char detail[1024];
};

/* Where fail() writes: the supervisor's own record, or the record that a child shares with the supervisor. */
extern struct failure *failure;

/* Records errno and the call that set it. Returns -1, so that `return fail(...)` can end a function. Only the first failure is recorded. */
int fail(const char *call, const char *detail);
int fail_with(int error, const char *call, const char *detail);
void clear_failure(void);

/* Closes the descriptor and sets it to -1. -1 is allowed. errno does not change. */
void close_fd(int *fd);

/* Whole pages of zeros, private or shared with children; NULL when there is no memory. Pages that nobody touches cost nothing. */
void *map_pages(size_t size, bool shared);
/* The same, but only for the supervisor: a process that it forks does not have these pages. */
void *map_own_pages(size_t size);
void unmap_pages(void *at, size_t size);

/* A table that grows in chunks of entries, up to `most`. An entry never moves. The memory is in the supervisor's own pages. */
struct table {
  size_t entry_size;
  uint32_t most, used;
  uint8_t **chunks;
};
/* A new entry, zeroed; NULL when there is no room. */
void *table_add(struct table *table);
void *table_at(const struct table *table, uint32_t index);

int set_nonblocking(int fd);
/*
 * The path of a descriptor in /proc, for an O_PATH descriptor that is opened again, examined or changed: it leads to the same file, even when its
 * name now belongs to another file. Valid until the next call.
 */
const char *path_of_descriptor(int fd);
/* Writes one short text into a file that exists; -1 with errno. */
int write_file(int directory, const char *path, const char *value, size_t length);
int64_t monotonic_ms(void);

/* RFC 3339 in UTC with up to nine digits of fraction, without trailing zeros. `out` has TIME_SIZE bytes. */
#define TIME_SIZE 40
size_t format_now(char *out);
