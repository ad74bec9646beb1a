/** The volumes that a container mounts, held while it runs. */
import type { VolumeLookup } from "@fathom/volumes";
import type { ContainerRecord } from "../record.ts";

export function mountedVolumes({ mounts }: Pick<ContainerRecord, "mounts">): string[] {
  return mounts.flatMap(({ name }) => (name === undefined ? [] : [name]));
}

/** Makes them usable. When one fails, none stays held. @throws timeout when the server of one does not answer */
export async function acquireVolumes(
  volumes: Pick<VolumeLookup, "acquire" | "release">,
  id: string,
  names: readonly string[],
): Promise<readonly string[]> {
  const held: string[] = [];
  try {
    for (const name of names) {
      held.push(name);
      await volumes.acquire(name, id);
    }
    return held;
  } catch (error) {
    releaseVolumes(volumes, id, held);
    throw error;
  }
}

/** Do not wait for it: nothing depends on it, and a server may not answer. */
export function releaseVolumes(volumes: Pick<VolumeLookup, "release">, id: string, names: readonly string[]): void {
  for (const name of names.toReversed()) void volumes.release(name, id);
}
