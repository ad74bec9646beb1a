#define _GNU_SOURCE
#include "supervisor.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/*
 * One JSON record per line: {"log":"…\n","stream":"stdout","attrs":{…},"time":"…"}. A line longer than LINE_LIMIT is cut between characters
 * into several records, without the newline. When the clock was set back, a record can be older than an earlier record; it then has "latest",
 * the latest time so far in the log. So a reader that looks for a time need not read the whole log. Records are collected and written together;
 * the file is rotated between records.
 *
 * A record that cannot be written (disk full) is dropped whole and counted; the file never ends with half a record. When writing works again, a
 * record says how many are missing.
 */
#define LINE_LIMIT 16384u
#define ESCAPED_LIMIT (LINE_LIMIT * 6)
#define BASE64_LIMIT (LINE_LIMIT * 2)
#define BATCH_ROOM (160u << 10)

static struct {
  int fd, directory;
  char path[4096];
  const char *name; /* the last component of `path` */
  uint64_t max_size, size;
  uint32_t max_files;
  bool entries; /* their form: log-entry.c; else JSON */
  char *attributes; /* `"attrs":{…},` or those of an entry, or empty */
  size_t attributes_length, attributes_room;
  uint8_t *batch;
  size_t batch_size, used;
  uint32_t batched; /* number of records in it */
  uint64_t lost, lost_unsaid;
  int lost_error;
  char latest[TIME_SIZE]; /* the latest time in the log */
  struct {
    uint8_t *held; /* LINE_LIMIT bytes */
    uint32_t used;
    bool partial; /* the first part of the line is written */
    uint32_t pieces; /* number of written parts */
    char time[TIME_SIZE];
  } lines[2];
} store = {.fd = -1, .directory = -1};

static int open_file(int flags) {
  struct stat about;
  store.fd = openat(store.directory, store.name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0640);
  if (store.fd < 0)
    return -1;
  store.size = fstat(store.fd, &about) == 0 ? (uint64_t)about.st_size : 0;
  return 0;
}

static void log_close(void) {
  close_fd(&store.fd);
  close_fd(&store.directory);
  unmap_pages(store.attributes, store.attributes_room);
  store.attributes = NULL;
  store.attributes_length = 0;
}

static void rotate(void);

/* Whether the log of earlier runs has the other form. */
static bool has_other_form(void) {
  char first = 0;
  int fd = openat(store.directory, store.name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  bool other = fd >= 0 && pread(fd, &first, 1, 0) == 1 && (first == '{') == store.entries;
  close_fd(&fd);
  return other;
}

int log_open(const char *path, uint64_t max_size, uint32_t max_files, const char *attributes, bool entries) {
  size_t length = strlen(path), more = strlen(attributes);
  char *slash;
  if (length >= sizeof store.path)
    return fail_with(ENAMETOOLONG, "open", "log");
  log_close();
  memcpy(store.path, path, length + 1);
  slash = strrchr(store.path, '/');
  if (!slash || !slash[1])
    return fail_with(EINVAL, "open", path);
  *slash = 0;
  store.name = slash + 1;
  store.directory = open(slash == store.path ? "/" : store.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (store.directory < 0)
    return fail("open", store.path);
  store.entries = entries;
  store.max_size = max_size;
  store.max_files = max_files ? max_files : 1;
  if (more) {
    store.attributes_room = more + 16;
    store.attributes = map_own_pages(store.attributes_room);
    if (!store.attributes)
      return fail_with(ENOMEM, "mmap", "log");
    struct text text = {store.attributes, 0, more + 16};
    text_add(&text, entries ? "" : "\"attrs\":");
    text_add(&text, attributes);
    text_add(&text, entries ? "" : ",");
    store.attributes_length = text.used;
  }
  store.batch_size = BATCH_ROOM + more;
  if (open_file(0) < 0)
    return fail("open", path);
  if (has_other_form())
    rotate();
  /* The log of earlier runs continues. */
  latest_time(store.directory, store.name, store.size, store.latest);
  return 0;
}

static void rotate(void) {
  close_fd(&store.fd);
  move_files_up(store.directory, store.name, store.max_files);
  /* Also with only one file, the next file is a new one: a reader that follows the log reads the old file to its end and sees that another
   * file has its place. */
  if (store.max_files == 1)
    (void)!unlinkat(store.directory, store.name, 0);
  open_file(store.max_files == 1 ? O_TRUNC : 0);
}

static void lose_batch(int error) {
  store.lost += store.batched;
  store.lost_unsaid += store.batched;
  store.lost_error = error;
  store.used = store.batched = 0;
}

static size_t write_some(const void *data, size_t length) {
  size_t done = 0;
  while (done < length) {
    ssize_t written = write(store.fd, (const uint8_t *)data + done, length - done);
    if (written < 0 && errno != EINTR)
      break;
    done += written > 0 ? (size_t)written : 0;
  }
  return done;
}

/* A record that says how many records are missing, and why. */
static size_t describe_lost(char *out, size_t size) {
  char time[TIME_SIZE], what[128];
  struct text said = {what, 0, sizeof what}, text = {out, 0, size};
  format_now(time);
  text_add(&said, "fathom: ");
  text_add_number(&said, store.lost_unsaid, 1);
  text_add(&said, " log records are missing here: ");
  text_add(&said, strerror(store.lost_error));
  if (store.entries) {
    struct log_entry entry = {.stream = 1, .first = {(const uint8_t *)what, said.used}, .time = time};
    return (size_t)(put_log_entry((uint8_t *)out, &entry) - (uint8_t *)out);
  }
  text_add(&text, "{\"log\":\"");
  text_add(&text, what);
  text_add(&text, "\\n\",\"stream\":\"stderr\",\"time\":\"");
  text_add(&text, time);
  text_add(&text, "\"}\n");
  return text.used;
}

/* All or nothing: when a batch fails, its written part and the record before it are removed again. */
static void write_batch(void) {
  char lost[512];
  size_t before = store.lost_unsaid ? describe_lost(lost, sizeof lost) : 0;
  if (store.fd < 0 && open_file(0) < 0) {
    lose_batch(errno);
    return;
  }
  size_t done = write_some(lost, before);
  if (done == before)
    done += write_some(store.batch, store.used);
  if (done == before + store.used) {
    store.size += done;
    store.lost_unsaid = 0;
    return;
  }
  int error = errno;
  struct stat about;
  if (done && fstat(store.fd, &about) == 0 && (uint64_t)about.st_size >= done)
    (void)!ftruncate(store.fd, about.st_size - (off_t)done);
  lose_batch(error);
}

void log_flush(void) {
  if (store.used == 0)
    return;
  write_batch();
  store.used = store.batched = 0;
}

/* A last line without a newline is a piece whose end is missing. */
static uint8_t *add_entry(uint8_t *out, int stream, struct part first, struct part second, const char *time) {
  bool whole = second.length && second.at[second.length - 1] == '\n';
  second.length -= whole;
  uint32_t ordinal = !whole || store.lines[stream].partial ? ++store.lines[stream].pieces : 0;
  if (whole)
    store.lines[stream].pieces = 0;
  struct log_entry entry = {stream, first, second, time, ordinal, whole, store.attributes, store.attributes_length};
  return put_log_entry(out, &entry);
}

/*
 * JSON cannot hold bytes that are not UTF-8: "log" shows U+FFFD for each, and "bytes" has all bytes of the record in base64. Readers of the
 * format skip a member that they do not know.
 */
static void add_record(int stream, struct part first, struct part second, const char *time) {
  if (!store.batch && !(store.batch = map_own_pages(store.batch_size))) {
    store.lost++;
    return;
  }
  if (store.used + ESCAPED_LIMIT + BASE64_LIMIT + store.attributes_length + 256 > store.batch_size)
    log_flush();
  if (store.max_size && store.size + store.used >= store.max_size) {
    log_flush();
    rotate();
  }
  uint8_t *out = store.batch + store.used;
  store.batched++;
  if (store.entries) {
    store.used = (size_t)(add_entry(out, stream, first, second, time) - store.batch);
    return;
  }
  out = put_bytes(out, "{\"log\":\"", 8);
  bool bad = false;
  out = escape_json_parts(out, first, second, &bad);
  out = put_bytes(out, stream ? "\",\"stream\":\"stderr\"," : "\",\"stream\":\"stdout\",", 20);
  if (store.attributes_length)
    out = put_bytes(out, store.attributes, store.attributes_length);
  if (bad) {
    out = put_bytes(out, "\"bytes\":\"", 9);
    out = put_base64(out, first, second);
    out = put_bytes(out, "\",", 2);
  }
  out = put_bytes(out, "\"time\":\"", 8);
  out = put_bytes(out, time, strlen(time));
  if (is_earlier(time, store.latest)) {
    out = put_bytes(out, "\",\"latest\":\"", 12);
    out = put_bytes(out, store.latest, strlen(store.latest));
  } else {
    memcpy(store.latest, time, strlen(time) + 1);
  }
  out = put_bytes(out, "\"}\n", 3);
  store.used = (size_t)(out - store.batch);
}

void log_write(int stream, const uint8_t *data, size_t length) {
  if (store.directory < 0)
    return;
  char now[TIME_SIZE];
  format_now(now);
  while (length) {
    uint32_t held = store.lines[stream].used;
    size_t room = LINE_LIMIT - held;
    size_t look = length < room + 1 ? length : room + 1;
    const uint8_t *newline = memchr(data, '\n', look);
    if (newline) {
      size_t whole = (size_t)(newline - data) + 1;
      /* The newline does not count: a line with exactly LINE_LIMIT bytes is one record. */
      add_record(stream, (struct part){store.lines[stream].held, held}, (struct part){data, whole}, store.lines[stream].partial ? store.lines[stream].time : now);
      store.lines[stream].used = 0;
      store.lines[stream].partial = false;
      data += whole;
      length -= whole;
      continue;
    }
    if (!store.lines[stream].held && !(store.lines[stream].held = map_own_pages(LINE_LIMIT))) {
      store.lost++;
      return;
    }
    size_t take = length < room ? length : room;
    memcpy(store.lines[stream].held + held, data, take);
    store.lines[stream].used += (uint32_t)take;
    data += take;
    length -= take;
    if (store.lines[stream].used == LINE_LIMIT && length) {
      if (!store.lines[stream].partial)
        memcpy(store.lines[stream].time, now, sizeof now);
      struct part text = {store.lines[stream].held, LINE_LIMIT};
      unsigned rest = unfinished_character(text);
      text.length -= rest;
      add_record(stream, text, (struct part){data, 0}, store.lines[stream].time);
      store.lines[stream].partial = true;
      memmove(store.lines[stream].held, store.lines[stream].held + text.length, rest);
      store.lines[stream].used = rest;
    }
  }
}

void log_end(int stream) {
  char now[TIME_SIZE];
  format_now(now);
  if (store.directory >= 0 && store.lines[stream].used)
    add_record(stream, (struct part){store.lines[stream].held, store.lines[stream].used}, (struct part){(const uint8_t *)"", 0}, store.lines[stream].partial ? store.lines[stream].time : now);
  store.lines[stream].used = store.lines[stream].pieces = 0;
  store.lines[stream].partial = false;
}

int log_reopen(void) {
  if (store.directory < 0)
    return 0;
  log_flush();
  close_fd(&store.fd);
  return open_file(0) < 0 ? fail("open", store.name) : 0;
}

void log_forget(void) {
  memset(&store, 0, sizeof store);
}

uint64_t log_lost(void) {
  return store.lost;
}
