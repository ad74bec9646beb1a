/**
 * A Fathom of an earlier commit, built completely from git's objects, for tests of an upgrade. Each commit is built once, below .tools/, where
 * no test runner looks for tests.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dir, "../..");

/** The last commit whose supervisors do not know hello (protocol version 1). */
export const commitWithoutHello = "fc24ad86f03b69875e9e52fbe63ad3dbe73f3b40";

function run(command: readonly string[], cwd: string): { readonly code: number; readonly err: string } {
  const child = Bun.spawnSync([...command], { cwd, stdout: "pipe", stderr: "pipe" });
  return { code: child.exitCode, err: `${child.stdout.toString()}${child.stderr.toString()}` };
}

/** Path of the executable of that commit. @throws an error that says what to do when the commit is missing or does not build */
export function buildOldFathom(commit: string): string {
  const tree = join(root, ".tools", `fathom-${commit.slice(0, 12)}`);
  const program = join(tree, "dist/fathom");
  if (existsSync(program)) return program;
  if (run(["git", "cat-file", "-e", `${commit}^{commit}`], root).code !== 0)
    throw new Error(
      `commit ${commit} is not in this clone, so no supervisor of that version can be built: fetch the whole history (git fetch --unshallow) and run the test again`,
    );
  const fresh = `${tree}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  const done = (step: string, { code, err }: ReturnType<typeof run>): void => {
    if (code !== 0)
      throw new Error(`building Fathom of commit ${commit}: ${step} failed (${code}): ${err.slice(-2000)}`);
  };
  done("git archive", run(["sh", "-c", `git archive ${commit} | tar -x -C ${fresh}`], root));
  // The tools and libraries of this tree, but the packages of the other commit.
  symlinkSync(join(root, ".tools"), join(fresh, ".tools"));
  mkdirSync(join(fresh, "node_modules"));
  for (const name of readdirSync(join(root, "node_modules"))) {
    if (name === "@fathom")
      cpSync(join(root, "node_modules", name), join(fresh, "node_modules", name), {
        recursive: true,
        verbatimSymlinks: true,
      });
    else symlinkSync(join(root, "node_modules", name), join(fresh, "node_modules", name));
  }
  done("native/build", run(["native/build"], fresh));
  done("script/compile", run(["script/compile"], fresh));
  rmSync(tree, { recursive: true, force: true });
  renameSync(fresh, tree);
  return program;
}
