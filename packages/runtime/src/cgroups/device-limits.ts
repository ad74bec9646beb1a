/** The device rules of one cgroup: as files of v1, or as a BPF program of v2. */
import { EngineError, messageOf } from "@fathom/base";
import type { Sys } from "@fathom/sys";
import type { CgroupHierarchyView } from "../compile/cgroup-mounts.ts";
import { allDevices, formatException, type DeviceAccess } from "./device-access.ts";
import { deviceInstructions, encodeInstructions } from "./device-program.ts";
import { unifiedOf } from "./directories.ts";
import type { CgroupFileSystem } from "./filesystem.ts";
import type { ControllerPlace, Places } from "./limits.ts";

/** What is known about the present device rules: a new cgroup allows everything; about a found one nothing is known. */
export type DeviceState = "fresh" | "unknown";

export interface DeviceDependencies {
  readonly fs: CgroupFileSystem;
  /** For the program of v2. */
  readonly sys?: Pick<Sys, "open" | "close" | "bpfLoadDeviceProgram" | "bpfAttachDevice">;
}

export class DeviceLimits {
  readonly #hierarchies: readonly CgroupHierarchyView[];
  readonly #places: Places;
  readonly #dependencies: DeviceDependencies;
  #known: DeviceAccess | undefined;
  #program: number | undefined;

  constructor(
    hierarchies: readonly CgroupHierarchyView[],
    places: Places,
    state: DeviceState,
    dependencies: DeviceDependencies,
  ) {
    this.#hierarchies = hierarchies;
    this.#places = places;
    this.#known = state === "fresh" ? allDevices : undefined;
    this.#dependencies = dependencies;
  }

  apply(wanted: DeviceAccess): void {
    const place = this.#places.get("devices");
    const everything = wanted.defaultAllow && wanted.exceptions.length === 0;
    if (place !== undefined) this.#writeFiles(place, wanted);
    else if (!(everything && this.#known === allDevices)) this.#loadProgram(wanted);
    this.#known = wanted;
  }

  #writeFiles(place: ControllerPlace, wanted: DeviceAccess): void {
    const { fs } = this.#dependencies;
    const write = (file: "allow" | "deny", rule: string): void => {
      try {
        fs.write(`${place.directory}/devices.${file}`, rule);
      } catch (error) {
        throw new EngineError("internal", `cannot set devices.${file} to "${rule}": ${messageOf(error)}`, {
          cause: error,
        });
      }
    };
    const known = this.#known;
    // The reset is only unnecessary when the default is known to be right and there is no exception to remove.
    if (known === undefined || known.defaultAllow !== wanted.defaultAllow || known.exceptions.length > 0)
      write(wanted.defaultAllow ? "allow" : "deny", "a");
    for (const exception of wanted.exceptions)
      write(wanted.defaultAllow ? "deny" : "allow", formatException(exception));
  }

  #loadProgram(wanted: DeviceAccess): void {
    const { sys } = this.#dependencies;
    const place = unifiedOf(this.#hierarchies);
    if (place === undefined || sys === undefined)
      throw new EngineError(
        "unavailable",
        "cannot restrict devices: neither the devices controller nor cgroup v2 is available here",
      );
    const program = sys.bpfLoadDeviceProgram(encodeInstructions(deviceInstructions(wanted)));
    try {
      // O_RDONLY | O_DIRECTORY | O_CLOEXEC
      const directory = sys.open(place.directory, 0o2_200_000);
      try {
        if (this.#program === undefined) sys.bpfAttachDevice(directory, program);
        else sys.bpfAttachDevice(directory, program, this.#program);
      } finally {
        sys.close(directory);
      }
    } catch (error) {
      sys.close(program);
      throw error;
    }
    if (this.#program !== undefined) sys.close(this.#program);
    this.#program = program;
  }

  /** Closes the program of v2; the cgroup keeps it as long as the cgroup exists. */
  close(): void {
    if (this.#program !== undefined) this.#dependencies.sys?.close(this.#program);
    this.#program = undefined;
  }
}
