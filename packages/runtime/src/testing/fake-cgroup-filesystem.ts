/** An in-memory cgroup tree for tests: directories with the files that the kernel would make, and the limits that it would enforce. */
import type { CgroupFileSystem } from "../cgroups/filesystem.ts";

export class FakeError extends Error {
  readonly code: string;
  constructor(code: string, path: string) {
    super(`${code}: ${path}`);
    this.code = code;
  }
}

export class FakeCgroupFileSystem implements CgroupFileSystem {
  readonly files = new Map<string, string>();
  readonly folders = new Set<string>();
  /** Every write and mkdir, in order. */
  readonly log: string[] = [];
  readonly reads: string[] = [];
  /** Files of a new directory below a mount point. */
  readonly templates = new Map<string, Readonly<Record<string, string>>>();
  /** May reject a write by throwing, or change other files. */
  onWrite: (path: string, text: string) => void = () => {};

  /** Mounts a hierarchy: `root` are the files at its root, `below` those of every cgroup below it. */
  mount(mountPoint: string, root: Readonly<Record<string, string>>, below: Readonly<Record<string, string>>): void {
    this.folders.add(mountPoint);
    for (const [name, text] of Object.entries(root)) this.files.set(`${mountPoint}/${name}`, text);
    this.templates.set(mountPoint, below);
  }

  read(path: string): string {
    this.reads.push(path);
    const text = this.files.get(path);
    if (text === undefined) throw new FakeError("ENOENT", path);
    return text;
  }

  write(path: string, text: string): void {
    if (!this.files.has(path)) throw new FakeError("ENOENT", path);
    this.onWrite(path, text);
    this.log.push(`${path} ← ${text}`);
    this.files.set(path, text);
  }

  mkdir(path: string): void {
    if (this.folders.has(path)) throw new FakeError("EEXIST", path);
    if (!this.folders.has(path.slice(0, path.lastIndexOf("/")))) throw new FakeError("ENOENT", path);
    this.log.push(`mkdir ${path}`);
    this.folders.add(path);
    const mountPoint = [...this.templates.keys()].find((one) => path.startsWith(`${one}/`));
    for (const [name, text] of Object.entries(this.templates.get(mountPoint ?? "") ?? {}))
      this.files.set(`${path}/${name}`, text);
  }

  rmdir(path: string): void {
    if (!this.folders.has(path)) throw new FakeError("ENOENT", path);
    if ((this.files.get(`${path}/cgroup.procs`) ?? "") !== "" || this.directories(path).length > 0)
      throw new FakeError("EBUSY", path);
    this.log.push(`rmdir ${path}`);
    this.folders.delete(path);
    for (const file of this.files.keys()) if (file.startsWith(`${path}/`)) this.files.delete(file);
  }

  directories(path: string): string[] {
    if (!this.folders.has(path)) throw new FakeError("ENOENT", path);
    return [...this.folders].flatMap((folder) => {
      const name = folder.startsWith(`${path}/`) ? folder.slice(path.length + 1) : "";
      return name === "" || name.includes("/") ? [] : [name];
    });
  }

  exists(path: string): boolean {
    return this.files.has(path) || this.folders.has(path);
  }
}
