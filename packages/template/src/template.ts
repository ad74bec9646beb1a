/**
 * Parsing and execution of a template: actions, pipelines, variables, if/with/range/else, and the functions of text/template and of the docker CLI (json,
 * join, split, lower, upper, title, pad, truncate). `table` is not here: the CLI's printers do it.
 */
import { TemplateError, type Template, type TemplateOptions } from "./contract.ts";
import { parseNodes, type Expression, type Node, type Pipeline } from "./parser.ts";
import { equal, isTrue, lengthOf, less, printValue, sprintf, toJson } from "./values.ts";

type Value = unknown;
type TemplateFunction = (...args: Value[]) => Value;

const text = (value: Value): string => (typeof value === "string" ? value : printValue(value));

function index(collection: Value, ...keys: Value[]): Value {
  let value = collection;
  for (const key of keys) {
    if (Array.isArray(value)) {
      if (typeof key !== "number")
        throw new TemplateError(`error calling index: cannot index slice/array with type ${typeof key}`);
      if (key < 0 || key >= value.length)
        throw new TemplateError(`error calling index: reflect: slice index out of range`);
      value = value[key];
    } else if (value !== null && typeof value === "object") {
      value = new Map(Object.entries(value)).get(String(key));
    } else if (typeof value === "string" && typeof key === "number") {
      value = Buffer.from(value)[key];
    } else throw new TemplateError("error calling index: index of untyped nil");
  }
  return value;
}

function slice(value: Value, from: Value = 0, to?: Value): Value {
  if (typeof value !== "string" && !Array.isArray(value))
    throw new TemplateError(`error calling slice: can't slice item of type ${typeof value}`);
  const end = to === undefined ? value.length : Number(to);
  if (end > value.length) throw new TemplateError(`error calling slice: index out of range: ${end}`);
  return value.slice(Number(from), end);
}

const functions: Readonly<Record<string, TemplateFunction>> = {
  json: (value) => toJson(value),
  join: (list, separator) => (Array.isArray(list) ? list.map(text).join(text(separator)) : text(list)),
  split: (value, separator) => text(value).split(text(separator)),
  lower: (value) => text(value).toLowerCase(),
  upper: (value) => text(value).toUpperCase(),
  title: (value) =>
    text(value).replace(/(^|[\s\p{P}])(\p{L})/gu, (_, before: string, letter: string) => before + letter.toUpperCase()),
  println: (...args) => `${args.map(text).join(" ")}\n`,
  print: (...args) => args.map(text).join(""),
  printf: (format, ...args) => sprintf(text(format), args),
  pad: (value, before, after) =>
    text(value) === "" ? "" : " ".repeat(Number(before)) + text(value) + " ".repeat(Number(after)),
  truncate: (value, length) => [...text(value)].slice(0, Number(length)).join(""),
  len: (value) => lengthOf(value),
  index,
  slice,
  not: (value) => !isTrue(value),
  and: (...args) => args.find((value) => !isTrue(value)) ?? args.at(-1),
  or: (...args) => args.find(isTrue) ?? args.at(-1),
  eq: (first, ...others) => others.some((other) => equal(first, other)),
  ne: (a, b) => !equal(a, b),
  lt: (a, b) => less(a, b),
  le: (a, b) => less(a, b) || equal(a, b),
  gt: (a, b) => less(b, a),
  ge: (a, b) => less(b, a) || equal(a, b),
  html: (value) => text(value).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`),
  js: (value) => toJson(text(value)).slice(1, -1),
  urlquery: (value) => encodeURIComponent(text(value)),
};

const functionNames: ReadonlySet<string> = new Set(Object.keys(functions));

class LoopSignal {
  readonly kind: "break" | "continue";
  constructor(kind: "break" | "continue") {
    this.kind = kind;
  }
}

type Scope = Map<string, Value>[];

class Evaluation {
  readonly #source: string;
  readonly #options: TemplateOptions;
  readonly #scopes: Scope;
  #output = "";

  constructor(source: string, data: Value, options: TemplateOptions) {
    this.#source = source;
    this.#options = options;
    this.#scopes = [new Map([["$", data]])];
  }

  run(nodes: readonly Node[], data: Value): string {
    this.#nodes(nodes, data);
    return this.#output;
  }

  #nodes(nodes: readonly Node[], dot: Value): void {
    this.#scopes.push(new Map());
    try {
      for (const node of nodes) this.#node(node, dot);
    } finally {
      this.#scopes.pop();
    }
  }

  #node(node: Node, dot: Value): void {
    switch (node.kind) {
      case "text":
        this.#output += node.text;
        return;
      case "print": {
        const value = this.#pipeline(node.pipeline, dot);
        if (node.pipeline.declare.length === 0) this.#output += printValue(value);
        return;
      }
      case "if":
      case "with": {
        this.#scopes.push(new Map());
        const value = this.#pipeline(node.pipeline, dot);
        if (isTrue(value)) this.#nodes(node.body, node.kind === "with" ? value : dot);
        else this.#nodes(node.otherwise, dot);
        this.#scopes.pop();
        return;
      }
      case "range":
        this.#range(node.pipeline, node.body, node.otherwise, dot);
        return;
      case "break":
      case "continue":
        // oxlint-disable-next-line no-throw-literal -- a signal to the enclosing loop, never seen outside
        throw new LoopSignal(node.kind);
    }
  }

  #range(pipeline: Pipeline, body: readonly Node[], otherwise: readonly Node[], dot: Value): void {
    const value = this.#evaluate(pipeline.expression, dot);
    const pairs: readonly (readonly [Value, Value])[] =
      typeof value === "number"
        ? Array.from({ length: value }, (_, i) => [i, i] as const)
        : Array.isArray(value)
          ? value.map((item, i) => [i, item] as const)
          : value !== null && typeof value === "object"
            ? Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
            : [];
    if (typeof value === "string") throw new TemplateError(`range can't iterate over ${value}`);
    if (pairs.length === 0) {
      this.#nodes(otherwise, dot);
      return;
    }
    const [first, second] = pipeline.declare;
    for (const [key, item] of pairs) {
      const scope = new Map<string, Value>();
      if (second !== undefined) scope.set(first!, key).set(second, item);
      else if (first !== undefined) scope.set(first, item);
      this.#scopes.push(scope);
      try {
        this.#nodes(body, item);
      } catch (signal) {
        if (!(signal instanceof LoopSignal)) throw signal;
        if (signal.kind === "break") break;
      } finally {
        this.#scopes.pop();
      }
    }
  }

  #pipeline(pipeline: Pipeline, dot: Value): Value {
    const value = this.#evaluate(pipeline.expression, dot);
    const [name] = pipeline.declare;
    if (name !== undefined) {
      const scope = pipeline.assign ? this.#scopes.findLast((map) => map.has(name)) : this.#scopes.at(-1);
      if (scope === undefined) throw new TemplateError(`undefined variable ${JSON.stringify(name)}`);
      scope.set(name, value);
    }
    return value;
  }

  #evaluate(expression: Expression, dot: Value, piped?: { readonly value: Value }): Value {
    switch (expression.kind) {
      case "dot":
        return dot;
      case "nil":
        return null;
      case "literal":
        return expression.value;
      case "variable": {
        const scope = this.#scopes.findLast((map) => map.has(expression.name));
        if (scope === undefined) throw new TemplateError(`undefined variable ${JSON.stringify(expression.name)}`);
        return scope.get(expression.name);
      }
      case "fields": {
        let value = this.#evaluate(expression.base, dot);
        for (const name of expression.names) value = this.#field(value, name, expression);
        return value;
      }
      case "call": {
        const args = expression.args.map((arg) => this.#evaluate(arg, dot));
        if (piped !== undefined) args.push(piped.value);
        const action = functions[expression.name]!;
        try {
          return action(...args);
        } catch (error) {
          if (!(error instanceof TemplateError)) throw error;
          throw new TemplateError(
            `${this.#place(expression.at)}: executing ${JSON.stringify(this.#options.name ?? "")} at <${expression.name}>: ${error.message}`,
            { cause: error },
          );
        }
      }
      case "method": {
        const target = this.#evaluate(expression.target, dot);
        const args = expression.args.map((arg) => this.#evaluate(arg, dot));
        if (typeof target !== "function") throw new TemplateError("can't give argument to non-function");
        return target(...args, ...(piped === undefined ? [] : [piped.value]));
      }
      case "pipe":
        return this.#evaluate(expression.stage, dot, { value: this.#evaluate(expression.input, dot) });
    }
  }

  #field(value: Value, name: string, expression: Extract<Expression, { kind: "fields" }>): Value {
    const where = (): string =>
      `${this.#place(expression.at)}: executing ${JSON.stringify(this.#options.name ?? "")} at <.${expression.names.join(".")}>`;
    if (value === null || value === undefined) {
      if (!this.#options.missingIsError) return undefined;
      throw new TemplateError(`${where()}: nil data; no entry for key ${JSON.stringify(name)}`);
    }
    if (typeof value !== "object" || Array.isArray(value))
      throw new TemplateError(
        `${where()}: can't evaluate field ${name} in type ${Array.isArray(value) ? "[]interface {}" : typeof value}`,
      );
    if (!Object.hasOwn(value, name)) {
      if (!this.#options.missingIsError) return undefined;
      const { structName } = this.#options;
      throw new TemplateError(
        structName === undefined || expression.names[0] !== name
          ? `${where()}: map has no entry for key ${JSON.stringify(name)}`
          : `${where()}: can't evaluate field ${name} in type ${structName}`,
      );
    }
    return new Map<string, Value>(Object.entries(value)).get(name);
  }

  #place(at: number): string {
    const before = this.#source.slice(0, at);
    const line = before.split("\n").length;
    return `template: ${this.#options.name ?? ""}:${line}:${at - before.lastIndexOf("\n") - 1}`;
  }
}

/** @throws TemplateError for a template that does not parse, in Go's words */
export function parseTemplate(source: string, options: TemplateOptions = { missingIsError: true }): Template {
  let nodes: readonly Node[];
  try {
    nodes = parseNodes(source, functionNames);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    throw new TemplateError(`template: ${options.name ?? ""}:1: ${error.message}`, { cause: error });
  }
  return { execute: (value) => new Evaluation(source, value, options).run(nodes, value) };
}
