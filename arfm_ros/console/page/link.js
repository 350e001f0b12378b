// The control socket: nothing else travels on it, so that no picture delays a command.
const RETRY_MS = 1000, ALIVE_MS = 500;

export class Link {
  constructor(hear, changed) {
    this.hear = hear;
    this.changed = changed;
    this.open = false;
    this.connect();
    setInterval(() => this.send({ do: "alive" }), ALIVE_MS);
  }
  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = (this.socket = new WebSocket(`${scheme}://${location.host}/control`));
    socket.onopen = () => { this.open = true; this.changed(true); };
    socket.onmessage = (event) => this.hear(JSON.parse(event.data));
    socket.onclose = async (event) => {
      this.open = false;
      this.changed(false);
      if (event.code === 4401 || (event.code === 1006 && await refused())) location.assign("/login");
      else setTimeout(() => this.connect(), RETRY_MS);
    };
  }
  send(message) {
    if (!this.open || this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }
}

async function refused() {
  try { return (await fetch("/main.js")).status === 401; } catch { return false; }
}
