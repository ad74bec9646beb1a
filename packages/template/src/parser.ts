/** Makes a tree of the tokens: the part of text/template that formats use (no template definitions). */
import { TemplateError } from "./contract.ts";
import { lex, type Segment, type Token } from "./lexer.ts";

export type Expression =
  | { readonly kind: "dot" }
  | { readonly kind: "nil" }
  | { readonly kind: "literal"; readonly value: string | number | boolean }
  /** `.A.B`, `$x.A`, `(expression).A`: the fields are looked up one after another. */
  | { readonly kind: "fields"; readonly base: Expression; readonly names: readonly string[]; readonly at: number }
  | { readonly kind: "variable"; readonly name: string }
  /** `.Label "key"`: the field is a function in the data; it is called with the arguments. */
  | { readonly kind: "method"; readonly target: Expression; readonly args: readonly Expression[] }
  | { readonly kind: "call"; readonly name: string; readonly args: readonly Expression[]; readonly at: number }
  /** `a | f x`: the value of `input` becomes the last argument of `stage`. */
  | { readonly kind: "pipe"; readonly input: Expression; readonly stage: Expression };

export interface Pipeline {
  readonly expression: Expression;
  /** Variables that receive the value (one variable), or index and element (two variables, in range). */
  readonly declare: readonly string[];
  readonly assign: boolean;
}

export type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "print"; readonly pipeline: Pipeline }
  | {
      readonly kind: "if" | "with" | "range";
      readonly pipeline: Pipeline;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    }
  | { readonly kind: "break" }
  | { readonly kind: "continue" };

export function parseNodes(source: string, functions: ReadonlySet<string>): readonly Node[] {
  const parser = new Parser(lex(source), functions);
  return parser.parse();
}

class Parser {
  readonly #segments: readonly Segment[];
  readonly #functions: ReadonlySet<string>;
  #index = 0;

  constructor(segments: readonly Segment[], functions: ReadonlySet<string>) {
    this.#segments = segments;
    this.#functions = functions;
  }

  parse(): readonly Node[] {
    const { nodes, end } = this.#list();
    if (end !== "") throw new TemplateError(`unexpected {{${end}}}`);
    return nodes;
  }

  /** Nodes up to `end`, `else` or the end of the source. The terminator is consumed, and the result names it. */
  #list(): { nodes: Node[]; end: string; elseTokens: readonly Token[] } {
    const nodes: Node[] = [];
    while (this.#index < this.#segments.length) {
      const segment = this.#segments[this.#index++]!;
      if (segment.kind === "text") {
        nodes.push({ kind: "text", text: segment.text });
        continue;
      }
      const [first, ...rest] = segment.tokens;
      if (first === undefined) throw new TemplateError("missing value for command");
      const word = first.kind === "identifier" ? first.text : "";
      switch (word) {
        case "end":
          return { nodes, end: "end", elseTokens: [] };
        case "else":
          return { nodes, end: "else", elseTokens: rest };
        case "if":
        case "with":
        case "range":
          nodes.push(this.#control(word, rest));
          break;
        case "break":
        case "continue":
          nodes.push({ kind: word });
          break;
        default:
          nodes.push({
            kind: "print",
            pipeline: new ActionParser(segment.tokens, this.#functions).pipeline("command"),
          });
      }
    }
    return { nodes, end: "", elseTokens: [] };
  }

  #control(kind: "if" | "with" | "range", tokens: readonly Token[]): Node {
    const pipeline = new ActionParser(tokens, this.#functions).pipeline(kind);
    const { nodes, end, elseTokens } = this.#list();
    if (end === "end") return { kind, pipeline, body: nodes, otherwise: [] };
    if (end === "") throw new TemplateError("unexpected EOF");
    const [first, ...rest] = elseTokens;
    if (first !== undefined) {
      // `else if` has no `end` of its own: the `end` of the whole chain closes it.
      if (first.kind !== "identifier" || (first.text !== "if" && first.text !== "with")) {
        throw new TemplateError(`unexpected <${first.text}> in input`);
      }
      return { kind, pipeline, body: nodes, otherwise: [this.#control(first.text, rest)] };
    }
    const other = this.#list();
    if (other.end !== "end") throw new TemplateError(other.end === "" ? "unexpected EOF" : "unexpected {{else}}");
    return { kind, pipeline, body: nodes, otherwise: other.nodes };
  }
}

class ActionParser {
  readonly #tokens: readonly Token[];
  readonly #functions: ReadonlySet<string>;
  #index = 0;

  constructor(tokens: readonly Token[], functions: ReadonlySet<string>) {
    this.#tokens = tokens;
    this.#functions = functions;
  }

  #isSymbol(text: string, ahead = 0): boolean {
    const token = this.#tokens[this.#index + ahead];
    return token?.kind === "symbol" && token.text === text;
  }

  pipeline(context: string): Pipeline {
    const declare: string[] = [];
    let assign = false;
    const first = this.#tokens[0];
    if (first?.kind === "variable" && (this.#isSymbol(":=", 1) || this.#isSymbol("=", 1))) {
      declare.push(first.text);
      assign = this.#isSymbol("=", 1);
      this.#index = 2;
    } else if (first?.kind === "variable" && this.#isSymbol(",", 1) && context === "range") {
      const second = this.#tokens[2];
      if (second?.kind !== "variable" || !(this.#isSymbol(":=", 3) || this.#isSymbol("=", 3))) {
        throw new TemplateError("range can only initialize variables");
      }
      declare.push(first.text, second.text);
      assign = this.#isSymbol("=", 3);
      this.#index = 4;
    }
    const expression = this.#pipe(context);
    const left = this.#tokens[this.#index];
    if (left !== undefined) throw new TemplateError(`unexpected ${JSON.stringify(left.text)} in ${context}`);
    return { expression, declare, assign };
  }

  #pipe(context: string): Expression {
    let expression = this.#command(context);
    while (this.#isSymbol("|")) {
      this.#index += 1;
      expression = { kind: "pipe", input: expression, stage: this.#command(context) };
    }
    return expression;
  }

  /** One command: a function with its arguments, or a single operand. */
  #command(context: string): Expression {
    const token = this.#tokens[this.#index];
    if (token?.kind === "identifier" && !["true", "false", "nil"].includes(token.text)) {
      this.#index += 1;
      if (!this.#functions.has(token.text))
        throw new TemplateError(`function ${JSON.stringify(token.text)} not defined`);
      const args = this.#arguments(context);
      return { kind: "call", name: token.text, args, at: token.at };
    }
    const operand = this.#operand(context);
    if (operand.kind !== "fields") return operand;
    const args = this.#arguments(context);
    return args.length === 0 ? operand : { kind: "method", target: operand, args };
  }

  #arguments(context: string): Expression[] {
    const args: Expression[] = [];
    while (this.#index < this.#tokens.length && !this.#isSymbol("|") && !this.#isSymbol(")"))
      args.push(this.#operand(context));
    return args;
  }

  #operand(context: string): Expression {
    const token = this.#tokens[this.#index++];
    if (token === undefined) throw new TemplateError(`missing value for ${context}`);
    let base: Expression;
    const names: string[] = [];
    switch (token.kind) {
      case "field":
        base = { kind: "dot" };
        names.push(token.text);
        break;
      case "variable":
        base = { kind: "variable", name: token.text };
        break;
      case "string":
        base = { kind: "literal", value: token.text };
        break;
      case "number":
        base = { kind: "literal", value: Number(token.text) };
        break;
      case "identifier":
        if (token.text === "true" || token.text === "false") base = { kind: "literal", value: token.text === "true" };
        else if (token.text === "nil") base = { kind: "nil" };
        else if (this.#functions.has(token.text)) base = { kind: "call", name: token.text, args: [], at: token.at };
        else throw new TemplateError(`function ${JSON.stringify(token.text)} not defined`);
        break;
      case "symbol":
        if (token.text === ".") base = { kind: "dot" };
        else if (token.text === "(") {
          base = this.#pipe("parenthesized pipeline");
          if (!this.#isSymbol(")")) throw new TemplateError("unclosed left paren");
          this.#index += 1;
        } else throw new TemplateError(`unexpected ${JSON.stringify(token.text)} in ${context}`);
        break;
    }
    for (;;) {
      const next = this.#tokens[this.#index];
      if (next?.kind !== "field" || next.spaced) break;
      names.push(next.text);
      this.#index += 1;
    }
    return names.length === 0 ? base : { kind: "fields", base, names, at: token.at };
  }
}
