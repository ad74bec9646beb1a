/** The standard streams of a container's processes: a part of the runtime's contract. Every descriptor is a number of the caller's process. */

/** Where a supervisor writes the output of its container, whether a client is attached or not. */
export type LogSink =
  | { readonly kind: "none" }
  | {
      /**
       * Docker's json-file log, written by the supervisor. A record that cannot be written to the disk is dropped, and a later record reports
       * the gap.
       */
      readonly kind: "json-file";
      /** Absolute, on the host. The file is made with mode 0640, or appended to. */
      readonly path: string;
      /** Bytes before rotation; 0 for no limit. */
      readonly maxSize: number;
      /** Number of files that are kept, the current one included; at least 1. */
      readonly maxFiles: number;
      /**
       * "json": a JSON object on each line, as in Docker's json-file. "entries": messages of protocol buffers between two copies of their length,
       * as in Docker's log driver "local". A file of the other form is rotated first.
       */
      readonly form?: "json" | "entries";
      /** Written as `attrs` of each record, already selected from labels and environment. */
      readonly attributes?: Readonly<Record<string, string>>;
    }
  | {
      /**
       * A connected stream socket. The supervisor gets a copy; the caller keeps this one and closes it after the launch. The other end receives
       * the same as an attachment to both outputs, from the first byte to the end. While it does not read, the container's output stops, as
       * with a full pipe.
       */
      readonly kind: "descriptor";
      readonly fd: number;
    };

export interface StreamSelection {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/**
 * A byte stream to a process's standard streams, as a connected, non-blocking stream socket. The caller owns it and closes it.
 * Output of a process without a terminal is in Docker's frames (`FrameSplitter` of @fathom/spec: 8 bytes with the stream, 1 or 2, and the
 * big-endian length, then the bytes); output of a process with a terminal is raw. Bytes that the caller writes go to stdin. The end of file comes
 * after the last byte of output.
 */
export interface Attachment {
  readonly fd: number;
}

export interface AttachOptions extends StreamSelection {
  /** When this client shuts down its write side, the process's stdin is closed (Docker's StdinOnce). */
  readonly closeStdin: boolean;
}

/** The standard streams belong to a supervisor, which exists as long as the container. */
export interface SupervisedIo {
  readonly kind: "supervised";
  readonly log: LogSink;
  /** True: stdin stays open without clients (Docker's OpenStdin). False: stdin is /dev/null. */
  readonly openStdin: boolean;
  /** Attachments that receive every byte from the first one on. The launch returns one `Attachment` for each, in the same order. */
  readonly attach: readonly AttachOptions[];
}

/**
 * No supervisor stays: the process has the descriptors that are named here, and its parent sees its end. The caller keeps all descriptors; the
 * process gets copies. For programs that are the container's parent themselves, as runc is.
 */
export interface DirectIo {
  readonly kind: "direct";
  /**
   * "inherited": the descriptors themselves. "console": a connected unix stream socket that receives the master of the terminal, as runc's
   * --console-socket; for plans with a terminal, and only for those.
   */
  readonly streams:
    | { readonly kind: "inherited"; readonly stdin: number; readonly stdout: number; readonly stderr: number }
    | { readonly kind: "console"; readonly socketFd: number };
  /** Absolute path of a file with the pid in decimal digits. It appears complete, before `launchDirect` resolves. */
  readonly pidFile?: string;
  /** At most 60: they are descriptors 3, 4 … of the program. */
  readonly preservedFds?: readonly number[];
}

/** Who owns the streams of a container's first process. */
export type ContainerIo = SupervisedIo | DirectIo;
