/** The sum of the sizes of files; a file with several names counts once. */
export class FileSizes {
  readonly #seen = new Set<string>();
  #sum = 0n;

  /** @param identity The same text for each name of a file, and different for every other file. */
  add(nlink: number, identity: string, size: bigint): void {
    if (nlink > 1) {
      if (this.#seen.has(identity)) return;
      this.#seen.add(identity);
    }
    this.#sum += size;
  }

  /** Bytes. */
  get sum(): number {
    return Number(this.#sum);
  }
}
