/** The columns that ps(1) of procps has, and how each shows its value. */
import type { Environment, Process } from "./read-process.ts";

export interface Column {
  readonly title: string;
  readonly value: (process: Process, environment: Environment) => string;
}

export const columns: Readonly<Record<string, Column>> = buildColumns();
function buildColumns(): Record<string, Column> {
  const all: Record<string, Column> = {};
  const add = (names: string, title: string, value: Column["value"]): void => {
    for (const name of names.split(" ")) all[name] = { title, value };
  };
  add("pid tgid", "PID", (p) => String(p.pid));
  add("ppid", "PPID", (p) => String(p.ppid));
  add("pgid pgrp", "PGID", (p) => String(p.processGroup));
  add("sid sess session", "SID", (p) => String(p.session));
  add("uid_name", "UID", (p, e) => e.userName(p.uid));
  add("uid euid", "UID", (p) => String(p.uid));
  add("gid egid", "GID", (p) => String(p.gid));
  add("user euser uname", "USER", (p, e) => e.userName(p.uid));
  add("ruser", "RUSER", (p, e) => e.userName(p.uid));
  add("group egroup", "GROUP", (p, e) => e.groupName(p.gid));
  add("comm ucmd ucomm", "COMMAND", (p) => p.comm);
  add("args command", "COMMAND", (p) => p.args);
  add("cmd", "CMD", (p) => p.args);
  add("cmdshort", "CMD", (p) => p.comm);
  add("tty tt tname", "TTY", (p) => ttyName(p.ttyNumber));
  all["tt"] = { ...all["tt"]!, title: "TT" };
  add("time cputime", "TIME", (p) => clockTime(p.cpuSeconds));
  add("bsdtime", "TIME", (p) => `${Math.floor(p.cpuSeconds / 60)}:${pad(Math.floor(p.cpuSeconds) % 60)}`);
  add("etime", "ELAPSED", (p, e) => elapsed(e.now - p.startedAt));
  add("etimes", "ELAPSED", (p, e) => String(Math.max(0, Math.floor(e.now - p.startedAt))));
  add("stime start_time", "STIME", (p, e) => startTime(p.startedAt, e.now));
  all["start_time"] = { ...all["start_time"]!, title: "START" };
  add("bsdstart start", "START", (p, e) => startTime(p.startedAt, e.now));
  add("lstart", "STARTED", (p) => longTime(p.startedAt));
  add("s state", "S", (p) => p.state);
  add("stat", "STAT", stat);
  add("rss rssize rsz", "RSS", (p) => String(p.rssKib));
  add("vsz vsize", "VSZ", (p) => String(p.vszKib));
  add("pcpu %cpu", "%CPU", (p, e) => percentCpu(p, e).toFixed(1));
  add("c cp", "C", (p, e) => String(Math.min(99, Math.floor(percentCpu(p, e)))));
  add("pmem %mem", "%MEM", (p, e) => ((p.rssKib / e.memTotalKib) * 100).toFixed(1));
  add("ni nice", "NI", (p) => String(p.nice));
  add("pri", "PRI", (p) => String(39 - p.priority));
  add("nlwp thcount", "NLWP", (p) => String(p.threads));
  add("psr", "PSR", (p) => String(p.processor));
  return all;
}

function percentCpu(process: Process, environment: Environment): number {
  const age = environment.now - process.startedAt;
  return age <= 0 ? 0 : (process.cpuSeconds / age) * 100;
}

function stat(p: Process): string {
  return (
    p.state +
    (p.nice < 0 ? "<" : p.nice > 0 ? "N" : "") +
    (p.lockedKib > 0 ? "L" : "") +
    (p.session === p.pid ? "s" : "") +
    (p.threads > 1 ? "l" : "") +
    (p.foregroundGroup === p.processGroup ? "+" : "")
  );
}

const pad = (n: number): string => String(n).padStart(2, "0");

function clockTime(seconds: number): string {
  const whole = Math.floor(seconds);
  const days = Math.floor(whole / 86400);
  return `${days > 0 ? `${days}-` : ""}${pad(Math.floor(whole / 3600) % 24)}:${pad(Math.floor(whole / 60) % 60)}:${pad(whole % 60)}`;
}

function elapsed(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const days = Math.floor(whole / 86400);
  const hours = Math.floor(whole / 3600) % 24;
  const head = days > 0 ? `${days}-${pad(hours)}:` : hours > 0 ? `${pad(hours)}:` : "";
  return `${head}${pad(Math.floor(whole / 60) % 60)}:${pad(whole % 60)}`;
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/** Hour and minute of today, else month and day, else the year. */
function startTime(startedAt: number, now: number): string {
  const start = new Date(startedAt * 1000);
  const today = new Date(now * 1000);
  if (start.toDateString() === today.toDateString()) return `${pad(start.getHours())}:${pad(start.getMinutes())}`;
  if (start.getFullYear() === today.getFullYear()) return `${months[start.getMonth()]}${pad(start.getDate())}`;
  return String(start.getFullYear());
}

function longTime(startedAt: number): string {
  const d = new Date(startedAt * 1000);
  const day = String(d.getDate()).padStart(2, " ");
  return `${weekdays[d.getDay()]} ${months[d.getMonth()]} ${day} ${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())} ${d.getFullYear()}`;
}

/** Device number of /proc/PID/stat as a name below /dev. */
function ttyName(number: number): string {
  if (number === 0) return "?";
  const major = (number >> 8) & 0xfff;
  const minor = (number & 0xff) | ((number >> 12) & 0xfff00);
  if (major >= 136 && major <= 143) return `pts/${(major - 136) * 256 + minor}`;
  if (major === 4) return minor < 64 ? `tty${minor}` : `ttyS${minor - 64}`;
  return major === 5 && minor === 1 ? "console" : "?";
}
