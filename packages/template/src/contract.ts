/**
 * Go's text/template, on JSON data.
 *
 * Lifecycle: a template is parsed once and can be executed many times. It keeps nothing between two executions, holds no resource, and reads only the value
 * that the caller passes.
 * Terms: an action is the text between `{{` and `}}`. A field of the value that is a function is a method: the action's arguments are passed to it.
 * Errors: only TemplateError, in Go's words. A parse error names the template; an execution error names line, column and action.
 * Abort: there is nothing to abort. Time and memory of an execution grow with the template and the value; a template can only loop over a list.
 */

export interface Template {
  /** @throws TemplateError */
  execute(value: unknown): string;
}

export interface TemplateOptions {
  /** true, as Go's missingkey=error: a key that the value does not have is an error. false: such a key prints as `<no value>`. */
  readonly missingIsError: boolean;
  /** The template's name in errors; "" when absent. */
  readonly name?: string;
  /** The Go type of the value, when it is a struct there: "*logger.Info". */
  readonly structName?: string;
}

export class TemplateError extends Error {
  override readonly name = "TemplateError";
}
