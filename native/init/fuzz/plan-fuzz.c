/*
 * Decodes damaged plans under the sanitizers. It reads plans from files; changes bytes, lengths and ends with a fixed pseudo-random sequence;
 * and then reads every field and list of each plan that still decodes. Usage: plan-fuzz ROUNDS FILE…
 */
#define _GNU_SOURCE
#include "../child/plan.h"
#include "damage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t seen;

static void read_texts(struct list list, unsigned words, unsigned texts) {
  for (uint32_t i = 0; i < list.count; i++) {
    for (unsigned k = 0; k < words; k++)
      seen += read_u32(&list.items);
    for (unsigned k = 0; k < texts; k++)
      seen += strlen(read_text(&list.items));
  }
  if (list.items.bad) {
    fprintf(stderr, "a list that was checked does not read\n");
    abort();
  }
}

static void use(const struct operation *op) {
  switch (op->kind) {
  case OP_MOUNT:
    read_texts(op->mount.options, 1, 2);
    seen += strlen(op->mount.type) + strlen(op->mount.source) + strlen(op->mount.target) + strlen(op->mount.ids.users) +
            strlen(op->mount.ids.groups);
    break;
  case OP_BIND:
    seen += strlen(op->bind.source) + strlen(op->bind.subpath) + strlen(op->bind.target) + strlen(op->bind.ids.users) +
            strlen(op->bind.ids.groups);
    break;
  case OP_HOOK:
    read_texts(op->hook.arguments, 0, 1);
    read_texts(op->hook.environment, 0, 1);
    seen += strlen(op->hook.path) + strlen(op->hook.before) + strlen(op->hook.after);
    break;
  case OP_MEET:
    seen += strlen(op->meeting.reached) + strlen(op->meeting.proceed);
    break;
  case OP_CPU_AFFINITY:
    for (uint32_t i = 0; i < op->processors.length; i++)
      seen += op->processors.at[i];
    break;
  case OP_FIND_PROGRAM:
    read_texts(op->exec.candidates, 0, 1);
    break;
  case OP_SET_USER:
    read_texts(op->user.groups, 1, 0);
    break;
  case OP_SECCOMP:
    for (uint32_t i = 0; i < op->filter.program.length; i++)
      seen += op->filter.program.at[i];
    break;
  case OP_EXEC:
    read_texts(op->exec.candidates, 0, 1);
    read_texts(op->exec.arguments, 0, 1);
    read_texts(op->exec.environment, 0, 1);
    break;
  case OP_SYSCTL:
    seen += strlen(op->setting.path) + strlen(op->setting.value);
    break;
  case OP_SET_HOSTNAME:
  case OP_MASK:
    seen += strlen(op->text);
    break;
  }
}

static void decode(const uint8_t *bytes, size_t length, unsigned long *accepted) {
  /* A copy of exactly this size: the sanitizer sees a read of one byte too many. */
  uint8_t *copy = malloc(length ? length : 1);
  memcpy(copy, bytes, length);
  struct plan plan;
  if (open_plan(copy, length, &plan)) {
    struct operation op;
    ++*accepted;
    while (decode_operation(&plan.operations, &op))
      use(&op);
  }
  free(copy);
}

static size_t damage(uint8_t *bytes, size_t length) {
  length = damage_bytes(bytes, length, 1 + next() % 4);
  /* Half of the plans get the right length, so that the damage is not rejected at the header. */
  if (length >= 12 && next() % 2) {
    uint32_t whole = (uint32_t)length;
    memcpy(bytes + 8, &whole, 4);
  }
  return length;
}

int main(int argc, char **argv) {
  unsigned long accepted = 0, rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
  for (int i = 2; i < argc; i++) {
    static uint8_t original[1 << 20], changed[1 << 20];
    FILE *file = fopen(argv[i], "rb");
    size_t length = file ? fread(original, 1, sizeof original, file) : 0;
    unsigned long before = accepted;
    decode(original, length, &accepted);
    if (accepted == before) {
      fprintf(stderr, "%s is no plan\n", argv[i]);
      return 1;
    }
    for (unsigned long round = 0; round < rounds; round++) {
      memcpy(changed, original, length);
      decode(changed, damage(changed, length), &accepted);
    }
    fclose(file);
  }
  printf("accepted %lu of %lu, read %zu\n", accepted, rounds * (unsigned long)(argc - 2), seen);
  return 0;
}
