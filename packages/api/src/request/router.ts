/**
 * Finds the handler of a request. Docker's paths have one of four forms: all fixed; or a fixed start, a name that may contain slashes, and
 * zero, one or two fixed segments at the end. So a route is found with at most four look-ups in one map.
 */

export interface Match<H> {
  readonly handler: H;
  /** The name in the path; "" for fixed paths. */
  readonly name: string;
}

export class Router<H> {
  readonly #routes = new Map<string, H>();

  /** @param pattern A fixed path, or one with a star as its second segment for the name. */
  add(method: string, pattern: string, handler: H): void {
    const key = `${method} ${pattern}`;
    if (this.#routes.has(key)) throw new Error(`two handlers for ${key}`);
    this.#routes.set(key, handler);
  }

  /** @param path Decoded, without the version. */
  find(method: string, path: string): Match<H> | undefined {
    const fixed = this.#routes.get(`${method} ${path}`);
    if (fixed !== undefined) return { handler: fixed, name: "" };
    const first = path.indexOf("/", 1);
    if (first < 0 || first + 1 >= path.length) return undefined;
    const start = `${method} ${path.slice(0, first)}/*`;
    let suffixStart = path.length;
    // The longest name last: "/containers/a/start" is a start, not a container called "a/start".
    for (let segments = 1; segments <= 2; segments++) {
      suffixStart = path.lastIndexOf("/", suffixStart - 1);
      if (suffixStart <= first) break;
      const handler = this.#routes.get(start + path.slice(suffixStart));
      if (handler !== undefined && suffixStart > first + 1)
        return { handler, name: path.slice(first + 1, suffixStart) };
    }
    const handler = this.#routes.get(start);
    return handler === undefined ? undefined : { handler, name: path.slice(first + 1) };
  }
}
