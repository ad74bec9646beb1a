/** The bytes that detach a client from a terminal. */

/** Ctrl-P and Ctrl-Q. */
const usual: Uint8Array = Uint8Array.of(0x10, 0x11);
const none: Uint8Array = new Uint8Array();

/**
 * The sequence that the server looks for in a client's input. Without a terminal it is empty: every byte belongs to the process.
 * @param chosen undefined when nobody has chosen keys
 */
export function detachKeysOf(terminal: boolean, chosen: Uint8Array | undefined): Uint8Array {
  return terminal ? (chosen ?? usual) : none;
}
