import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zeroTime } from "@fathom/base";
import type { ContainerRecord, ContainerTranslation } from "@fathom/containers";
import { translationSuite, type TranslationUnderTest } from "@fathom/containers/testing";
import { emptyContainerConfig, emptyHostConfig } from "@fathom/spec/testing";
import { createHostFiles, createSys, helperExecutable, O_DIRECTORY, O_PATH } from "@fathom/sys";
import { specOf } from "../containers/docker-extension.ts";
import { fakeTranslation } from "../testing/fake-translation.ts";
import { testHost } from "../testing/oci-fixtures.ts";
import { createOciTranslation } from "./translation.ts";

const sys = createSys();
const files = createHostFiles({ sys, executable: () => helperExecutable(sys) });
const { limits: support, cgroupVersion: version } = testHost;

function record(
  [path = "", ...args]: readonly string[],
  { user = "", terminal = false }: { readonly user?: string; readonly terminal?: boolean } = {},
): ContainerRecord {
  const extension = {
    config: { ...emptyContainerConfig, Hostname: "box", User: user, Tty: terminal },
    hostConfig: { ...emptyHostConfig, NetworkMode: "bridge", IpcMode: "private", ShmSize: 67_108_864 },
  };
  return {
    id: "c".repeat(64),
    name: "one",
    createdAt: zeroTime,
    imageId: "",
    topLayer: undefined,
    path,
    arguments: args,
    spec: specOf(extension),
    extension,
    mounts: [],
    networks: [],
    cgroupPath: "/fathom/c",
    state: {
      status: "created",
      pid: 0,
      exitCode: 0,
      error: "",
      oomKilled: false,
      startedAt: zeroTime,
      finishedAt: zeroTime,
    },
    restartCount: 0,
    restartDelayMs: 0,
    stoppedByUser: false,
    health: undefined,
    pending: undefined,
  };
}

/** The container has a root file system of its own; the process is this test's process, whose root is the machine's. */
function under(translation: ContainerTranslation): TranslationUnderTest {
  const root = mkdtempSync(join(tmpdir(), "fathom-translation-"));
  mkdirSync(join(root, "etc"));
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0::/root:/bin/sh\n");
  const rootFd = sys.open(root, O_PATH | O_DIRECTORY);
  return {
    translation,
    record,
    rootFd,
    pid: process.pid,
    [Symbol.dispose]: () => {
      sys.close(rootFd);
      rmSync(root, { recursive: true });
    },
  };
}

const config = { defaultUlimits: [], noNewPrivileges: false, seccompProfile: "" };
translationSuite("Docker's configuration", () =>
  under(createOciTranslation({ sys, files, config, cgroups: { version, support }, host: testHost })),
);
translationSuite("the fake", () => under(fakeTranslation));
