import { describe, expect, test } from "bun:test";
import { parseTemplate, TemplateError } from "./index.ts";

const data = {
  Name: "/web",
  State: { Status: "running", ExitCode: 0, Running: true },
  Env: ["A=1", "B=2"],
  Ports: { "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "8080" }], "443/tcp": null },
  Nothing: null,
  Labels: {},
};
const render = (source: string): string => parseTemplate(source).execute(data);

describe("templates", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["{{.Name}}", "/web"],
    ["{{.State.Status}} {{.State.ExitCode}} {{.State.Running}}", "running 0 true"],
    ["{{json .Env}}", '["A=1","B=2"]'],
    ["{{.Env}}", "[A=1 B=2]"],
    ["{{.Nothing}}|{{json .Nothing}}|{{.Labels}}", "<no value>|null|map[]"],
    ["{{range .Env}}<{{.}}>{{end}}", "<A=1><B=2>"],
    ["{{range $i, $v := .Env}}{{$i}}={{$v}};{{end}}", "0=A=1;1=B=2;"],
    [
      "{{range $p, $b := .Ports}}{{$p}} {{if $b}}{{(index $b 0).HostPort}}{{else}}-{{end}}\n{{end}}",
      "443/tcp -\n80/tcp 8080\n",
    ],
    ['{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"],
    ['{{if and .State.Running (eq .State.Status "running")}}yes{{else}}no{{end}}', "yes"],
    ["{{with .Nothing}}x{{else}}none{{end}}", "none"],
    ["{{- .Name -}}  \n x", "/webx"],
    ['{{join .Env ","}} {{upper .State.Status}} {{len .Env}}', "A=1,B=2 RUNNING 2"],
    ['{{printf "%-6s|%3d|%q" .State.Status 7 .Name}}', 'running|  7|"/web"'],
    ["{{.Env | json | len}}", "13"],
    ['{{split "a:b" ":" | json}}', '["a","b"]'],
    ["{{ne .State.ExitCode 0}} {{gt 3 2}} {{not true}}", "false true false"],
    ["{{/* a comment */}}x{{$x := .Name}}{{$x}}", "x/web"],
    ["{{range .Labels}}{{else}}empty{{end}}", "empty"],
    ['{{`raw`}}{{"q\\t"}}', "rawq\t"],
    ["{{if .Nothing}}a{{else if .Name}}b{{else}}c{{end}}", "b"],
    ["{{range .Env}}{{break}}x{{end}}done", "done"],
    ["{{slice .Name 1}} {{slice .Name 1 3}}", "web we"],
    ["{{$.Name}}", "/web"],
  ];
  for (const [source, expected] of cases) test(source, () => expect(render(source)).toBe(expected));

  test("a field that is a function takes arguments", () => {
    const label = (key: string): string => `<${key}>`;
    expect(parseTemplate('{{.Label "a"}}{{.Label "b" | json}}').execute({ Label: label })).toBe('<a>"<b>"');
  });

  test("errors name the line and the column", () => {
    expect(() => render("{{.Nosuch}}")).toThrow(
      'template: :1:2: executing "" at <.Nosuch>: map has no entry for key "Nosuch"',
    );
    expect(() => render("{{nosuch .Name}}")).toThrow('function "nosuch" not defined');
    expect(() => render("{{.Name")).toThrow("unclosed action");
    expect(() => render("{{if .Name}}x")).toThrow("unexpected EOF");
    expect(() => render("{{end}}")).toThrow(TemplateError);
    expect(parseTemplate("{{.Nosuch}}", { missingIsError: false }).execute(data)).toBe("<no value>");
  });
});
