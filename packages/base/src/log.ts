/** Structured logging. The logger is passed in; a line has a message and fields; a child logger adds ids to each line. */

export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal"] as const;
export type LogLevel = (typeof logLevels)[number];
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  readonly level: LogLevel;
  log(level: LogLevel, message: string, fields?: LogFields): void;
  trace(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to every line. */
  child(fields: LogFields): Logger;
}

export interface LogSink {
  write(line: string): void;
}

export type LogFormat = "text" | "json";

/** `key=value`, with quotes where needed, as dockerd and logrus print it. A value never contains a line break. */
function formatText(time: string, level: LogLevel, message: string, fields: LogFields): string {
  let line = `time=${JSON.stringify(time)} level=${level} msg=${JSON.stringify(message)}`;
  for (const [key, value] of Object.entries(fields)) line += ` ${key}=${formatValue(value)}`;
  return line + "\n";
}

function formatValue(value: unknown): string {
  const text =
    value instanceof Error ? value.message : typeof value === "object" ? JSON.stringify(value) : String(value);
  return /^[\w./:@+-]+$/.test(text) ? text : JSON.stringify(text);
}

function formatJson(time: string, level: LogLevel, message: string, fields: LogFields): string {
  const plain = Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [key, value instanceof Error ? value.message : value]),
  );
  return JSON.stringify({ ...plain, level, msg: message, time }) + "\n";
}

class LineLogger implements Logger {
  readonly level: LogLevel;
  readonly #threshold: number;
  readonly #sink: LogSink;
  readonly #format: LogFormat;
  readonly #fields: LogFields;

  constructor(level: LogLevel, sink: LogSink, format: LogFormat, fields: LogFields) {
    this.level = level;
    this.#threshold = logLevels.indexOf(level);
    this.#sink = sink;
    this.#format = format;
    this.#fields = fields;
  }

  log(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (logLevels.indexOf(level) < this.#threshold) return;
    const format = this.#format === "json" ? formatJson : formatText;
    this.#sink.write(format(new Date().toISOString(), level, message, { ...this.#fields, ...fields }));
  }
  trace(message: string, fields?: LogFields): void {
    this.log("trace", message, fields);
  }
  debug(message: string, fields?: LogFields): void {
    this.log("debug", message, fields);
  }
  info(message: string, fields?: LogFields): void {
    this.log("info", message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    this.log("warn", message, fields);
  }
  error(message: string, fields?: LogFields): void {
    this.log("error", message, fields);
  }
  child(fields: LogFields): Logger {
    return new LineLogger(this.level, this.#sink, this.#format, { ...this.#fields, ...fields });
  }
}

/** A logger that writes lines of `level` or more severe to `sink`. */
export function createLogger(level: LogLevel, sink: LogSink, format: LogFormat = "text"): Logger {
  return new LineLogger(level, sink, format, {});
}

/** A logger that drops everything, for tests and for commands that run once. */
export const silentLogger: Logger = createLogger("fatal", { write() {} });
