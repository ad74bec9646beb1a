export type { Template, TemplateOptions } from "./contract.ts";
export { TemplateError } from "./contract.ts";
export { parseTemplate } from "./template.ts";
export { toJson } from "./values.ts";
