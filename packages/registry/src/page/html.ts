/** Text for pages: everything that is not markup of our own is escaped. */
import { escapeHTML } from "bun";

const style = `body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222;background:#fff}
h1{font-size:1.4rem}table{border-collapse:collapse;width:100%;margin:1rem 0}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}
td.number{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.85em;overflow-wrap:anywhere}a{color:#06c}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181a1b}th,td{border-color:#444}a{color:#6af}}`;

export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Part = Html | readonly Html[] | string | number;

function shown(part: Part): string {
  if (part instanceof Html) return part.text;
  if (typeof part === "object") return part.map((one) => one.text).join("");
  return escapeHTML(String(part));
}

/** Markup with values in it; values that are not `Html` are escaped. */
export function html(strings: TemplateStringsArray, ...values: readonly Part[]): Html {
  return new Html(strings.map((text, index) => text + (index < values.length ? shown(values[index]!) : "")).join(""));
}

export function documentOf(title: string, body: Html): string {
  const css = new Html(style);
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width" />
        <title>${title}</title>
        <style>
          ${css}
        </style>
      </head>
      <body>
        ${body}
      </body>
    </html>`.text;
}
