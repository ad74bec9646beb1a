/** The keys that tests use: "ctrl-a" to "ctrl-z" and single characters. The engine has the real parser. */
export function parseDetachKeysForTests(text: string | undefined): Uint8Array {
  const keys = text || "ctrl-p,ctrl-q";
  return Uint8Array.from(
    keys.split(",").map((key) => (key.startsWith("ctrl-") ? key.charCodeAt(5) - 96 : key.charCodeAt(0))),
  );
}
