#define _GNU_SOURCE
#include "wire.h"

#include <string.h>

static const uint8_t *take(struct reader *reader, size_t length) {
  if (reader->bad || length > (size_t)(reader->end - reader->at)) {
    reader->bad = true;
    return NULL;
  }
  const uint8_t *at = reader->at;
  reader->at += length;
  return at;
}

uint16_t read_u16(struct reader *reader) {
  const uint8_t *p = take(reader, 2);
  return p ? (uint16_t)(p[0] | p[1] << 8) : 0;
}

uint32_t read_u32(struct reader *reader) {
  const uint8_t *p = take(reader, 4);
  return p ? (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24 : 0;
}

uint64_t read_u64(struct reader *reader) {
  uint64_t low = read_u32(reader);
  return low | (uint64_t)read_u32(reader) << 32;
}

struct bytes read_bytes(struct reader *reader) {
  uint32_t length = read_u32(reader);
  const uint8_t *at = take(reader, length);
  return (struct bytes){at, at ? length : 0};
}

const char *read_text(struct reader *reader) {
  uint32_t length = read_u32(reader);
  const uint8_t *at = take(reader, (size_t)length + 1);
  if (!at)
    return "";
  if (at[length] != 0 || memchr(at, 0, length)) {
    reader->bad = true;
    return "";
  }
  return (const char *)at;
}

struct list read_list(struct reader *reader, uint32_t most, unsigned words, unsigned texts) {
  struct list list = {0};
  uint32_t count = read_u32(reader);
  if (count > most)
    reader->bad = true;
  list.items = *reader;
  for (uint32_t i = 0; i < count && !reader->bad; i++) {
    for (unsigned k = 0; k < words; k++)
      read_u32(reader);
    for (unsigned k = 0; k < texts; k++)
      read_text(reader);
  }
  if (!reader->bad)
    list.count = count;
  return list;
}

static void put(struct writer *writer, const void *data, size_t length) {
  if (length > writer->size - writer->used)
    length = writer->size - writer->used;
  memcpy(writer->at + writer->used, data, length);
  writer->used += length;
}

void put_u32(struct writer *writer, uint32_t value) {
  uint8_t p[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24)};
  put(writer, p, 4);
}

void put_text(struct writer *writer, const char *value) {
  size_t length = strlen(value);
  put_u32(writer, (uint32_t)length);
  put(writer, value, length + 1);
}
