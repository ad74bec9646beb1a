/** The part of MessagePack that Fluentd's forward protocol needs. https://github.com/msgpack/msgpack/blob/master/spec.md */

export type Packable =
  | string
  | number
  | { readonly seconds: number; readonly nanoseconds: number }
  | { readonly bytes: Uint8Array }
  | readonly Packable[]
  | ReadonlyMap<string, Packable>;

/** A time with nanoseconds is Fluentd's EventTime, extension type 0. */
export function pack(value: Packable): Buffer {
  const parts: Buffer[] = [];
  add(parts, value);
  return Buffer.concat(parts);
}

function add(parts: Buffer[], value: Packable): void {
  if (typeof value === "string") {
    const bytes = Buffer.from(value);
    parts.push(head(bytes.length, { fix: [0xa0, 32], one: 0xd9, two: 0xda, four: 0xdb }), bytes);
  } else if (typeof value === "number") parts.push(unsigned(value));
  else if (isList(value)) {
    parts.push(head(value.length, { fix: [0x90, 16], two: 0xdc, four: 0xdd }));
    for (const entry of value) add(parts, entry);
  } else if (value instanceof Map) {
    parts.push(head(value.size, { fix: [0x80, 16], two: 0xde, four: 0xdf }));
    for (const [key, entry] of value) {
      add(parts, String(key));
      add(parts, entry);
    }
  } else if ("seconds" in value) {
    const time = Buffer.alloc(10);
    time.set([0xd7, 0x00]);
    time.writeUInt32BE(value.seconds, 2);
    time.writeUInt32BE(value.nanoseconds, 6);
    parts.push(time);
  } else if ("bytes" in value)
    parts.push(
      head(value.bytes.length, { fix: [0xa0, 32], one: 0xd9, two: 0xda, four: 0xdb }),
      Buffer.from(value.bytes),
    );
}

function isList(value: Packable): value is readonly Packable[] {
  return Array.isArray(value);
}

/** The type and the length: in one byte, or followed by one, two or four bytes. */
function head(
  length: number,
  { fix, one, two, four }: { fix: readonly [number, number]; one?: number; two: number; four: number },
): Buffer {
  if (length < fix[1]) return Buffer.from([fix[0] | length]);
  if (one !== undefined && length < 0x100) return Buffer.from([one, length]);
  if (length < 0x1_0000) return Buffer.from([two, length >>> 8, length & 255]);
  const bytes = Buffer.alloc(5);
  bytes[0] = four;
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

function unsigned(value: number): Buffer {
  if (value < 0x80) return Buffer.from([value]);
  const bytes = Buffer.alloc(value <= 0xffff_ffff ? 5 : 9);
  if (value <= 0xffff_ffff) {
    bytes[0] = 0xce;
    bytes.writeUInt32BE(value, 1);
  } else {
    bytes[0] = 0xcf;
    bytes.writeBigUInt64BE(BigInt(value), 1);
  }
  return bytes;
}
