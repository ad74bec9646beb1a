/** The promises of `ContainerTranslation` as tests: each implementation and each fake runs them. */
import { describe, expect, test } from "bun:test";
import { EngineError } from "@fathom/base";
import type { ContainerTranslation, JoinedNamespaces } from "../contract.ts";
import { plainExec } from "../exec/exec-spec.ts";
import type { ContainerRecord } from "../record.ts";

export interface TranslationUnderTest extends Disposable {
  readonly translation: ContainerTranslation;
  /** A container of this owner with this command, with defaults except for `change`. `user` is the user of its first process; "" means root. */
  record(command: readonly string[], change?: { readonly user?: string; readonly terminal?: boolean }): ContainerRecord;
  /** A root file system that has the user root and no other user with letters in its name. */
  readonly rootFd: number;
  /** A process whose root file system has the user root. */
  readonly pid: number;
}

const joinsNothing: JoinedNamespaces = { network: undefined, uts: undefined, pid: undefined, ipc: undefined };
const unknown = "nobody-has-this-name";

export function translationSuite(name: string, open: () => TranslationUnderTest): void {
  const input = (
    { rootFd }: TranslationUnderTest,
    record: ContainerRecord,
    namespaces: JoinedNamespaces = joinsNothing,
  ): Parameters<ContainerTranslation["containerSpec"]>[0] => ({
    record,
    rootFd,
    namespaces,
    files: { hosts: "/c/hosts", hostname: "/c/hostname", resolvConf: "/c/resolv.conf" },
    hostname: "box",
    sharedMemory: undefined,
  });
  const failure = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => undefined,
      (error: unknown) => error,
    );

  describe(`${name} as a ContainerTranslation`, () => {
    test("the first process has the record's command and terminal, and an absolute working directory", async () => {
      using under = open();
      const record = under.record(["sh", "-c", "exit 3"], { terminal: true });
      const { process } = await under.translation.containerSpec(input(under, record));
      expect(process).toMatchObject({ args: ["sh", "-c", "exit 3"], terminal: true, user: { uid: 0, gid: 0 } });
      expect(process?.cwd).toStartWith("/");
      const quiet = await under.translation.containerSpec(input(under, under.record(["true"])));
      expect(quiet.process?.terminal ?? false).toBe(false);
    });

    test("a container has namespaces of its own, except for namespaces of other containers that it joins", async () => {
      using under = open();
      const own = await under.translation.containerSpec(input(under, under.record(["true"])));
      const types = ["mount", "network", "uts", "pid", "ipc"] as const;
      const paths = (spec: typeof own, type: (typeof types)[number]): (string | undefined)[] =>
        (spec.linux?.namespaces ?? []).filter((one) => one.type === type).map(({ path }) => path);
      for (const type of types) expect([type, paths(own, type)]).toEqual([type, [undefined]]);
      const joined = { network: "/proc/7/ns/net", uts: "/proc/7/ns/uts", pid: "/proc/8/ns/pid", ipc: "/proc/9/ns/ipc" };
      const joining = await under.translation.containerSpec(input(under, under.record(["true"]), joined));
      for (const type of types)
        expect([type, paths(joining, type)]).toEqual([type, [type === "mount" ? undefined : joined[type]]]);
    });

    test("the same record gives the same configuration, and the translation does not change the record", async () => {
      using under = open();
      const record = under.record(["true"]);
      const before = structuredClone(record);
      const first = await under.translation.containerSpec(input(under, record));
      expect(await under.translation.containerSpec(input(under, record))).toEqual(first);
      expect(record).toEqual(before);
    });

    test("an exec has the values that it asks for, and the container's values for all others", async () => {
      using under = open();
      const { pid } = under;
      const record = under.record(["true"]);
      const asked = {
        ...plainExec(["env", "-0"]),
        terminal: true,
        environment: ["WORD=said"],
        workingDirectory: "/srv",
        user: "root",
      };
      const { process } = await under.translation.execProcess({ record, exec: asked, pid });
      expect(process).toMatchObject({ args: ["env", "-0"], terminal: true, cwd: "/srv", user: { uid: 0, gid: 0 } });
      expect(process.env).toContain("WORD=said");
      const plain = await under.translation.execProcess({ record, exec: plainExec(["true"]), pid });
      expect(plain.process).toMatchObject({ args: ["true"], user: { uid: 0, gid: 0 } });
      expect(plain.process.terminal ?? false).toBe(false);
      expect(plain.process.cwd).toStartWith("/");
      expect(plain.process.env?.some((entry) => entry.startsWith("PATH="))).toBe(true);
    });

    test("the user of the first process, in a root and in the root of a process", async () => {
      using under = open();
      const { pid, rootFd, translation } = under;
      for (const root of [{ pid }, { rootFd }]) {
        const [named, numbered] = ["root", "7"].map((user) => under.record(["true"], { user }));
        expect(await translation.containerUser({ record: named!, root })).toMatchObject({ uid: 0, gid: 0 });
        expect(await translation.containerUser({ record: numbered!, root })).toMatchObject({ uid: 7 });
      }
    });

    test("a user who does not exist is an error of the request", async () => {
      using under = open();
      const { pid, translation } = under;
      const codes = ["invalid-argument", "not-found"];
      const ofStart = await failure(translation.containerSpec(input(under, under.record(["true"], { user: unknown }))));
      const exec = { ...plainExec(["true"]), user: unknown };
      const ofExec = await failure(translation.execProcess({ record: under.record(["true"]), exec, pid }));
      const ofUser = await failure(
        translation.containerUser({ record: under.record(["true"], { user: unknown }), root: { pid } }),
      );
      for (const error of [ofStart, ofExec, ofUser]) {
        expect(error).toBeInstanceOf(EngineError);
        if (error instanceof EngineError) expect(codes).toContain(error.code);
      }
    });
  });
}
