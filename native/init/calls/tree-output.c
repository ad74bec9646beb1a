#define _GNU_SOURCE
#include "tree-output.h"

#include <string.h>

#define ALIVE_MS 1000

static uint8_t output[4 * PART];
static size_t output_used;
static int64_t written_at;
char *entry_path;
size_t entry_path_used;

void begin_output(void) {
  written_at = monotonic_ms();
}

void flush_output(void) {
  for (size_t done = 0; done < output_used;) {
    ssize_t count = write(1, output + done, output_used - done);
    if (count <= 0 && errno != EINTR)
      _exit(1);
    if (count > 0)
      done += (size_t)count;
  }
  output_used = 0;
  written_at = monotonic_ms();
}

void put_output(const void *bytes, size_t length) {
  for (size_t done = 0, part; done < length; done += part) {
    if (output_used == sizeof output)
      flush_output();
    part = length - done < sizeof output - output_used ? length - done : sizeof output - output_used;
    memcpy(output + output_used, (const uint8_t *)bytes + done, part);
    output_used += part;
  }
}

void put_frame(enum frame kind, size_t length) {
  uint32_t head[] = {(uint32_t)length, kind};
  put_output(head, sizeof head);
}

void say_alive(void) {
  if (monotonic_ms() - written_at < ALIVE_MS)
    return;
  put_frame(FRAME_ALIVE, 0);
  flush_output();
}

_Noreturn void stop_reading(const char *call) {
  int32_t error = errno;
  put_frame(FRAME_ERROR, sizeof error + strlen(call) + 1 + entry_path_used);
  put_output(&error, sizeof error);
  put_output(call, strlen(call) + 1);
  put_output(entry_path, entry_path_used);
  flush_output();
  _exit(0);
}

void put_content(int fd, uint64_t size) {
  for (uint64_t left = size; left;) {
    if (sizeof output - output_used < FRAME_HEAD + PART)
      flush_output();
    /* Already in its place when the frame's head is written before it. */
    ssize_t count = read(fd, output + output_used + FRAME_HEAD, left < PART ? (size_t)left : PART);
    if (count < 0)
      stop_reading("read");
    if (count == 0)
      break;
    put_frame(FRAME_DATA, (size_t)count);
    output_used += (size_t)count;
    left -= (uint64_t)count;
    say_alive();
  }
  put_frame(FRAME_CONTENT_END, 0);
}
