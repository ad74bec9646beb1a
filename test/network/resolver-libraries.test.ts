/** The resolvers of glibc and musl ask a container's resolver, through the /etc/resolv.conf that a container gets. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { buildResolvConf } from "@fathom/network";
import { questionName, questionType, reply } from "@fathom/network/testing";
import { place, serverInThisProcess } from "./names-world.ts";
import { isInside, run, runInside } from "./world.ts";

if (!isInside) {
  test("the libraries' resolvers, in a network namespace that plays the host", async () => {
    const { code, output } = await runInside(import.meta.path);
    if (code !== 0) console.error(output);
    expect(code).toBe(0);
  }, 120_000);
} else {
  run("ip", "link", "set", "lo", "up");
  const directory = mkdtempSync(join(tmpdir(), "fathom-libraries-"));
  const made = place(serverInThisProcess());
  const namespace = made.namespace();

  beforeAll(async () => {
    const settings = { host: "nameserver 127.0.0.53\n", servers: [], search: [], options: [], isolated: true };
    writeFileSync(join(directory, "resolv.conf"), buildResolvConf({ ...settings, resolver: true }));
    await made.server("host", "127.0.0.53", (asked) => {
      if (questionName(asked) !== "there.example") return reply(asked, { code: 3 });
      const answer = { type: "A" as const, name: "there.example", ttl: 9, data: "192.0.2.9" };
      return reply(asked, { answers: questionType(asked) === "A" ? [answer] : [] });
    });
    const own = { containerId: "c", networkId: "n", networkName: "front", leadsOutside: true };
    const db = { ...own, endpointId: "db", names: ["db", "store"], addresses: ["10.1.0.2", "fd00::2"] };
    await made.service.setEndpoint(db);
    await made.service.setEndpoint({ ...db, endpointId: "v4", names: ["only4"], addresses: ["10.1.0.4"] });
    for (let index = 0; index < 50; index++)
      await made.service.setEndpoint({
        ...db,
        endpointId: `w${index}`,
        names: [`w${index}`, "many"],
        addresses: [`10.2.0.${index}`],
      });
    const servers = [{ address: "127.0.0.53", from: "host" as const }];
    await made.service.serve({ containerId: "c", namespace, servers, asksSingleLabels: true });
  });
  afterAll(async () => {
    await made[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  describe.each([
    ["glibc", "gcc"],
    ["musl", "musl-gcc"],
  ])("%s", (library, compiler) => {
    const program = join(directory, library);
    beforeAll(() => void run(compiler, "-O1", "-o", program, join(import.meta.dir, "resolve.c")));

    /** Lines of the program, sorted. This process goes on meanwhile: it has the resolver. */
    async function look(name: string): Promise<readonly string[]> {
      const inside = 'mount --bind "$1" "$(readlink -f /etc/resolv.conf)" && exec "$2" "$3"';
      const file = join(directory, "resolv.conf");
      const child = Bun.spawn(
        ["nsenter", `--net=${namespace}`, "unshare", "-m", "sh", "-c", inside, "sh", file, program, name],
        { stdout: "pipe", stderr: "inherit" },
      );
      return (await new Response(child.stdout).text()).trim().split("\n").toSorted();
    }

    test("names, aliases and reverse look-ups", async () => {
      expect(await look("db")).toEqual(["10.1.0.2", "fd00::2"]);
      expect(await look("store.front")).toEqual(["10.1.0.2", "fd00::2"]);
      expect(await look("only4")).toEqual(["10.1.0.4"]);
      expect(await look("10.1.0.2")).toEqual(["db.front"]);
    });

    test("outside names, and names that nobody has", async () => {
      expect(await look("there.example")).toEqual(["192.0.2.9"]);
      expect((await look("nowhere.example")).join()).toMatch(/not known|does not (exist|resolve)/i);
    });

    test("a name with more addresses than UDP carries", async () => {
      const found = await look("many");
      // musl asks over TCP only from 1.2.4 on; an older one takes what came.
      expect(found.length).toBeGreaterThanOrEqual(library === "glibc" ? 50 : 30);
      expect(found.every((address) => /^10\.2\.0\.\d+$/.test(address))).toBe(true);
    });
  });
}
