import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSys } from "@fathom/sys";
import { homeOf, withHome } from "./home.ts";

test("the home of a user", () => {
  const passwords = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:33::/srv/web:\nnone:x:5:5:::\n";
  expect([0, 33, 5, 7].map((uid) => homeOf(passwords, uid))).toEqual(["/root", "/srv/web", "/", "/"]);
});

test("it comes from the container's own file, and what is given stays", () => {
  const base = mkdtempSync(join(tmpdir(), "fathom-home-"));
  try {
    mkdirSync(join(base, "root/etc"), { recursive: true });
    mkdirSync(join(base, "etc"));
    writeFileSync(join(base, "etc/passwd"), "x:x:0:0::/outside:\n");
    writeFileSync(join(base, "root/own"), "x:x:0:0::/inside:\n");
    const process = { cwd: "/", user: { uid: 0, gid: 0 }, env: ["A=1"] };
    const env = (): unknown => withHome(createSys(), join(base, "root"), process).env;
    expect(env()).toEqual(["A=1", "HOME=/"]);
    symlinkSync("../../etc/passwd", join(base, "root/etc/passwd"));
    expect(env()).toEqual(["A=1", "HOME=/"]);
    rmSync(join(base, "root/etc/passwd"));
    symlinkSync("/own", join(base, "root/etc/passwd"));
    expect(env()).toEqual(["A=1", "HOME=/inside"]);
    const given = { ...process, env: ["HOME=/mine"] };
    expect(withHome(createSys(), join(base, "root"), given)).toBe(given);
  } finally {
    rmSync(base, { recursive: true });
  }
});
