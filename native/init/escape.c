#define _GNU_SOURCE
#include "escape.h"

#include <string.h>

/* Bytes of a valid UTF-8 sequence at `at`, 0 when there is none. */
static unsigned sequence_length(const uint8_t *at, size_t left) {
  uint8_t first = at[0], low = 0x80, high = 0xbf;
  unsigned length = first >= 0xc2 && first <= 0xdf ? 2 : first >= 0xe0 && first <= 0xef ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
  if (length == 0 || length > left)
    return 0;
  if (first == 0xe0)
    low = 0xa0;
  else if (first == 0xed)
    high = 0x9f;
  else if (first == 0xf0)
    low = 0x90;
  else if (first == 0xf4)
    high = 0x8f;
  if (at[1] < low || at[1] > high)
    return 0;
  for (unsigned i = 2; i < length; i++) {
    if ((at[i] & 0xc0) != 0x80)
      return 0;
  }
  return length;
}

uint8_t *put_bytes(uint8_t *out, const char *bytes, size_t length) {
  memcpy(out, bytes, length);
  return out + length;
}

/* As the log's readers expect it: control characters, quotes, <, > and & escaped, bad UTF-8 replaced. At most six bytes for one. */
uint8_t *escape_json(uint8_t *out, const uint8_t *data, size_t length) {
  static const char hex[] = "0123456789abcdef";
  for (size_t i = 0; i < length;) {
    uint8_t byte = data[i];
    if (byte < 0x80) {
      i++;
      if (byte >= 0x20 && byte != '"' && byte != '\\' && byte != '<' && byte != '>' && byte != '&') {
        *out++ = byte;
      } else if (byte == '"' || byte == '\\') {
        *out++ = '\\';
        *out++ = byte;
      } else if (byte == '\n' || byte == '\r') {
        *out++ = '\\';
        *out++ = byte == '\n' ? 'n' : 'r';
      } else {
        out = put_bytes(out, "\\u00", 4);
        *out++ = (uint8_t)hex[byte >> 4];
        *out++ = (uint8_t)hex[byte & 15];
      }
      continue;
    }
    unsigned size = sequence_length(data + i, length - i);
    if (size == 0) {
      out = put_bytes(out, "\\ufffd", 6);
      i++;
    } else if (size == 3 && data[i] == 0xe2 && data[i + 1] == 0x80 && (data[i + 2] & 0xfe) == 0xa8) {
      out = put_bytes(out, data[i + 2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
      i += 3;
    } else {
      out = put_bytes(out, (const char *)data + i, size);
      i += size;
    }
  }
  return out;
}
