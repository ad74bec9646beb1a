/* Text for JSON strings. */
#pragma once

#include "base.h"

/* Appends; gives the new end. */
uint8_t *put_bytes(uint8_t *out, const char *bytes, size_t length);
/* As Go's encoder does. At most six bytes for one. */
uint8_t *escape_json(uint8_t *out, const uint8_t *data, size_t length);
