/**
 * The other side of a connection, run inside a network namespace:
 *   serve tcp|udp PORT [HOST]    answers every client with "hello ADDRESS", where ADDRESS is the client's
 *   ask tcp|udp HOST PORT        prints the answer, or "refused", or "silent" after a second
 *   repeat HOST PORT             sends a datagram every 100 ms from one socket, prints each answer that differs from the one before
 *   count HOST PORT BYTES        sends BYTES zeros, half-closes, prints how many come back
 *   echo PORT                    sends back what it receives, ends when the client ends
 */
export {};

const [command, ...rest] = process.argv.slice(2);

function say(text: string): never {
  console.log(text);
  process.exit(0);
}

if (command === "serve") {
  const [protocol, port, hostname = "0.0.0.0"] = rest;
  if (protocol === "udp") {
    await Bun.udpSocket({
      hostname,
      port: Number(port),
      socket: {
        data: (socket, _data, clientPort, address) => void socket.send(`hello ${address}`, clientPort, address),
      },
    });
  } else {
    Bun.listen({
      hostname,
      port: Number(port),
      socket: { data: () => undefined, open: (socket) => void socket.end(`hello ${socket.remoteAddress}`) },
    });
  }
  console.log("ready");
} else if (command === "ask") {
  const [protocol, host, port] = rest;
  setTimeout(() => say("silent"), 1000);
  if (protocol === "udp") {
    const socket = await Bun.udpSocket({
      hostname: host!.includes(":") ? "::" : "0.0.0.0",
      connect: { hostname: host!, port: Number(port) },
      socket: { data: (_socket, data) => say(data.toString()), error: () => say("refused") },
    });
    socket.send("hi");
  } else {
    let answer = "";
    await Bun.connect({
      hostname: host!,
      port: Number(port),
      socket: { data: (_socket, data) => void (answer += data.toString()), close: () => say(answer) },
    }).catch(() => say("refused"));
  }
} else if (command === "repeat") {
  const [host, port] = rest;
  let last = "";
  const tell = (answer: string): void => {
    if (answer !== last) console.log(answer);
    last = answer;
  };
  const socket = await Bun.udpSocket({
    connect: { hostname: host!, port: Number(port) },
    socket: { data: (_socket, data) => tell(data.toString()), error: () => tell("refused") },
  });
  setInterval(() => {
    try {
      socket.send("hi");
    } catch {
      tell("refused");
    }
  }, 100);
} else if (command === "echo") {
  const { createServer } = await import("node:net");
  createServer({ allowHalfOpen: true }, (socket) => void socket.pipe(socket)).listen(Number(rest[0]), "0.0.0.0", () =>
    console.log("ready"),
  );
} else if (command === "count") {
  const { connect } = await import("node:net");
  const [host, port, bytes] = rest;
  let received = 0;
  setTimeout(() => say(`silent after ${received}`), 10_000);
  const socket = connect({ host: host!, port: Number(port), allowHalfOpen: true });
  socket.on("data", (data) => void (received += data.length));
  socket.on("end", () => say(String(received)));
  socket.end(Buffer.alloc(Number(bytes)));
}
