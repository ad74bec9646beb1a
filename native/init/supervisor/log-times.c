#define _GNU_SOURCE
#include "supervisor.h"

#include <string.h>

/* Times are as format_now writes them: "Z" ends the shorter of two fractions and sorts before every digit. */
bool is_earlier(const char *time, const char *than) {
  while (*time && *time == *than) {
    time++;
    than++;
  }
  return *than && *than != 'Z' && (!*time || *time == 'Z' || *time < *than);
}

/* The text after the last `name`; NULL when `name` does not occur. */
static const char *behind_last(const char *name, const char *text, size_t length) {
  size_t size = strlen(name);
  for (size_t at = length < size ? 0 : length - size + 1; at-- > 0;) {
    if (memcmp(text + at, name, size) == 0)
      return text + at + size;
  }
  return NULL;
}

void latest_time(int directory, const char *name, uint64_t size, char latest[TIME_SIZE]) {
  char tail[257] = {0};
  latest[0] = 0;
  size_t length = size < sizeof tail - 1 ? (size_t)size : sizeof tail - 1;
  int fd = length ? openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
  if (fd < 0)
    return;
  ssize_t got = pread(fd, tail, length, (off_t)(size - length));
  close(fd);
  const char *time = got == (ssize_t)length ? behind_last("\"time\":\"", tail, length) : NULL;
  if (!time)
    return;
  const char *later = behind_last("\"latest\":\"", time, (size_t)(tail + length - time));
  size_t used = strspn(later ? later : time, "0123456789-:.TZ");
  if (used >= TIME_SIZE)
    return;
  memcpy(latest, later ? later : time, used);
  latest[used] = 0;
}
