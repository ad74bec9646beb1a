/* The supervisor: one process per container, one poll loop, no threads, a limit for every table. */
#pragma once

#include "../base/escape.h"
#include "../child/child.h"

/* Tables grow with use. The limits protect the machine's memory when other code has a fault. */
#define PROCESSES_LIMIT 65536 /* the container's first process and its execs */
#define CONNECTIONS_LIMIT 32  /* connections of daemons */
#define CLIENTS_LIMIT 65536   /* attached byte streams */
#define CGROUPS_LIMIT 32
#define REMEMBERED_LIMIT 4096 /* exit statuses of execs; every daemon that connects gets them again */
#define ID_SIZE 65
#define PENDING_SIZE 65536 /* input that a process has not read yet */
#define STORE_AGAIN_MS 1000
#define HANGUP_PAUSE_MS 100
#define ORPHAN_MS 300         /* after a client's hangup, the end of its daemon may be visible this much later */
#define REAP_AGAIN_MS 200   /* a container that traces a dead process keeps it from its parent */
#define DROP_MS 1000       /* how long to wait for the end of a killed process */
#define DRAIN_MS 2000         /* after a process's end, how long to wait for output that other processes hold open */

/* Wire messages of the control connections: u32 magic, u32 payload length, u32 type, u32 request id. */
#define MESSAGE_MAGIC 0x314d5446u /* "FTM1" */
#define MESSAGE_HEADER 16
#define MESSAGE_LIMIT (1u << 20)
#define MESSAGE_FDS 72
#define PROTOCOL_VERSION 2
#define MESSAGE_MS 30000 /* longest time for the rest of a message, and for the first message of a connection */
#define ACCEPT_AGAIN_MS 200
#define LINGER_MS 10000  /* at the end, how long to wait for a peer that does not read or does not hang up */
enum message_type {
  ASK_PREPARE = 1,
  ASK_LAUNCH,
  ASK_STATE,
  ASK_ATTACH,
  ASK_EXEC,
  ASK_SIGNAL,
  ASK_RESIZE,
  ASK_START,
  ASK_REOPEN_LOG,
  ASK_HELLO,
  ASK_PLACE,
  SAY_OK = 64,
  SAY_ERROR,
  SAY_EXIT = 96,
  SAY_EXEC_EXIT,
};

enum phase { PHASE_FREE, PHASE_STEM, PHASE_PREPARED, PHASE_LAUNCHING, PHASE_WAITING, PHASE_STARTING, PHASE_RUNNING, PHASE_ENDED };

struct process {
  enum phase phase;
  bool container; /* the first process, not an exec */
  bool terminal, close_input;
  char id[ID_SIZE];
  pid_t pid;
  int pidfd, socket;
  /*
   * When another process makes the visible process (birth.c): the number that the kernel wrote for it, on a page that the visible process does
   * not have, and the pidfd of its maker until the maker is reaped. `pid` and `pidfd` are first the maker's, then the visible process's.
   */
  volatile pid_t *born;
  int maker;
  int64_t reap_again; /* it has ended, but a tracer keeps it: when to try again; 0: no tracer */
  struct shared *shared;
  int input;     /* write end of stdin, or the pty's master, or -1 */
  int output[2]; /* read ends; with a terminal the first is the master */
  uint8_t *pending; /* input that the process has not read yet */
  uint32_t pending_start, pending_end;
  struct connection *asker; /* the connection that waits for the result of launch, start or exec */
  uint32_t request;
  uint32_t code, signal;
  char finished[TIME_SIZE];
  int64_t deadline;    /* for output after the end */
  int64_t pause_until; /* do not read the terminal before this time */
  int64_t orphan_until; /* a client whose end would end the input has hung up: when it is known whether its daemon ended too; 0: no such client */
  struct connection *orphan_of;
};

struct connection {
  int fd; /* -1: free */
  uint8_t header[MESSAGE_HEADER];
  uint32_t have; /* bytes received: of the header, then of the body */
  uint8_t *body;
  uint32_t length;
  int fds[MESSAGE_FDS];
  unsigned fd_count;
  int64_t deadline; /* for the message that is arriving; 0: no message */
  uint8_t *unsent; /* UNSENT_SIZE bytes when there is unsent data */
  uint32_t unsent_length;
};

struct client {
  int fd; /* -1: free */
  struct process *process;
  struct connection *daemon; /* the connection that passed it on; NULL when that has ended */
  bool input, close_input;
  bool sends; /* it has an input direction, and some of that input may be unread at the end */
  int64_t linger; /* the client got the message about the end: until this time its input is dropped; 0: not told */
  bool hung; /* its other end is closed, and its last input waits for room */
  bool wants[2];
  uint8_t *buffer;
  uint32_t start, end;
};

struct supervisor {
  int directory; /* the container's directory: socket and exit status */
  int listener;
  bool launched, chrooted, ended;
  bool direct;  /* this supervisor ends as soon as the program runs; it has no part in the program's streams and end */
  int console;  /* socket that gets the pty's master of a direct launch, or -1 */
  int64_t store_again; /* the exit status could not be written: when to try again; 0: it is written */
  int64_t accept_again; /* no descriptor was free for a peer: when to try again; 0: at once */
  int64_t unheard; /* everything has ended: until this time, wait until daemons have read it; 0: not yet */
  pid_t own_pid;
  char started[TIME_SIZE];
  struct table processes, clients;
  struct connection *connections; /* CONNECTIONS_LIMIT */
};
extern struct supervisor supervisor;

static inline struct process *process_at(uint32_t index) {
  return table_at(&supervisor.processes, index);
}
static inline struct client *client_at(uint32_t index) {
  return table_at(&supervisor.clients, index);
}
static inline struct process *container(void) {
  return process_at(0);
}

/* process-table.c */
/* Makes the entry of the container's first process. Call it before all other functions here. */
void make_container(void);
struct process *new_process(const char *id);
struct process *find_process(const char *id);
/* Makes pipes for a process (with a terminal: nothing). The child's ends are in `ends`. */
int make_streams(struct process *process, bool open_stdin, int ends[3]);

/* processes.c */
/* Reads letters from the child, and the end of the socket. */
void on_child_socket(struct process *process);
void on_process_end(struct process *process);
/* The maker of a process has ended: reaps it. */
void on_maker_end(struct process *process);
void free_process(struct process *process);
/* Kills the processes of a launch that did not happen. */
void drop_process(struct process *process);

/* cloning.c */
struct stem_request {
  uint32_t namespaces;
  struct list cgroups;
  const char *join_pid, *uid_map, *gid_map, *time_offsets;
};
int make_stem(const struct stem_request *request);
int start_exec(struct process *process, const struct stem_request *request, int ends[3]);

/* birth.c: what the new process does before its plan. `pid_namespace` is a namespace to join, or -1. */
_Noreturn void live_as_stem(struct child *child, uint32_t namespaces, int pid_namespace, const int *cgroups, unsigned count);
/* `chrooted`: the container's first process, when its root is not the root of its mount namespace; else 0. */
_Noreturn void live_as_exec(struct child *child, int init, int namespaces, pid_t chrooted, const int *cgroups, unsigned count);
/* The namespaces that a stem makes itself. */
#define STEM_LATER (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWTIME)
int write_maps(pid_t pid, const char *uid_map, const char *gid_map);

/* clients.c */
struct client *add_client(int fd, struct process *process, struct connection *daemon, uint32_t wants);
/* A daemon has ended. Its clients did not leave by themselves, so the container's input stays open for clients of the next daemon. */
void orphan_clients(const struct connection *daemon);
/* Closes the input of a client that has hung up, unless its daemon ended too. */
void settle_orphan(struct process *process, int64_t now);
void on_client(struct client *client, short events);
/* Closes clients that got the message about the end and do not hang up. Returns the next deadline, 0 for none. */
int64_t settle_clients(int64_t now);
/* Closes clients whose process has ended and that have received everything. */
void finish_clients(void);

/* streams.c */
int make_streams_room(void);
void on_output(struct process *process, int stream);
bool wants_output(const struct process *process, int stream);
void on_input_room(struct process *process);
bool wants_client_input(const struct client *client);
/* Reads everything that is in the pipes now. */
void drain_output(struct process *process);
void close_output(struct process *process);
#define ATTACH_STDIN 1
#define ATTACH_STDOUT 2
#define ATTACH_STDERR 4
#define ATTACH_CLOSE_STDIN 8

/* log.c */
/* `entries`: records in the form of log-entry.c instead of JSON; the attributes have the same form. */
int log_open(const char *path, uint64_t max_size, uint32_t max_files, const char *attributes, bool entries);
void log_write(int stream, const uint8_t *data, size_t length);
/* Writes a last line that has no newline. */
void log_end(int stream);
void log_flush(void);
int log_reopen(void);
uint64_t log_lost(void);
/* For a child: wipes the log's data from its memory. */
void log_forget(void);

/* log-times.c: the times of records, as text. */
bool is_earlier(const char *time, const char *than);
struct log_entry {
  int stream;
  struct part first, second; /* the line, without its newline */
  const char *time;
  uint32_t ordinal; /* of a piece of a line, from 1 on; 0 for a whole line */
  bool last;        /* the last piece */
  const char *attributes;
  size_t attributes_length;
};
/* Appends the entry; returns the new end. Its size is that of its texts and at most 256 bytes more. */
uint8_t *put_log_entry(uint8_t *out, const struct log_entry *entry);
/*
 * Rotation: existing files move up by one number, as far as a number is free, packed or not. The user chooses the number of files; it may be any
 * number.
 */
void move_files_up(int directory, const char *log, uint32_t max_files);
/* The latest time in a log, from its last record; "" when there is none. */
void latest_time(int directory, const char *name, uint64_t size, char latest[TIME_SIZE]);

/* exit-status.c */
struct remembered {
  char id[ID_SIZE];
  uint32_t code, signal;
  char finished[TIME_SIZE];
};
/* False: try again later. True also when the directory has gone: then nobody will look for the status. */
bool store_exit(const struct process *process);
void sync_exit(void);
void remember_exec(const struct process *process);
const struct remembered *remembered_exec(unsigned index);
unsigned remembered_count(void);

/* connections.c */
struct connection *add_connection(int fd);
void on_connection(struct connection *connection, short events);
void on_listener(void);
/* Closes connections whose message did not arrive in time. Returns the next deadline, 0 for none. */
int64_t settle_connections(int64_t now);
/* False while a connection has not read all answers. */
bool is_heard(void);
int open_listener(void);
/* Also removes the socket's name. */
void close_listener(void);
void close_connection(struct connection *connection);
void say(struct connection *connection, uint32_t type, uint32_t request, const void *payload, size_t length);
void say_failure(struct connection *connection, uint32_t request, const struct failure *what);
void tell_all(uint32_t type, const void *payload, size_t length);

/* launch-requests.c */
void prepare(struct connection *connection, uint32_t request, struct reader *in);
void launch(struct connection *connection, uint32_t request, struct reader *in);
void exec(struct connection *connection, uint32_t request, struct reader *in);

/* requests.c */
/* Answers with the recorded failure, or with this one. */
void refuse(struct connection *connection, uint32_t request);
void refuse_with(struct connection *connection, uint32_t request, int error, const char *why);
/* Takes a descriptor that arrived with the message; -1 when none is left. */
int take_fd(struct connection *connection, unsigned *next);
void handle_request(struct connection *connection, uint32_t type, uint32_t request);
void say_running(struct process *process);
void tell_exec_exit(const struct remembered *what);
