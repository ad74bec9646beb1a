/* Text for JSON strings. */
#pragma once

#include "base.h"

struct part {
  const uint8_t *at;
  size_t length;
};

/* Appends to the text; returns the new end. */
uint8_t *put_bytes(uint8_t *out, const char *bytes, size_t length);
/* As Go's encoder does. One input byte gives at most six bytes. `*bad` becomes true when some bytes were not UTF-8. */
uint8_t *escape_json(uint8_t *out, const uint8_t *data, size_t length, bool *bad);
/* The same for a text in two parts: a character may be split between them. */
uint8_t *escape_json_parts(uint8_t *out, struct part first, struct part second, bool *bad);
/* How many bytes at the end are the beginning of a character whose other bytes are still missing: 0 to 3. */
unsigned unfinished_character(struct part text);
uint8_t *put_base64(uint8_t *out, struct part first, struct part second);
