#define _GNU_SOURCE
/*
 * Writes entries into a directory for the daemon, in a process of its own (one-call.c), because writing may wait for ever. The daemon has read
 * the archive and says what each entry is; the form of the frames is in packages/sys/src/host-files/tree-writer.ts.
 */
#include "../base/base.h"
#include "one-call.h"
#include "written-entry.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* From the daemon. An entry begins with ENTRY; then come DATA, XATTR, and DONE. */
enum in_frame { IN_ENTRY = 1, IN_DATA, IN_XATTR, IN_DONE, IN_TIMES, IN_END };
/* To the daemon. TAKEN: so many bytes of frames have been read and written. */
enum out_frame { OUT_PLACE = 1, OUT_TAKEN, OUT_REFUSED, OUT_END, OUT_ERROR };

#define FRAME_HEAD (2 * sizeof(uint32_t))
#define PAYLOAD_LIMIT (160u << 10)
/* The daemon sends on when it knows that this much was taken; less than what it sends ahead. */
#define TAKEN_STEP (256u << 10)

static uint8_t input[2 * PAYLOAD_LIMIT];
static size_t input_at, input_used;
static uint64_t taken, reported;

static void put_frame(enum out_frame kind, const void *first, size_t first_length, const void *second, size_t second_length) {
  uint8_t out[FRAME_HEAD + 64 + PATH_MAX];
  uint32_t head[] = {(uint32_t)(first_length + second_length), kind};
  memcpy(out, head, sizeof head);
  memcpy(out + sizeof head, first, first_length);
  memcpy(out + sizeof head + first_length, second, second_length);
  for (size_t done = 0, all = sizeof head + first_length + second_length; done < all;) {
    ssize_t count = write(1, out + done, all - done);
    if (count <= 0 && errno != EINTR)
      _exit(1);
    if (count > 0)
      done += (size_t)count;
  }
}

_Noreturn void stop_writing(const char *call) {
  uint8_t facts[64];
  int32_t error = errno;
  size_t length = strlen(call) + 1;
  memcpy(facts, &error, sizeof error);
  memcpy(facts + sizeof error, call, length);
  put_frame(OUT_ERROR, facts, sizeof error + length, entry_name, strlen(entry_name));
  _exit(0);
}

_Noreturn void refuse_entry(enum refusal reason) {
  uint32_t number = reason;
  put_frame(OUT_REFUSED, &number, sizeof number, entry_name, strlen(entry_name));
  _exit(0);
}

/* Reads until `count` bytes are there. False at the end of the input. */
static bool need(size_t count) {
  if (input_used - input_at >= count)
    return true;
  memmove(input, input + input_at, input_used - input_at);
  input_used -= input_at;
  input_at = 0;
  while (input_used < count) {
    ssize_t got = read(0, input + input_used, sizeof input - input_used);
    if (got == 0 || (got < 0 && errno != EINTR))
      return false;
    if (got > 0)
      input_used += (size_t)got;
  }
  return true;
}

static void take_text(char *to, const uint8_t *from, size_t length) {
  if (length >= PATH_MAX || memchr(from, 0, length))
    _exit(1);
  memcpy(to, from, length);
  to[length] = 0;
}

static void take_entry(const uint8_t *bytes, size_t length) {
  if (length < sizeof entry)
    _exit(1);
  memcpy(&entry, bytes, sizeof entry);
  if (entry.path_length > length - sizeof entry)
    _exit(1);
  take_text(entry_name, bytes + sizeof entry, entry.path_length);
  take_text(link_target, bytes + sizeof entry + entry.path_length, length - sizeof entry - entry.path_length);
}

/* The place in the file, and the bytes. */
static void take_data(const uint8_t *bytes, size_t length) {
  uint64_t offset;
  if (length < sizeof offset)
    _exit(1);
  memcpy(&offset, bytes, sizeof offset);
  write_data(offset, bytes + sizeof offset, length - sizeof offset);
}

/* The name, a zero byte, the value. */
static void take_xattr(const char *text, size_t length) {
  size_t end = strnlen(text, length);
  if (end == length)
    _exit(1);
  set_xattr(text, text + end + 1, length - end - 1);
}

/* False at the end. */
static bool take_frame(void) {
  uint32_t head[2];
  if (!need(sizeof head))
    _exit(1);
  memcpy(head, input + input_at, sizeof head);
  if (head[0] > PAYLOAD_LIMIT || !need(sizeof head + head[0]))
    _exit(1);
  const uint8_t *bytes = input + input_at + sizeof head;
  switch (head[1]) {
  case IN_ENTRY:
    take_entry(bytes, head[0]);
    begin_entry();
    break;
  case IN_DATA:
    take_data(bytes, head[0]);
    break;
  case IN_XATTR:
    take_xattr((const char *)bytes, head[0]);
    break;
  case IN_DONE:
    end_entry();
    break;
  case IN_TIMES:
    take_entry(bytes, head[0]);
    set_directory_times();
    break;
  case IN_END:
    return false;
  default:
    _exit(1);
  }
  input_at += sizeof head + head[0];
  taken += sizeof head + head[0];
  return true;
}

static uint64_t mount_of(int fd) {
  struct {
    uint32_t words[36];
    uint64_t mount, further[14];
  } facts;
  /* STATX_MNT_ID, at byte 144 of struct statx */
  return syscall(SYS_statx, fd, "", AT_EMPTY_PATH, 0x1000, &facts) < 0 ? 0 : facts.mount;
}

static void report_place(int root) {
  struct stat about;
  struct statvfs file_system;
  if (fstat(destination, &about) < 0)
    stop_writing("fstat");
  if (fstatvfs(destination, &file_system) < 0)
    stop_writing("fstatvfs");
  uint32_t facts[] = {S_ISDIR(about.st_mode), (file_system.f_flag & ST_RDONLY) != 0, mount_of(root) == mount_of(destination)};
  put_frame(OUT_PLACE, facts, sizeof facts, "", 0);
}

/* Arguments: a root path (relative paths start at descriptor 3), the destination inside that root, and options as a number. */
int call_write_tree(char **arguments) {
  write_options = (uint32_t)strtoul(arguments[2], NULL, 10);
  int root = open_resolved(3, arguments[0], O_PATH | O_DIRECTORY, 0, 0);
  if (root < 0)
    stop_writing("openat2");
  destination = open_resolved(root, arguments[1], O_PATH, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (destination < 0)
    stop_writing("openat2");
  report_place(root);
  while (take_frame()) {
    if (taken - reported < TAKEN_STEP)
      continue;
    reported = taken;
    put_frame(OUT_TAKEN, &taken, sizeof taken, "", 0);
  }
  put_frame(OUT_END, "", 0, "", 0);
  return 0;
}
