/**
 * The driver `local`: a directory `volumes/<name>/_data` for each volume, and beside it the volume's description (description.ts). A volume
 * with options is a mount on that directory.
 *
 * A row is written after its directory, and removed after the directory was moved to `.removing`; `recover` finishes both.
 */
import { existsSync, renameSync, rmdirSync } from "node:fs";
import { EngineError, isEngineError, messageOf, randomId, type Clock, type Logger } from "@fathom/base";
import { errnoText, isSysError, type HostFiles, type Sys, MS_BIND, MS_REMOUNT } from "@fathom/sys";
import {
  anonymousLabel,
  type RemovedVolume,
  type VolumeDriver,
  type VolumeRecord,
  type VolumeRecords,
} from "../contract.ts";
import { discardUnpublished, prepareDescription, publishDescription } from "./description.ts";
import { parseMountOptions } from "./mount-options.ts";
import { LocalPlace, makeDirectory } from "./place.ts";
import { recoverLocal } from "./recover.ts";
import { treeSize } from "./tree-size.ts";
import { checkVolumeName } from "./volume-name.ts";

/** The kernel's error for a volume's device, type or options. */
const optionErrors = [
  "ENOENT",
  "EINVAL",
  "ENODEV",
  "ENOTBLK",
  "ENXIO",
  "ENOTDIR",
  "ELOOP",
  "ENAMETOOLONG",
  "EACCES",
  "EPERM",
  "EBUSY",
  "EROFS",
  "EPROTO",
  "EOPNOTSUPP",
] as const;

export interface LocalDriverOptions {
  /** `/var/lib/fathom/volumes`. */
  readonly root: string;
  readonly sys: Sys;
  /** A mount may be on a server that does not answer: all calls that could wait for it use this. */
  readonly files: HostFiles;
  readonly clock: Clock;
  readonly logger: Logger;
}

export function createLocalDriver(options: LocalDriverOptions): VolumeDriver {
  return new LocalDriver(options);
}

class LocalDriver implements VolumeDriver {
  readonly name = "local";
  readonly scope = "local";
  readonly #options: LocalDriverOptions;
  readonly #place: LocalPlace;

  constructor(options: LocalDriverOptions) {
    this.#options = options;
    this.#place = new LocalPlace(options.root);
  }

  check(name: string, options: Readonly<Record<string, string>>): void {
    checkVolumeName(name);
    parseMountOptions(options);
  }

  recover(records: VolumeRecords): void {
    recoverLocal({ ...this.#options, driver: this.name, place: this.#place }, records);
  }

  path(name: string): string {
    return this.#place.data(name);
  }

  /** Directory, description, row. */
  async create(volume: VolumeRecord, record: () => void): Promise<void> {
    const directory = this.#place.directory(volume.name);
    // The directory of an anonymous volume need not survive a power loss: its container's description names it.
    const durable = volume.labels === null || !(anonymousLabel in volume.labels);
    const made: string[] = [];
    try {
      for (const path of [directory, this.#place.data(volume.name)]) if (makeDirectory(path)) made.unshift(path);
      prepareDescription(directory, volume, durable);
      record();
    } catch (error) {
      for (const undo of [() => discardUnpublished(directory), ...made.map((path) => () => rmdirSync(path))])
        try {
          undo();
        } catch {
          // It was not made, or the next start tries again.
        }
      throw error;
    }
    try {
      publishDescription(directory, durable);
    } catch (error) {
      // The volume exists; the next start writes its description.
      this.#options.logger.warn("the description of a volume cannot be written", {
        volume: volume.name,
        error: messageOf(error),
      });
    }
  }

  async mount(volume: VolumeRecord): Promise<void> {
    const options = parseMountOptions(volume.options ?? {});
    if (options === undefined) return;
    const { files } = this.#options;
    const target = this.#place.mountTarget(volume.name);
    // An earlier daemon may have mounted it for a container that still runs.
    if (files.isMounted(target)) return;
    try {
      await files.mount(options.device, target, options.type, options.flags, options.data);
      // A bind gets other flags only by a remount.
      if ((options.flags & MS_BIND) !== 0 && (options.flags & 0xf) !== 0) await this.#remount(volume, options.flags);
    } catch (error) {
      const reason = isSysError(error) ? errnoText(error.errno).toLowerCase() : messageOf(error);
      throw new EngineError(
        isEngineError(error, "timeout")
          ? "timeout"
          : isSysError(error, ...optionErrors)
            ? "invalid-argument"
            : "internal",
        `error while mounting volume '${target}': failed to mount local volume: mount ${options.device}:${target}, flags: 0x${options.flags.toString(16)}: ${reason}`,
        { cause: error },
      );
    }
  }

  /** @throws as `HostFiles.mount`. Then it is not mounted, because without its flags it would be another volume */
  async #remount(volume: VolumeRecord, flags: number): Promise<void> {
    const { files } = this.#options;
    try {
      await files.mount("", this.#place.mountTarget(volume.name), "", flags | MS_REMOUNT, "");
    } catch (error) {
      await this.unmount(volume).catch(() => undefined);
      throw error;
    }
  }

  async unmount(volume: VolumeRecord): Promise<void> {
    if (volume.options !== null) await this.#options.files.unmount(this.#place.mountTarget(volume.name));
  }

  async usage(volume: VolumeRecord): Promise<number> {
    // A volume on another file system does not use this engine's disk.
    if (volume.options !== null) return 0;
    try {
      return await treeSize(this.#options.files.readTree, this.path(volume.name));
    } catch (error) {
      if (isSysError(error, "ENOENT")) return 0;
      throw error;
    }
  }

  async remove(volume: VolumeRecord, forget: () => void): Promise<RemovedVolume> {
    const { name } = volume;
    const { files } = this.#options;
    // The engine must not remove the files of a mount there.
    if (volume.options !== null && files.isMounted(this.#place.mountTarget(name)))
      throw new EngineError(
        "conflict",
        `remove ${name}: volume is still mounted on ${this.path(name)} and cannot be unmounted: try again`,
      );
    const directory = this.#place.directory(name);
    const known = this.#place.removing(name);
    // Files of an earlier volume with this name may still be in the process of removal.
    const gone = existsSync(known) ? this.#place.removing(randomId()) : known;
    const moved = existsSync(directory);
    if (moved) renameSync(directory, gone);
    try {
      forget();
    } catch (error) {
      if (moved) renameSync(gone, directory);
      throw error;
    }
    return { free: () => files.remove(gone) };
  }
}
