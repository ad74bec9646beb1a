/** spec and features: what does not concern a container. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EngineError, programVersion } from "@fathom/base";
import { namespaceKinds } from "@fathom/runtime";
import { mountWords, ociVersion, seccompActions, seccompOperators } from "@fathom/spec";
import type { Flags } from "../command-line/parse.ts";
import { exampleSpec } from "./example-spec.ts";

export async function spec(_call: unknown, flags: Flags): Promise<number> {
  if (flags.on("rootless")) throw new EngineError("not-implemented", "spec --rootless: not supported yet");
  const path = join(flags.text("bundle") ?? ".", "config.json");
  if (existsSync(path)) throw new EngineError("conflict", "File config.json exists. Remove it first");
  writeFileSync(path, JSON.stringify(exampleSpec, undefined, "\t"), { mode: 0o666 });
  return 0;
}

const otherMountWords =
  "bind rbind idmap ridmap remount defaults tmpcopyup sync async dirsync lazytime nolazytime private rprivate slave rslave shared rshared unbindable runbindable";

/** In the form of the specification, features.md. */
export async function features(): Promise<number> {
  const words = [...mountWords.keys()];
  const shown = {
    ociVersionMin: "1.0.0",
    ociVersionMax: ociVersion,
    hooks: ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
    mountOptions: [...words, ...words.map((word) => `r${word}`), ...otherMountWords.split(" ")].sort(),
    linux: {
      namespaces: [...namespaceKinds].sort(),
      cgroup: { v1: true, v2: true, systemd: false, systemdUser: false, rdma: true },
      seccomp: {
        enabled: true,
        actions: seccompActions.filter((action) => action !== "SCMP_ACT_NOTIFY"),
        operators: seccompOperators,
        archs:
          process.arch === "arm64" ? ["SCMP_ARCH_AARCH64"] : ["SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
        knownFlags: ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"],
      },
      apparmor: { enabled: false },
      selinux: { enabled: false },
      intelRdt: { enabled: false },
      mountExtensions: { idmap: { enabled: true } },
    },
    annotations: { "org.fathom.version": programVersion, "run.oci.checkpoint.enabled": "false" },
  };
  process.stdout.write(`${JSON.stringify(shown, undefined, 4)}\n`);
  return 0;
}
