/* Shared by the fuzzers: a fixed pseudo-random sequence, and damage to bytes that follows it. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static uint64_t state = 0x9e3779b97f4a7c15u;
static uint32_t next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 16);
}

/* Changes this many bytes, bits, numbers and positions, or cuts off the end. Returns the new length. */
static size_t damage_bytes(uint8_t *bytes, size_t length, unsigned changes) {
  for (; changes && length; changes--) {
    size_t at = next() % length;
    switch (next() % 5) {
    case 0:
      bytes[at] = (uint8_t)next();
      break;
    case 1:
      bytes[at] ^= (uint8_t)(1u << next() % 8);
      break;
    case 2:
      memset(bytes + at, next() % 2 ? 0xff : 0, length - at < 4 ? length - at : 4);
      break;
    case 3:
      length = at;
      break;
    default: {
      size_t from = next() % length, size = next() % 16;
      if (from + size <= length && at + size <= length)
        memmove(bytes + at, bytes + from, size);
    }
    }
  }
  return length;
}
