#define _GNU_SOURCE
#include "base.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>

static struct failure own_failure;
struct failure *failure = &own_failure;

void text_add(struct text *text, const char *piece) {
  while (*piece && text->used + 1 < text->size)
    text->at[text->used++] = *piece++;
  if (text->size)
    text->at[text->used] = 0;
}

void text_add_number(struct text *text, uint64_t number, unsigned least_digits) {
  char digits[24];
  unsigned i = sizeof digits;
  digits[--i] = 0;
  do {
    digits[--i] = (char)('0' + number % 10);
    number /= 10;
  } while (number && i);
  while (i && sizeof digits - 1 - i < least_digits)
    digits[--i] = '0';
  text_add(text, digits + i);
}

int fail_with(int error, const char *call, const char *detail) {
  if (failure->error == 0) {
    struct text name = {failure->call, 0, sizeof failure->call};
    struct text more = {failure->detail, 0, sizeof failure->detail};
    text_add(&name, call);
    text_add(&more, detail ? detail : "");
    failure->error = error ? error : EIO;
  }
  errno = error;
  return -1;
}

int fail(const char *call, const char *detail) {
  return fail_with(errno, call, detail);
}

void clear_failure(void) {
  failure->error = 0;
  failure->operation = FAILURE_STEM;
  failure->call[0] = failure->detail[0] = 0;
}

void close_fd(int *fd) {
  int saved = errno;
  if (*fd >= 0)
    close(*fd);
  *fd = -1;
  errno = saved;
}

void *map_pages(size_t size, bool shared) {
  void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_NORESERVE | (shared ? MAP_SHARED : MAP_PRIVATE), -1, 0);
  return at == MAP_FAILED ? NULL : at;
}

void *map_own_pages(size_t size) {
  void *at = map_pages(size, false);
  if (at)
    madvise(at, size, MADV_DONTFORK);
  return at;
}

void unmap_pages(void *at, size_t size) {
  if (at)
    munmap(at, size);
}

#define TABLE_CHUNK 64u

void *table_add(struct table *table) {
  uint32_t chunk = table->used / TABLE_CHUNK;
  if (table->used == table->most)
    return NULL;
  if (!table->chunks && !(table->chunks = map_own_pages((table->most / TABLE_CHUNK + 1) * sizeof *table->chunks)))
    return NULL;
  if (!table->chunks[chunk] && !(table->chunks[chunk] = map_own_pages(TABLE_CHUNK * table->entry_size)))
    return NULL;
  return table_at(table, table->used++);
}

void *table_at(const struct table *table, uint32_t index) {
  return table->chunks[index / TABLE_CHUNK] + index % TABLE_CHUNK * table->entry_size;
}

int set_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

const char *path_of_descriptor(int fd) {
  static char own[40];
  struct text text = {own, 0, sizeof own};
  text_add(&text, "/proc/self/fd/");
  text_add_number(&text, (uint64_t)fd, 1);
  return own;
}

int write_file(int directory, const char *path, const char *value, size_t length) {
  int fd = openat(directory, path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  ssize_t written = write(fd, value, length);
  close_fd(&fd);
  return written == (ssize_t)length ? 0 : -1;
}

int64_t monotonic_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

size_t format_now(char *out) {
  struct timespec now;
  struct tm parts;
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &parts);
  struct text text = {out, 0, TIME_SIZE};
  text_add_number(&text, (uint64_t)parts.tm_year + 1900, 4);
  text_add(&text, "-");
  text_add_number(&text, (uint64_t)parts.tm_mon + 1, 2);
  text_add(&text, "-");
  text_add_number(&text, (uint64_t)parts.tm_mday, 2);
  text_add(&text, "T");
  text_add_number(&text, (uint64_t)parts.tm_hour, 2);
  text_add(&text, ":");
  text_add_number(&text, (uint64_t)parts.tm_min, 2);
  text_add(&text, ":");
  text_add_number(&text, (uint64_t)parts.tm_sec, 2);
  if (now.tv_nsec) {
    text_add(&text, ".");
    text_add_number(&text, (uint64_t)now.tv_nsec, 9);
    while (out[text.used - 1] == '0')
      out[--text.used] = 0;
  }
  text_add(&text, "Z");
  return text.used;
}
