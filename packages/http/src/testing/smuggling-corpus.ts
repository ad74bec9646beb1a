/**
 * Requests that two programs could read differently, each with the one reading of this package (RFC 9112). A server that runs the corpus sends
 * `marker` after each, on the same connection: it is answered as a request of its own, or not at all.
 */

export const marker = "GET /marker HTTP/1.1\r\nHost: d\r\n\r\n";

export interface SmugglingCase {
  readonly name: string;
  /** In Latin-1. */
  readonly bytes: string;
  /** "METHOD target body" of each handled request; or the status of the rejection, with which the connection ends. */
  readonly outcome: readonly string[] | number;
}

/** A POST to /a with these fields, and what follows its head. */
function post(fields: string, body = ""): string {
  return `POST /a HTTP/1.1\r\nHost: d\r\n${fields}\r\n${body}`;
}

function get(fields: string): string {
  return `GET /a HTTP/1.1\r\nHost: d\r\n${fields}\r\n`;
}

const chunked = "Transfer-Encoding: chunked\r\n";
const hidden = "GET /hidden HTTP/1.1\r\nHost: d\r\n\r\n";

function cases(outcome: SmugglingCase["outcome"], list: Readonly<Record<string, string>>): SmugglingCase[] {
  return Object.entries(list).map(([name, bytes]) => ({ name, bytes, outcome }));
}

export const smugglingCorpus: readonly SmugglingCase[] = [
  // Two lengths
  ...cases(400, {
    "TE and CL": post(`${chunked}Content-Length: 5\r\n`, `0\r\n\r\n${hidden}`),
    "CL and TE": post(`Content-Length: 5\r\n${chunked}`, `0\r\n\r\n${hidden}`),
    "CL and TE of HTTP/1.0": "POST /a HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "CL and a TE that is unknown": post("Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n", "hello"),
    "two CLs": post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
    "two CLs that differ in a zero": post("Content-Length: 5\r\nContent-Length: 05\r\n", "hello"),
    "CL list": post("Content-Length: 5, 6\r\n", "hello"),
    "CL list of the same": post("Content-Length: 5, 5\r\n", "hello"),
  }),
  ...cases(["POST /a hello"], {
    "the same CL twice": post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
    "CL with zeros": post("Content-Length: 0005\r\n", "hello"),
    "CL among tabs and spaces": post("Content-Length: \t 5 \t\r\n", "hello"),
    "CL in other letters": post("cONTENT-lENGTH: 5\r\n", "hello"),
  }),

  // A length that is no number
  ...cases(400, {
    "CL with plus": post("Content-Length: +5\r\n", "hello"),
    "CL with minus": post("Content-Length: -5\r\n", "hello"),
    "CL with a space inside": post("Content-Length: 1 0\r\n", "hello"),
    "CL in hex": post("Content-Length: 0x5\r\n", "hello"),
    "CL in hex without a sign": post("Content-Length: a\r\n", "helloworld"),
    "CL as a float": post("Content-Length: 5.0\r\n", "hello"),
    "CL with an exponent": post("Content-Length: 5e0\r\n", "hello"),
    "CL with quotes": post('Content-Length: "5"\r\n', "hello"),
    "CL with an underscore": post("Content-Length: 1_0\r\n", "hello"),
    "CL empty": post("Content-Length:\r\n", "hello"),
    "CL of other digits": post("Content-Length: \u00b2\r\n", "hello"),
    "CL behind a non-breaking space": post("Content-Length: \u00a05\r\n", "hello"),
    "CL beyond 2^63": post("Content-Length: 9223372036854775808\r\n", "hello"),
    "CL beyond 2^64": post("Content-Length: 18446744073709551621\r\n", "hello"),
    "CL with a NUL": post("Content-Length: 5\u0000\r\n", "hello"),
  }),

  // Transfer codings
  ...cases(501, {
    "TE unknown": post("Transfer-Encoding: xchunked\r\n"),
    "TE identity": post("Transfer-Encoding: identity\r\n"),
    "TE gzip, chunked": post("Transfer-Encoding: gzip, chunked\r\n"),
    "TE chunked, identity": post("Transfer-Encoding: chunked, identity\r\n"),
    "TE chunked, chunked": post("Transfer-Encoding: chunked, chunked\r\n"),
    "TE twice": post(`${chunked}${chunked}`),
    "TE twice, the second unknown": post(`${chunked}Transfer-Encoding: x\r\n`),
    "TE with a comma": post("Transfer-Encoding: chunked,\r\n"),
    "TE with quotes": post('Transfer-Encoding: "chunked"\r\n'),
    "TE with a parameter": post("Transfer-Encoding: chunked;q=1\r\n"),
    "TE behind a non-breaking space": post("Transfer-Encoding: \u00a0chunked\r\n"),
    "TE empty": post("Transfer-Encoding:\r\n"),
    "TE of HTTP/1.0": "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  }),
  ...cases(400, {
    "TE with a vertical tab": post("Transfer-Encoding:\u000bchunked\r\n"),
    "TE with a NUL": post("Transfer-Encoding: chunked\u0000\r\n"),
    "TE behind a space in its name": post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
    "TE behind a space": post(" Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    "TE behind a bare LF": post("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    "TE behind a bare LF at a value's start": post("X:\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    "TE behind a bare CR": post("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    "TE folded": post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"),
  }),
  ...cases(["POST /a hello"], {
    "TE in other letters": post("tRANSFER-eNCODING: cHUNKED\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    "TE among tabs": post("Transfer-Encoding:\tchunked\t\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    "a field that resembles TE": post("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", "hello"),
  }),

  // Line ends, names and values
  ...cases(400, {
    "bare LF everywhere": "GET /a HTTP/1.1\nHost: d\n\n",
    "bare LF behind the request line": "GET /a HTTP/1.1\nHost: d\r\n\r\n",
    "bare LF behind a field": get("X: y\n"),
    "bare LF as the empty line": "GET /a HTTP/1.1\r\nHost: d\r\n\n",
    "bare LF before the request": `\n${get("")}`,
    "bare CR everywhere": "GET /a HTTP/1.1\rHost: d\r\r",
    "bare CR before the line end": get("X: y\r\r\n"),
    "bare CR in a value": get("X: y\rz\r\n"),
    "bare CR before the request": `\r${get("")}`,
    "a folded field": get("X: y\r\n z\r\n"),
    "a folded field with a tab": get("X: y\r\n\tz\r\n"),
    "the first field is folded": "GET /a HTTP/1.1\r\n Host: d\r\n\r\n",
    "a line of spaces": get(" \r\n"),
    "space before the colon": get("X : y\r\n"),
    "tab before the colon": get("X\t: y\r\n"),
    "space in a name": get("X Y: z\r\n"),
    "no name": get(": y\r\n"),
    "no colon": get("X\r\n"),
    "NUL in a name": get("X\u0000: y\r\n"),
    "NUL in a value": get("X: y\u0000\r\n"),
    "NUL at a value's start": get("X:\u0000y\r\n"),
    "DEL in a value": get("X: \u007f\r\n"),
    "a name with a byte above 127": get("X\u00e4: y\r\n"),
    "two hosts": get("Host: other\r\n"),
    "the same host twice": get("Host: d\r\n"),
    "no host": "GET /a HTTP/1.1\r\nX: y\r\n\r\n",
    "no field at all": "GET /a HTTP/1.1\r\n\r\n",
    "absolute form and no host": "GET http://d/a HTTP/1.1\r\n\r\n",
    "a host with a slash": "GET /a HTTP/1.1\r\nHost: /run/d.sock\r\n\r\n",
    "a host with a user": "GET /a HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "a host with a space": "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n",
    "a host with a byte above 127": "GET /a HTTP/1.1\r\nHost: \u00e4\r\n\r\n",
    "a host with a slash in HTTP/1.0": "GET /a HTTP/1.0\r\nHost: a/b\r\n\r\n",
  }),
  ...cases(["GET /a "], {
    "an empty value": get("X:\r\n"),
    "an empty host": "GET /a HTTP/1.1\r\nHost:\r\n\r\n",
    "a host with a port": "GET /a HTTP/1.1\r\nHost: [::1]:2375\r\n\r\n",
    "a host with escapes": "GET /a HTTP/1.1\r\nHost: %2Frun%2Fd.sock\r\n\r\n",
    "no space behind the colon": get("X:y\r\n"),
    "colons in a value": get("X: y: z:\r\n"),
    "a value with bytes above 127": get("X: \u00e4\u00a0\r\n"),
    "empty lines before the request": `\r\n\r\n${get("")}`,
  }),

  // The request line
  ...cases(400, {
    "HTTP/0.9": "GET /a\r\n",
    "HTTP/0.9 with its version": "GET /a HTTP/0.9\r\n\r\n",
    "HTTP/2.0": "GET /a HTTP/2.0\r\nHost: d\r\n\r\n",
    "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": "GET /a HTTP/1.2\r\nHost: d\r\n\r\n",
    "HTTP/1.10": "GET /a HTTP/1.10\r\nHost: d\r\n\r\n",
    "HTTP/01.1": "GET /a HTTP/01.1\r\nHost: d\r\n\r\n",
    "http/1.1": "GET /a http/1.1\r\nHost: d\r\n\r\n",
    "no version": "GET /a \r\nHost: d\r\n\r\n",
    "a space behind the version": "GET /a HTTP/1.1 \r\nHost: d\r\n\r\n",
    "a space before the method": " GET /a HTTP/1.1\r\nHost: d\r\n\r\n",
    "two spaces": "GET  /a HTTP/1.1\r\nHost: d\r\n\r\n",
    "a tab for a space": "GET\t/a HTTP/1.1\r\nHost: d\r\n\r\n",
    "a space in the target": "GET /a b HTTP/1.1\r\nHost: d\r\n\r\n",
    "a request in the target": "GET /a HTTP/1.1 /b HTTP/1.1\r\nHost: d\r\n\r\n",
    "NUL in the target": "GET /a\u0000 HTTP/1.1\r\nHost: d\r\n\r\n",
    "a method in small letters": "get /a HTTP/1.1\r\nHost: d\r\n\r\n",
    "no method": "/a HTTP/1.1\r\nHost: d\r\n\r\n",
    "an answer": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    TLS: "\u0016\u0003\u0001\u0002\u0000\u0001\u0000\r\n\r\n",
  }),
  ...cases(["GET /a "], {
    "absolute form": "GET http://other:1/a HTTP/1.1\r\nHost: d\r\n\r\n",
    "absolute form in large letters": "GET HTTPS://other/a HTTP/1.1\r\nHost: d\r\n\r\n",
    "a body's fields are a GET's too": get("Content-Length: 0\r\n"),
  }),
  { name: "a GET with a body", bytes: `${get("Content-Length: 5\r\n")}hello`, outcome: ["GET /a hello"] },
  { name: "asterisk form", bytes: "OPTIONS * HTTP/1.1\r\nHost: d\r\n\r\n", outcome: ["OPTIONS * "] },
  { name: "no length is no body", bytes: post("", hidden), outcome: ["POST /a ", "GET /hidden "] },
  { name: "a length of zero", bytes: post("Content-Length: 0\r\n", hidden), outcome: ["POST /a ", "GET /hidden "] },

  // Chunks
  ...cases(["POST /a hello"], {
    chunks: post(chunked, "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    "chunk size with zeros": post(chunked, "00000005\r\nhello\r\n000\r\n\r\n"),
    "chunk extension": post(chunked, "5;a=b\r\nhello\r\n0;c\r\n\r\n"),
    "chunk extension with quotes": post(chunked, '5;a="b;c"\r\nhello\r\n0\r\n\r\n'),
    "chunk extension behind spaces": post(chunked, "5 ; a\r\nhello\r\n0\r\n\r\n"),
    trailers: post(chunked, "5\r\nhello\r\n0\r\nX: y\r\nZ: z\r\n\r\n"),
    "a length among the trailers": post(chunked, `5\r\nhello\r\n0\r\nContent-Length: ${hidden.length}\r\n\r\n`),
  }),
  {
    name: "a chunk that looks like a request",
    bytes: post(chunked, `${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`),
    outcome: [`POST /a ${hidden}`],
  },
  {
    name: "a request behind the last chunk",
    bytes: post(chunked, `0\r\n\r\n${hidden}`),
    outcome: ["POST /a ", "GET /hidden "],
  },
  ...cases(400, {
    "chunk size with plus": post(chunked, "+5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with minus": post(chunked, "-5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with 0x": post(chunked, "0x5\r\nhello\r\n0\r\n\r\n"),
    "chunk size behind a space": post(chunked, " 5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with a space inside": post(chunked, "0 5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with an underscore": post(chunked, "1_0\r\nhello\r\n0\r\n\r\n"),
    "chunk size missing": post(chunked, "\r\nhello\r\n0\r\n\r\n"),
    "chunk size that is an extension": post(chunked, ";a\r\nhello\r\n0\r\n\r\n"),
    "chunk size beyond 2^32": post(chunked, "100000005\r\nhello\r\n0\r\n\r\n"),
    "chunk size beyond 2^64": post(chunked, "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "chunk size with a bare LF": post(chunked, "5\nhello\r\n0\r\n\r\n"),
    "chunk size with a bare CR": post(chunked, "5\rhello\r\n0\r\n\r\n"),
    "chunk size with a NUL": post(chunked, "5\u0000\r\nhello\r\n0\r\n\r\n"),
    "chunk extension with a bare LF": post(chunked, "5;a\nhello\r\n0\r\n\r\n"),
    "chunk extension with a bare CR": post(chunked, "5;a\rb\r\nhello\r\n0\r\n\r\n"),
    "chunk extension with a NUL": post(chunked, "5;\u0000\r\nhello\r\n0\r\n\r\n"),
    "chunk extension without end": post(chunked, `5;${"x".repeat(20_000)}`),
    "chunk longer than its size": post(chunked, "5\r\nhello!\r\n0\r\n\r\n"),
    "chunk shorter than its size": post(chunked, "7\r\nhello\r\n0\r\n\r\n"),
    "chunk that ends with a bare LF": post(chunked, "5\r\nhello\n0\r\n\r\n"),
    "chunk that ends with CR CR LF": post(chunked, "5\r\nhello\r\r\n0\r\n\r\n"),
    "last chunk with a bare LF": post(chunked, "5\r\nhello\r\n0\n\n"),
    "trailer with a bare LF": post(chunked, "0\r\nX: y\n\r\n"),
    "trailer folded": post(chunked, "0\r\nX: y\r\n z\r\n\r\n"),
    "trailer without a colon": post(chunked, "0\r\nX\r\n\r\n"),
    "trailer with a space before the colon": post(chunked, "0\r\nX : y\r\n\r\n"),
    "trailer with a NUL": post(chunked, "0\r\nX: \u0000\r\n\r\n"),
    "trailer that is a request": post(chunked, `0\r\n${hidden}`),
  }),

  // Sizes
  ...cases(400, {
    "bare CR in the field behind the last that may be": get(`${"X: y\r\n".repeat(255)}X: y\rz\r\n`),
    "bare CR in a line that is too long": get(`X: y\rz${"y".repeat(2 << 20)}`),
  }),
  ...cases(431, {
    "a target without end": `GET /${"x".repeat(2 << 20)}`,
    "a value without end": get(`X: ${"y".repeat(2 << 20)}`),
    "a name without end": get("x".repeat(2 << 20)),
    "fields without end": get(`X: ${"y".repeat(1000)}\r\n`.repeat(2000)),
    "more fields than may be": get("X: y\r\n".repeat(300)),
    "trailers without end": post(chunked, `0\r\n${`X: ${"y".repeat(1000)}\r\n`.repeat(20)}\r\n`),
  }),
  {
    name: "a long target",
    bytes: `GET /${"x".repeat(500_000)} HTTP/1.1\r\nHost: d\r\n\r\n`,
    outcome: [`GET /${"x".repeat(500_000)} `],
  },
];
