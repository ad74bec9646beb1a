#define _GNU_SOURCE
#include "escape.h"

#include <string.h>

/* Length in bytes of a valid UTF-8 sequence at `at`; 0 when there is none. */
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

/* As readers of the log expect it: control characters, quotes, <, > and & are escaped, and invalid UTF-8 is replaced. One input byte gives at
 * most six bytes. */
uint8_t *escape_json(uint8_t *out, const uint8_t *data, size_t length, bool *bad) {
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
      *bad = true;
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

unsigned unfinished_character(struct part text) {
  for (unsigned have = 1; have <= 3 && have <= text.length; have++) {
    const uint8_t *at = text.at + text.length - have;
    if ((at[0] & 0xc0) == 0x80)
      continue;
    /* Adds the lowest possible following bytes: if the result is no character, no following bytes can make it one. */
    uint8_t whole[4] = {at[0], at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80, 0x80, 0x80};
    memcpy(whole, at, have);
    return sequence_length(whole, sizeof whole) > have ? have : 0;
  }
  return 0;
}

uint8_t *escape_json_parts(uint8_t *out, struct part first, struct part second, bool *bad) {
  unsigned have = unfinished_character(first);
  if (!have)
    return escape_json(escape_json(out, first.at, first.length, bad), second.at, second.length, bad);
  uint8_t edge[4];
  size_t more = second.length < sizeof edge - have ? second.length : sizeof edge - have;
  memcpy(edge, first.at + first.length - have, have);
  memcpy(edge + have, second.at, more);
  unsigned length = sequence_length(edge, have + more);
  if (length <= have)
    return escape_json(escape_json(out, first.at, first.length, bad), second.at, second.length, bad);
  out = escape_json(out, first.at, first.length - have, bad);
  out = escape_json(out, edge, length, bad);
  return escape_json(out, second.at + (length - have), second.length - (length - have), bad);
}

uint8_t *put_base64(uint8_t *out, struct part first, struct part second) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  size_t all = first.length + second.length;
  for (size_t i = 0; i < all; i += 3) {
    uint32_t group = 0;
    size_t size = all - i < 3 ? all - i : 3;
    for (size_t k = 0; k < 3; k++) {
      size_t at = i + k;
      uint8_t byte = k >= size ? 0 : at < first.length ? first.at[at] : second.at[at - first.length];
      group = group << 8 | byte;
    }
    for (size_t k = 0; k < 4; k++)
      *out++ = k <= size ? (uint8_t)digits[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}
