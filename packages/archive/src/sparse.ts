/** Maps of sparse files: the positions of the stored pieces. GNU tar manual, "Storing Sparse Files". */
import {
  blockSize,
  brokenTar,
  fields,
  gnuExtensionFlag,
  gnuExtensionPieces,
  gnuSparsePieces,
  numberField,
} from "./header.ts";
import { limitError } from "./limits.ts";

/** Offset, length, offset, length, … in bytes of the unpacked file. */
export type SparseMap = number[];

/** Adds the pieces of an old GNU header (or an extension block) to `map`; true when another extension block follows. */
export function gnuPieces(block: Buffer, extension: boolean, map: SparseMap): boolean {
  const at = extension ? 0 : fields.gnuSparse[0];
  const count = extension ? gnuExtensionPieces : gnuSparsePieces;
  for (let index = 0; index < count; index++) {
    const piece = at + 24 * index;
    if (block[piece] === 0) break;
    map.push(numberField(block, piece, 12), numberField(block, piece + 12, 12));
  }
  return block[extension ? gnuExtensionFlag : fields.gnuExtended[0]] !== 0;
}

/** The map of version 1.0: decimal numbers, one per line, in the first blocks of the entry's data. */
export class SparseMapReader {
  readonly map: SparseMap = [];
  readonly #maxSegments: number;
  #number = 0;
  #digits = 0;
  #count = -1;

  constructor(maxSegments: number) {
    this.#maxSegments = maxSegments;
  }

  /** Reads one block; true when the map is complete. The rest of the last block is padding. */
  push(block: Buffer): boolean {
    for (let at = 0; at < blockSize; at++) {
      const byte = block[at]!;
      if (byte >= 0x30 && byte <= 0x39) {
        if (++this.#digits > 16) throw brokenTar("a number of a sparse map is too large");
        this.#number = this.#number * 10 + (byte - 0x30);
        continue;
      }
      if (byte !== 0x0a || this.#digits === 0) throw brokenTar("a sparse map is not made of numbers");
      if (this.#count < 0) {
        if (this.#number > this.#maxSegments)
          throw limitError("maxSparseSegments", this.#maxSegments, `a sparse file of ${this.#number} pieces`);
        this.#count = this.#number;
      } else this.map.push(this.#number);
      this.#number = 0;
      this.#digits = 0;
      if (this.map.length === 2 * this.#count) return true;
    }
    return false;
  }
}

/**
 * Pieces must be ascending, must not overlap, must be inside the file, and their sum must be the stored size.
 * @throws invalid-argument
 */
export function checkSparseMap(map: SparseMap, realSize: number, storedSize: number): void {
  if (map.length % 2 !== 0) throw brokenTar("a sparse map ends in the middle of a piece");
  let end = 0;
  let sum = 0;
  for (let index = 0; index < map.length; index += 2) {
    const offset = map[index]!;
    const length = map[index + 1]!;
    if (offset < end || length < 0 || !Number.isSafeInteger(offset + length) || offset + length > realSize)
      throw brokenTar("the pieces of a sparse file overlap or lie outside of it");
    end = offset + length;
    sum += length;
  }
  if (sum !== storedSize) throw brokenTar(`a sparse file stores ${storedSize} bytes, its pieces add up to ${sum}`);
}
