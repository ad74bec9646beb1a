/**
 * Go's text/template, on JSON data.
 *
 * Lifecycle: a template is parsed once and executed as often as wanted. It keeps nothing between two executions, holds no resource, and reads
 * nothing but the value that it is given.
 * Terms: an action is what stands between `{{` and `}}`. A field of the value that is a function is a method: it gets the action's arguments.
 * Errors: TemplateError alone, in Go's words; parsing names the template, executing names line, column and action.
 * Abort: there is nothing to abort. Time and memory of an execution grow with the template and the value; a template has no loop without a list.
 */

export interface Template {
  /** @throws TemplateError */
  execute(value: unknown): string;
}

export interface TemplateOptions {
  /** true, as Go's missingkey=error: a key that the value does not have is an error. false: it prints as `<no value>`. */
  readonly missingIsError: boolean;
}

export class TemplateError extends Error {
  override readonly name = "TemplateError";
}
