/*
 * Reading and writing the little-endian wire form. A reader never goes past its end: after the first fault everything reads as
 * zero or empty and `bad` stays set, so a caller checks once at the end.
 */
#pragma once

#include "base.h"

struct reader {
  const uint8_t *at, *end;
  bool bad;
};
struct bytes {
  const uint8_t *at;
  uint32_t length;
};
/* `count` items, read one after another from `items`. */
struct list {
  struct reader items;
  uint32_t count;
};

uint16_t read_u16(struct reader *reader);
uint32_t read_u32(struct reader *reader);
uint64_t read_u64(struct reader *reader);
/* u32 length, bytes. */
struct bytes read_bytes(struct reader *reader);
/* u32 length without the end mark, bytes, a zero byte; no zero byte within. Points into the buffer. */
const char *read_text(struct reader *reader);
/* u32 count, then the items; `texts` is how many texts an item has, `words` how many u32 come before them. */
struct list read_list(struct reader *reader, uint32_t most, unsigned words, unsigned texts);

struct writer {
  uint8_t *at;
  size_t used, size;
};
void put_u32(struct writer *writer, uint32_t value);
void put_text(struct writer *writer, const char *value);
