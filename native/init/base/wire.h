/*
 * Reading and writing the little-endian wire form. A reader never goes past its end. After the first error every value is zero or empty and
 * `bad` stays true, so a caller checks `bad` once at the end.
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
/* `count` items; read them one after another from `items`. */
struct list {
  struct reader items;
  uint32_t count;
};

uint16_t read_u16(struct reader *reader);
uint32_t read_u32(struct reader *reader);
uint64_t read_u64(struct reader *reader);
/* u32 length, bytes. */
struct bytes read_bytes(struct reader *reader);
/* u32 length without the final zero, bytes, a zero byte. The bytes contain no zero. Points into the buffer. */
const char *read_text(struct reader *reader);
/* u32 count, then the items. An item has `words` u32 and then `texts` texts. */
struct list read_list(struct reader *reader, uint32_t most, unsigned words, unsigned texts);

struct writer {
  uint8_t *at;
  size_t used, size;
};
void put_u32(struct writer *writer, uint32_t value);
void put_text(struct writer *writer, const char *value);
