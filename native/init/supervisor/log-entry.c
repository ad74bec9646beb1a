#define _GNU_SOURCE
#include "supervisor.h"

#include <string.h>

/*
 * A record as an entry: its length (32 bits, big-endian), a message in the encoding of protocol buffers, and the length again, so that a reader
 * can go backwards. The message: 1 stream, 2 nanoseconds since 1970, 3 the line without its newline, 4 and 5 for a piece of a line (5: 1 last,
 * 2 id of the line, 3 number of the piece), 6 attributes, which are encoded already.
 */

static uint8_t *put_varint(uint8_t *out, uint64_t value) {
  for (; value >= 0x80; value >>= 7)
    *out++ = (uint8_t)(value | 0x80);
  *out++ = (uint8_t)value;
  return out;
}

static uint8_t *put_field(uint8_t *out, unsigned number, const void *bytes, size_t length) {
  out = put_varint(out, number << 3 | 2);
  out = put_varint(out, length);
  return put_bytes(out, bytes, length);
}

static uint64_t digits(const char *text, unsigned count) {
  uint64_t value = 0;
  for (unsigned i = 0; i < count; i++)
    value = value * 10 + (uint64_t)(text[i] - '0');
  return value;
}

/* Of a time as format_now writes it. The days of a year count from March, so that a leap day is the last. */
static uint64_t nanoseconds(const char *time) {
  uint64_t year = digits(time, 4), month = digits(time + 5, 2), day = digits(time + 8, 2), fraction = 0;
  uint64_t from_march = month > 2 ? month - 3 : month + 9;
  year -= month <= 2;
  uint64_t days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * from_march + 2) / 5 + day - 1 - 719468;
  uint64_t seconds = days * 86400 + digits(time + 11, 2) * 3600 + digits(time + 14, 2) * 60 + digits(time + 17, 2);
  const char *at = time + 19;
  unsigned count = 0;
  if (*at == '.')
    for (at++; *at >= '0' && *at <= '9' && count < 9; at++, count++)
      fraction = fraction * 10 + (uint64_t)(*at - '0');
  for (; count < 9; count++)
    fraction *= 10;
  return seconds * 1000000000u + fraction;
}

static uint8_t *put_length(uint8_t *out, size_t length) {
  for (int shift = 24; shift >= 0; shift -= 8)
    *out++ = (uint8_t)(length >> shift);
  return out;
}

static uint8_t *put_piece(uint8_t *out, const struct log_entry *entry) {
  uint8_t piece[TIME_SIZE + 32], *end = piece;
  char id[TIME_SIZE + 2] = {(char)('0' + entry->stream), '-'};
  memcpy(id + 2, entry->time, strlen(entry->time) + 1);
  *out++ = 4 << 3;
  *out++ = 1;
  if (entry->last) {
    *end++ = 1 << 3;
    *end++ = 1;
  }
  end = put_field(end, 2, id, strlen(id));
  *end++ = 3 << 3;
  end = put_varint(end, entry->ordinal);
  return put_field(out, 5, piece, (size_t)(end - piece));
}

uint8_t *put_log_entry(uint8_t *out, const struct log_entry *entry) {
  uint8_t *message = out + 4, *end = message;
  struct part first = entry->first, second = entry->second;
  end = put_field(end, 1, entry->stream ? "stderr" : "stdout", 6);
  *end++ = 2 << 3;
  end = put_varint(end, nanoseconds(entry->time));
  if (first.length + second.length) {
    end = put_varint(end, 3 << 3 | 2);
    end = put_varint(end, first.length + second.length);
    end = put_bytes(end, (const char *)first.at, first.length);
    end = put_bytes(end, (const char *)second.at, second.length);
  }
  if (entry->ordinal)
    end = put_piece(end, entry);
  end = put_bytes(end, entry->attributes, entry->attributes_length);
  size_t length = (size_t)(end - message);
  put_length(out, length);
  return put_length(end, length);
}
