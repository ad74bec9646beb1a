/** Ports and addresses in bodies. */
import { isIP } from "node:net";
import { refused, type DecodeError } from "../../decode/decoder.ts";
import { named, string, type GoDecoder } from "../../decode/go.ts";

/** "80" and "80/TCP" are "80/tcp". @throws DecodeError */
export function portKey(text: string): string {
  const slash = text.indexOf("/");
  const port = slash < 0 ? text : text.slice(0, slash);
  const refuse = (reason: string): DecodeError => refused("", `invalid port '${port}': ${reason}`);
  if (!/^\d+$/.test(port)) throw refuse("invalid syntax");
  if (Number(port) > 65_535) throw refuse("value out of range");
  const protocol = slash < 0 ? "" : text.slice(slash + 1).toLowerCase();
  return `${Number(port)}/${protocol === "" ? "tcp" : protocol}`;
}

/** An IP address; where it is optional, "" is allowed. */
export function address(options: { readonly optional: boolean }): GoDecoder<string> {
  return named("netip.Addr", {
    type: string.type,
    zero: "",
    decode(value, path) {
      const text = string.decode(value, path);
      if ((text === "" && options.optional) || isIP(text.replace(/%.*$/, "")) !== 0) return text;
      throw refused(path, `ParseAddr(${JSON.stringify(text)}): unable to parse IP`);
    },
  });
}
